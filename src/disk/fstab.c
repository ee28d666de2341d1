/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/fstab.h"

#include <ctype.h>
#include <inttypes.h>
#include <libmount/libmount.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "base/io.h"

DEFINE_CLEANUP(struct libmnt_table *, mnt_unref_table)
DEFINE_CLEANUP(struct libmnt_iter *, mnt_free_iter)

/* libmount asks what to do with a line it cannot parse: skip it, as mount(8) does. */
static int count_malformed(struct libmnt_table *table, const char *filename, int line)
{
	struct fstab *fstab = mnt_table_get_userdata(table);

	fstab->n_malformed++;
	return 1;
}

/*
 * Only mnt_table_parse_fstab() takes the text for an fstab whatever it looks like, and it wants a
 * file: an anonymous one.
 */
static struct error *parse_table(const char *text, size_t size, struct libmnt_table *table)
{
	_cleanup_(close_fd) int fd = memfd_create("fstab", MFD_CLOEXEC);
	char path[64];
	struct error *error;
	int r;

	if (fd < 0)
		return error_system(errno, NULL, "create a memory file");
	error = io_write(fd, text, size, "/etc/fstab");
	if (error)
		return error;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = mnt_table_parse_fstab(table, path);
	return r ? error_system(r < 0 ? -r : EINVAL, "/etc/fstab", "parse the guest's file system table") : NULL;
}

/* "//a/./b/" becomes "/a/b", in place; false if a component is "..". */
static bool normalise(char *path)
{
	char *in = path, *out = path;

	while (*in) {
		size_t n;

		in += strspn(in, "/");
		n = strcspn(in, "/");
		if (n == 2 && in[0] == '.' && in[1] == '.')
			return false;
		if (n > 0 && !(n == 1 && in[0] == '.')) {
			/* The path is absolute: a slash has been consumed for each one written. */
			*out++ = '/';
			memmove(out, in, n);
			out += n;
		}
		in += n;
	}
	if (out == path)
		*out++ = '/';
	*out = 0;
	return true;
}

static struct error *copy_entry(struct libmnt_fs *fs, struct fstab_entry *entry)
{
	const char *source = mnt_fs_get_source(fs);
	const char *target = mnt_fs_get_target(fs);
	const char *type = mnt_fs_get_fstype(fs);
	const char *options = mnt_fs_get_options(fs);

	entry->source = strdup(source ? source : "none");
	entry->target = strdup(target ? target : "none");
	entry->type = strdup(type && *type ? type : "auto");
	entry->options = strdup(options && *options ? options : "defaults");
	if (!entry->source || !entry->target || !entry->type || !entry->options)
		return error_no_memory();
	if (entry->target[0] == '/' && !normalise(entry->target))
		return error_format("/etc/fstab", ERROR_NO_ADDRESS, "the mount point \"%s\" of %s contains \"..\"",
				    target, entry->source);
	return NULL;
}

static struct error *copy_table(struct libmnt_table *table, struct fstab *fstab)
{
	_cleanup_(mnt_free_iter_ptr) struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	int n = mnt_table_get_nents(table);
	struct libmnt_fs *fs;

	if (n > FSTAB_LINES_MAX)
		return error_format("/etc/fstab", ERROR_NO_ADDRESS, "%d lines, more than %d", n, FSTAB_LINES_MAX);
	fstab->entries = calloc(n > 0 ? (size_t)n : 1, sizeof(*fstab->entries));
	if (!iter || !fstab->entries)
		return error_no_memory();
	while (fstab->n < (size_t)n && mnt_table_next_fs(table, iter, &fs) == 0) {
		struct error *error = copy_entry(fs, &fstab->entries[fstab->n++]);

		if (error)
			return error;
	}
	return NULL;
}

struct error *fstab_parse(const char *text, size_t size, struct fstab *ret)
{
	_cleanup_(mnt_unref_table_ptr) struct libmnt_table *table = NULL;
	_cleanup_(fstab_deinit) struct fstab fstab = {0};
	struct error *error;

	if (size > FSTAB_SIZE_MAX)
		return error_format("/etc/fstab", ERROR_NO_ADDRESS, "%zu bytes, more than %d", size, FSTAB_SIZE_MAX);
	table = mnt_new_table();
	if (!table)
		return error_no_memory();
	mnt_table_set_userdata(table, &fstab);
	mnt_table_set_parser_errcb(table, count_malformed);
	error = parse_table(text, size, table);
	if (!error)
		error = copy_table(table, &fstab);
	if (error)
		return error;
	*ret = fstab;
	fstab = (struct fstab){0};
	return NULL;
}

void fstab_deinit(struct fstab *fstab)
{
	for (size_t i = 0; i < fstab->n; i++) {
		free(fstab->entries[i].source);
		free(fstab->entries[i].target);
		free(fstab->entries[i].type);
		free(fstab->entries[i].options);
	}
	free(fstab->entries);
	*fstab = (struct fstab){0};
}

/*
 * The partition number in a device name of the first disk: 2 for "vda2", "nvme0n1p2"; 0 for the
 * disk itself; -1 for anything else. Which letter a disk gets depends on the machine, but ours is
 * the one the guest boots from.
 */
