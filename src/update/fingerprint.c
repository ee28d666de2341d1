/* SPDX-License-Identifier: Apache-2.0 */
#include "update/fingerprint.h"

#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/json.h"
#include "disk/disk.h"

/* Takes `file`. */
static json_t *with_path(json_t *file, const char *path)
{
	struct error *error = file ? json_set_bytes(file, "path", path, strlen(path)) : NULL;

	if (error) {
		error_destroy(error);
		json_decref(file);
		return NULL;
	}
	return file;
}

static json_t *describe(const char *path, uint64_t device, uint64_t inode, uint64_t size, int64_t mtime_ns)
{
	return with_path(json_pack("{s:I, s:I, s:I, s:I}", "device", (json_int_t)device, "inode", (json_int_t)inode,
				   "size", (json_int_t)size, "mtime_ns", (json_int_t)mtime_ns),
			 path);
}

/*
 * A block device's node is made anew, with other numbers, at each boot of the host, and its time tells nothing of what
 * is written to the device.
 */
static json_t *describe_device(const char *path, uint64_t size)
{
	return with_path(json_pack("{s:b, s:I}", "block_device", 1, "size", (json_int_t)size), path);
}

static struct error *describe_memory(const char *path, json_t **ret)
{
	struct stat st;

	if (!path || (stat(path, &st) < 0 && errno == ENOENT)) {
		*ret = json_null();
		return NULL;
	}
	if (stat(path, &st) < 0)
		return error_system(errno, path, "cannot examine the memory image");
	*ret = describe(path, st.st_dev, st.st_ino, (uint64_t)st.st_size,
			st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec);
	return *ret ? NULL : error_no_memory();
}

static struct error *describe_disk(const struct vm_file *file, json_t *ret)
{
	struct disk_file *files;
	size_t n;
	bool failed = false;
	struct error *error = disk_files(file->disk, file->format, &files, &n);

	if (error)
		return error;
	for (size_t i = 0; i < n; i++) {
		const struct disk_file *one = &files[i];
		json_t *described = one->block_device
					    ? describe_device(one->path, one->size)
					    : describe(one->path, one->device, one->inode, one->size, one->mtime_ns);

		failed |= json_array_append_new(ret, described) < 0;
	}
	disk_files_free(files, n);
	return failed ? error_no_memory() : NULL;
}

struct error *fingerprint_files(const struct vm_file *file, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *fingerprint = NULL;
	_cleanup_(json_decref_ptr) json_t *memory = NULL;
	_cleanup_(json_decref_ptr) json_t *disk = json_array();
	struct error *error = describe_memory(file->memory, &memory);

	if (!error)
		error = describe_disk(file, disk);
	if (error)
		return error;
	fingerprint = json_pack("{s:O, s:O}", "memory", memory, "disk", disk);
	if (!fingerprint)
		return error_no_memory();
	*ret = take_ptr(fingerprint);
	return NULL;
}

struct error *fingerprint_add_guest(json_t *fingerprint, const uint8_t boot_id[16], const struct guest_clock *clock)
{
	char hex[33];

	for (size_t i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", boot_id[i]);
	if (json_object_set_new(fingerprint, "guest",
				json_pack("{s:s, s:I}", "boot_id", hex, "uptime_ns", (json_int_t)clock->boottime_ns)) <
	    0)
		return error_no_memory();
	return NULL;
}

/* A file that was moved is the same one: only where it is another its path tells something. */
static struct error *refuse_other(const json_t *expected, const char *path, const char *what)
{
	_cleanup_(free_ptr) char *before = NULL;
	struct error *error = json_get_bytes(expected, "path", &before, NULL);

	if (error || !strcmp(before, path)) {
		error_destroy(error);
		return NULL;
	}
	return error_create(ERROR_CONFLICT, "%s: another %s than then, when it was %s", path, what, before);
}

static bool is_device(const json_t *file)
{
	return json_is_true(json_object_get(file, "block_device"));
}

/* What names a device is all that it is known by; its size is compared like a file's. */
static struct error *compare_device(const json_t *expected, const json_t *now, const char *path, const char *what)
{
	if (is_device(expected) != is_device(now))
		return error_create(ERROR_CONFLICT, "%s: the %s is %s block device now", path, what,
				    is_device(now) ? "a" : "no");
	return refuse_other(expected, path, what);
}

static struct error *compare_file(const json_t *expected, const json_t *now, const char *what)
{
	/* Not the device: the numbers of file systems are given out anew when the host boots. */
	static const char *const members[] = {"inode", "size", "mtime_ns"};
	_cleanup_(free_ptr) char *path = NULL;
	struct error *error = json_get_bytes(now, "path", &path, NULL);

	if (!error && (is_device(now) || is_device(expected)))
		error = compare_device(expected, now, path, what);
	if (error)
		return error;
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		json_int_t before = json_integer_value(json_object_get(expected, members[i]));
		json_int_t after = json_integer_value(json_object_get(now, members[i]));

		if (before == after)
			continue;
		error = refuse_other(expected, path, what);
		return error ? error
			     : error_create(ERROR_CONFLICT,
					    "%s: the %s has changed since (its %s was %lld and is %lld)", path, what,
					    members[i], (long long)before, (long long)after);
	}
	return NULL;
}

bool fingerprint_has_memory(const json_t *fingerprint)
{
	return json_is_object(json_object_get(fingerprint, "memory"));
}

static struct error *compare_memory(const json_t *expected, const json_t *now)
{
	bool before = fingerprint_has_memory(expected), after = fingerprint_has_memory(now);

	if (before && after)
		return compare_file(json_object_get(expected, "memory"), json_object_get(now, "memory"),
				    "memory image");
	if (before == after)
		return NULL;
	return error_create(ERROR_CONFLICT,
			    after ? "the VM was shut down, and has a memory image now: it was started since"
				  : "the VM slept, and its memory image is gone");
}

struct error *fingerprint_compare(const json_t *expected, const json_t *now)
{
	const json_t *before = json_object_get(expected, "disk"), *after = json_object_get(now, "disk");
	struct error *error = compare_memory(expected, now);

	if (!error && json_array_size(before) != json_array_size(after))
		error = error_create(ERROR_CONFLICT, "the disk consists of %zu file%s, it was %zu",
				     json_array_size(after), plural(json_array_size(after)), json_array_size(before));
	for (size_t i = 0; !error && i < json_array_size(after); i++)
		error = compare_file(json_array_get(before, i), json_array_get(after, i), "disk image");
	return error;
}
