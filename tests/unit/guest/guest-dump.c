/* SPDX-License-Identifier: Apache-2.0 */
/* For developers and tests: prints every fact that guest/ knows of a memory image, as JSON. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "guest/guest.h"
#include "image/image.h"

#include "dump.h"

static char *uuid_text(const uint8_t id[16])
{
	return string_format("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id[0], id[1],
			     id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11], id[12], id[13],
			     id[14], id[15]);
}

struct error *set_text(json_t *object, const char *key, const char *text)
{
	return text ? json_set_bytes(object, key, text, strlen(text)) : NULL;
}

struct error *set_bytes(json_t *object, const char *key, const struct guest_bytes *bytes)
{
	return bytes->data ? json_set_bytes(object, key, bytes->data, bytes->size) : NULL;
}

void set_integer(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

void set_signed(json_t *object, const char *key, int64_t value)
{
	json_object_set_new(object, key, json_integer(value));
}

json_t *add_object(json_t *array)
{
	json_t *object = json_object();

	json_array_append_new(array, object);
	return object;
}

json_t *add_list(json_t *object, const char *key, const struct error *incomplete)
{
	_cleanup_(free_ptr) char *name = string_format("%s_incomplete", key);
	json_t *array = json_array();

	json_object_set_new(object, key, array);
	if (incomplete)
		json_object_set_new(object, name, json_string(incomplete->message));
	return array;
}

static struct error *set_uuid(json_t *object, const char *key, const uint8_t id[16])
{
	_cleanup_(free_ptr) char *text = uuid_text(id);

	return set_text(object, key, text);
}

static struct error *dump_uts(struct guest *guest, json_t *root)
{
	json_t *object = json_object();
	struct guest_uts uts;
	struct error *error = guest_uts(guest, &uts);
	const struct {
		const char *key, *text;
	} fields[] = {
		{"sysname", uts.sysname}, {"nodename", uts.nodename}, {"release", uts.release},
		{"version", uts.version}, {"machine", uts.machine},   {"domainname", uts.domainname},
	};

	json_object_set_new(root, "uts", object);
	for (size_t i = 0; !error && i < ARRAY_SIZE(fields); i++)
		error = set_text(object, fields[i].key, fields[i].text);
	return error;
}

static struct error *dump_clock(struct guest *guest, json_t *root)
{
	json_t *object = json_object();
	struct guest_clock clock;
	uint8_t id[16];
	struct error *error = guest_clock(guest, &clock);

	json_object_set_new(root, "clock", object);
	if (error)
		return error;
	set_integer(object, "realtime_ns", (uint64_t)clock.realtime_ns);
	set_integer(object, "monotonic_ns", clock.monotonic_ns);
	set_integer(object, "boottime_ns", clock.boottime_ns);
	error = guest_boot_id(guest, id);
	return error ? error : set_uuid(root, "boot_id", id);
}

static struct error *dump_file_systems(struct guest *guest, json_t *root)
{
	_cleanup_(free_ptr) struct guest_file_system *items = NULL;
	json_t *array = json_array();
	size_t n = 0;
	struct error *error = guest_file_systems(guest, &items, &n);

	json_object_set_new(root, "file_systems", array);
	for (size_t i = 0; !error && i < n; i++) {
		json_t *object = json_object();

		json_array_append_new(array, object);
		error = set_text(object, "type", items[i].type);
		if (!error)
			error = set_text(object, "id", items[i].id);
		if (!error)
			error = set_uuid(object, "uuid", items[i].uuid);
		if (!items[i].has_ext4)
			continue;
		set_integer(object, "ext4_mount_count", items[i].ext4_mount_count);
		set_integer(object, "ext4_mount_time_s", items[i].ext4_mount_time_s);
	}
	return error;
}

/* What can be asked for; by default the first ones. */
static const struct {
	const char *name;
	bool always;
	struct error *(*dump)(struct guest *guest, json_t *root);
} subjects[] = {
	{"uts", true, dump_uts},
	{"clock", true, dump_clock},
	{"file-systems", true, dump_file_systems},
	{"tasks", true, dump_tasks},
	{"log", false, dump_log},
	{"modules", false, dump_modules},
	{"counters", false, dump_counters},
	{"sysctls", false, dump_sysctls},
	{"interfaces", false, dump_interfaces},
	{"run", false, dump_run},
	{"dirty", false, dump_dirty},
	{"apparmor", false, dump_apparmor},
};

static bool wanted(size_t subject, char **names)
{
	if (!*names)
		return subjects[subject].always;
	for (; *names; names++)
		if (!strcmp(*names, subjects[subject].name))
			return true;
	return false;
}

static bool known(char **names)
{
	for (; *names; names++) {
		size_t i = 0;

		while (i < ARRAY_SIZE(subjects) && strcmp(*names, subjects[i].name) != 0)
			i++;
		if (i == ARRAY_SIZE(subjects))
			return false;
	}
	return true;
}

static void usage(void)
{
	fprintf(stderr, "usage: guest-dump MEMORY-IMAGE [SUBJECT]...\nsubjects:");
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++)
		fprintf(stderr, " %s", subjects[i].name);
	fputc('\n', stderr);
}

static struct error *dump(const char *path, char **names, json_t *root)
{
	_cleanup_(image_close_ptr) struct image *image = NULL;
	_cleanup_(guest_close_ptr) struct guest *guest = NULL;
	json_t *timing = json_object();
	uint64_t start = clock_monotonic_ns();
	struct error *error = image_open(path, NULL, &image);

	json_object_set_new(root, "version", json_integer(1));
	json_object_set_new(root, "timing_ms", timing);
	set_integer(timing, "index", (clock_monotonic_ns() - start) / 1000000);
	if (error)
		return error;
	json_object_set_new(root, "format", json_string(image_format(image)));
	set_integer(root, "ram_size", image_ram_size(image));
	start = clock_monotonic_ns();
	error = guest_open(image, NULL, &guest);
	set_integer(timing, "guest", (clock_monotonic_ns() - start) / 1000000);
	for (size_t i = 0; !error && i < ARRAY_SIZE(subjects); i++) {
		if (!wanted(i, names))
			continue;
		start = clock_monotonic_ns();
		error = subjects[i].dump(guest, root);
		set_integer(timing, subjects[i].name, (clock_monotonic_ns() - start) / 1000000);
	}
	return error;
}

int main(int argc, char **argv)
{
	_cleanup_(error_destroy_ptr) struct error *error = NULL;
	json_t *root = json_object();

	if (argc < 2 || !known(argv + 2)) {
		usage();
		return 2;
	}
	error = dump(argv[1], argv + 2, root);
	if (error)
		fprintf(stderr, "guest-dump: %s\n%s\n", error->message, error->remedy ? error->remedy : "");
	else
		json_dumpf(root, stdout, JSON_INDENT(1));
	json_decref(root);
	return error ? error_exit_status(error->code) : 0;
}