static int device_number(const char *name)
{
	static const struct {
		const char *disk, *separator;
	} names[] = {
		{"vda", ""}, {"sda", ""}, {"xvda", ""}, {"hda", ""}, {"nvme0n1", "p"}, {"mmcblk0", "p"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t n = strlen(names[i].disk), s = strlen(names[i].separator);
		const char *digits = name + n + s;

		if (strncmp(name, names[i].disk, n) != 0)
			continue;
		if (name[n] == 0)
			return 0;
		if (strncmp(name + n, names[i].separator, s) != 0 || strlen(digits) > 3 || digits[0] == '0' ||
		    strspn(digits, "0123456789") != strlen(digits) || !digits[0])
			return -1;
		return atoi(digits);
	}
	return -1;
}

/* What a source asks for. */
enum source_kind {
	SOURCE_UUID,
	SOURCE_LABEL,
	SOURCE_PART_UUID,
	SOURCE_PART_LABEL,
	SOURCE_NUMBER
};

/* Undoes udev's \xNN in names below /dev/disk/by-…; in place. */
static void udev_unescape(char *name)
{
	char *out = name;

	for (char *in = name; *in; in++) {
		unsigned byte;

		if (in[0] == '\\' && in[1] == 'x' && isxdigit((unsigned char)in[2]) && isxdigit((unsigned char)in[3]) &&
		    sscanf(in + 2, "%2x", &byte) == 1 && byte) {
			*out++ = (char)byte;
			in += 3;
		} else {
			*out++ = *in;
		}
	}
	*out = 0;
}

/* False: not a name of something on a disk. `value` is malloc'd; a device's number is in `number`. */
static bool parse_source(const char *source, enum source_kind *kind, char **value, int *number)
{
	static const struct {
		const char *prefix;
		enum source_kind kind;
		bool link;
	} prefixes[] = {
		{"UUID=", SOURCE_UUID, false},
		{"LABEL=", SOURCE_LABEL, false},
		{"PARTUUID=", SOURCE_PART_UUID, false},
		{"PARTLABEL=", SOURCE_PART_LABEL, false},
		{"/dev/disk/by-uuid/", SOURCE_UUID, true},
		{"/dev/disk/by-label/", SOURCE_LABEL, true},
		{"/dev/disk/by-partuuid/", SOURCE_PART_UUID, true},
		{"/dev/disk/by-partlabel/", SOURCE_PART_LABEL, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		size_t n = strlen(prefixes[i].prefix), length;
		const char *text = source + n;

		if (strncmp(source, prefixes[i].prefix, n) != 0)
			continue;
		length = strlen(text);
		if (length >= 2 && (text[0] == '"' || text[0] == '\'') && text[length - 1] == text[0]) {
			text++;
			length -= 2;
		}
		*kind = prefixes[i].kind;
		*value = strndup(text, length);
		if (*value && prefixes[i].link)
			udev_unescape(*value);
		return *value;
	}
	if (strncmp(source, "/dev/", 5) != 0)
		return false;
	*kind = SOURCE_NUMBER;
	*number = device_number(source + 5);
	return *number >= 0;
}

static bool answers(const struct partition *partition, enum source_kind kind, const char *value, int number)
{
	switch (kind) {
	case SOURCE_UUID:
		return partition->uuid && strcasecmp(partition->uuid, value) == 0;
	case SOURCE_LABEL:
		return partition->label && strcmp(partition->label, value) == 0;
	case SOURCE_PART_UUID:
		return partition->part_uuid && strcasecmp(partition->part_uuid, value) == 0;
	case SOURCE_PART_LABEL:
		return partition->part_label && strcmp(partition->part_label, value) == 0;
	case SOURCE_NUMBER:
		return partition->number == (unsigned)number;
	}
	return false;
}

enum fstab_match fstab_find(const struct fstab_entry *entry, const struct partition_list *list,
			    const struct partition **ret)
{
	_cleanup_(free_ptr) char *value = NULL;
	const struct partition *found = NULL;
	enum source_kind kind;
	int number = -1;

	if (!parse_source(entry->source, &kind, &value, &number))
		return FSTAB_MATCH_NONE;
	for (size_t i = 0; i < list->n; i++) {
		if (!answers(&list->items[i], kind, value, number))
			continue;
		if (found)
			return FSTAB_MATCH_SEVERAL;
		found = &list->items[i];
	}
	if (!found)
		return FSTAB_MATCH_NONE;
	*ret = found;
	return FSTAB_MATCH_ONE;
}

bool fstab_has_option(const struct fstab_entry *entry, const char *name)
{
	char *value;
	size_t size;

	return mnt_optstr_get_option(entry->options, name, &value, &size) == 0;
}

struct error *fstab_option_value(const struct fstab_entry *entry, const char *name, char **ret)
{
	char *value = NULL;
	size_t size = 0;
	char *copy = NULL;

	if (mnt_optstr_get_option(entry->options, name, &value, &size) == 0 && value) {
		copy = strndup(value, size);
		if (!copy)
			return error_no_memory();
	}
	*ret = copy;
	return NULL;
}

const char *fstab_skip_reason(const struct fstab_entry *entry)
{
	if (strcmp(entry->type, "swap") == 0)
		return "swap";
	if (entry->target[0] != '/')
		return "no mount point";
	if (fstab_has_option(entry, "noauto"))
		return "noauto";
	/* libmount's own lists, so that a new one is known with a new libmount. */
	if (mnt_fstype_is_netfs(entry->type) || fstab_has_option(entry, "_netdev"))
		return "network file system";
	if (mnt_fstype_is_pseudofs(entry->type) || strcmp(entry->type, "ramfs") == 0 ||
	    strncmp(entry->type, "fuse.", 5) == 0)
		return "not on a disk";
	if (strcmp(entry->type, "iso9660") == 0 || strcmp(entry->type, "udf") == 0 ||
	    strncmp(entry->source, "/dev/cdrom", 10) == 0 || strncmp(entry->source, "/dev/sr", 7) == 0 ||
	    strncmp(entry->source, "/dev/fd", 7) == 0)
		return "removable medium";
	return NULL;
}
