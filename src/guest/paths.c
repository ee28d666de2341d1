/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of files, put together from their last part to their first as d_path() does (fs/d_path.c). */
#include "guest/paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

#define PATH_SIZE     4096u               /* PATH_MAX; the kernel itself gives up on longer ones */
#define NAME_SIZE     256u                /* NAME_MAX and a NUL */
#define DEPTH_MAX     4096u               /* names and mounts on the way */
#define BACKING_MODES (UINT64_C(3) << 24) /* FMODE_BACKING: bit 25 (6.5), then 24 (6.14) */

/* ---- Layout ---- */

static struct error *load_members(struct guest *guest, struct path_layout *ret)
{
	const struct member_need dentry[] = {
		{"dentry", "d_parent", &ret->dentry_parent},
		{"dentry", "d_name.name", &ret->dentry_name},
		{"dentry", "d_name.len", &ret->dentry_length},
		{"dentry", "d_hash.pprev", &ret->dentry_hashed},
		{"dentry", "d_inode", &ret->dentry_inode},
		{"dentry", "d_op", &ret->dentry_operations},
		{"dentry", "d_sb", &ret->dentry_super},
		/* Short names lie within; renamed in 6.15. */
		{"dentry", "d_iname", &ret->dentry_inline, .optional = true},
	};
	const struct member_need mount[] = {
		{"mount", "mnt", &ret->mount_vfs},
		{"mount", "mnt_parent", &ret->mount_parent},
		{"mount", "mnt_mountpoint", &ret->mount_point},
		{"mount", "mnt.mnt_root", &ret->mount_root},
		{"mount", "mnt.mnt_sb", &ret->mount_super},
	};
	const struct member_need file[] = {
		{"file", "f_path.mnt", &ret->file_mount}, {"file", "f_path.dentry", &ret->file_dentry},
		{"file", "f_inode", &ret->file_inode},    {"file", "f_mode", &ret->file_mode},
		{"file", "f_flags", &ret->file_flags},    {"file", "f_pos", &ret->file_position},
	};
	const struct member_need inode[] = {
		{"inode", "i_ino", &ret->inode_number},
		{"inode", "i_sb", &ret->inode_super},
	};
	struct error *error = object_need(guest->types, dentry, ARRAY_SIZE(dentry), &ret->dentry_span);

	if (!error && !ret->dentry_inline.present)
		error = object_need(guest->types, &(struct member_need){"dentry", "d_shortname", &ret->dentry_inline},
				    1, &ret->dentry_span);
	if (!error)
		error = object_need(guest->types, mount, ARRAY_SIZE(mount), &ret->mount_span);
	if (!error)
		error = object_need(guest->types, file, ARRAY_SIZE(file), &ret->file_span);
	return error ? error : object_need(guest->types, inode, ARRAY_SIZE(inode), &ret->inode_span);
}

static struct error *load_others(struct guest *guest, struct path_layout *ret)
{
	const struct member_need needs[] = {
		{"path", "mnt", &ret->path_mount},
		{"path", "dentry", &ret->path_dentry},
		{"backing_file", "user_path", &ret->user_path, .optional = true},
		{"dentry_operations", "d_dname", &ret->operations_name},
		{"inode", "i_private", &ret->inode_private},
		{"super_block", "s_dev", &ret->super_device},
		{"ns_common", "ops", &ret->namespace_operations},
		{"proc_ns_operations", "name", &ret->namespace_name},
	};

	return types_need(guest->types, needs, ARRAY_SIZE(needs));
}

static void load_functions(struct guest *guest, struct path_layout *ret)
{
	static const char *const names[NAME_KIND_MAX] = {
		[NAME_PIPE] = "pipefs_dname",   [NAME_SOCKET] = "sockfs_dname", [NAME_ANON] = "anon_inodefs_dname",
		[NAME_SIMPLE] = "simple_dname", [NAME_SPACE] = "ns_dname",      [NAME_PIDFD] = "pidfs_dname",
	};

	for (size_t i = 0; i < NAME_KIND_MAX; i++) {
		struct gva address;

		ret->name_functions[i] = names[i] && symbols_find(guest->symbols, names[i], &address) ? address.v : 0;
	}
}

/* The root directory of the first process, which comes first in the list. */
static struct error *load_root(struct guest *guest, struct path_layout *layout)
{
	struct member tasks, pid, fs, root;
	const struct member_need needs[] = {
		{"task_struct", "tasks", &tasks},
		{"task_struct", "tgid", &pid},
		{"task_struct", "fs", &fs},
		{"fs_struct", "root", &root},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	struct gva init, task;
	uint64_t next = 0, number = 0, address = 0;

	if (!error)
		error = symbols_get(guest->symbols, "init_task", &init);
	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){init.v + tasks.offset}, &next);
	task.v = next - tasks.offset;
	if (!error)
		error = guest_read_member(guest, task, &pid, &number);
	if (!error)
		error = guest_read_member(guest, task, &fs, &address);
	if (error || number != 1 || !address)
		return error;
	return place_read(guest, layout, (struct gva){address + root.offset}, &layout->root);
}

struct error *path_layout_load(struct guest *guest, struct path_layout *ret)
{
	struct error *error;

	*ret = (struct path_layout){0};
	error = load_members(guest, ret);
	if (!error)
		error = load_others(guest, ret);
	if (error)
		return error;
	load_functions(guest, ret);
	/* Without it paths are those from the top of all mounts, which is nearly always the same. */
	error_destroy(load_root(guest, ret));
	return NULL;
}

/* ---- Text ---- */

/* Grows to the left. */
struct text {
	char bytes[PATH_SIZE + 1];
	size_t start;
};

static struct error *prepend(struct text *text, const char *part, size_t size)
{
	if (size + 1 > text->start)
		return error_create(ERROR_FORMAT, "a path of the guest has more than %u bytes", PATH_SIZE);
	text->start -= size;
	memcpy(text->bytes + text->start, part, size);
	text->bytes[--text->start] = '/';
	return NULL;
}

/* ---- Dentries ---- */

struct dentry {
	uint64_t address;
	uint8_t bytes[OBJECT_MAX];
};

static struct error *dentry_read(struct guest *guest, const struct path_layout *layout, uint64_t address,
				 struct dentry *ret)
{
	ret->address = address;
	return object_read(guest, (struct gva){address}, layout->dentry_span, ret->bytes);
}

static struct error *dentry_name(struct guest *guest, const struct path_layout *layout, const struct dentry *dentry,
				 char ret[NAME_SIZE], size_t *ret_size)
{
	uint64_t name = object_field(dentry->bytes, &layout->dentry_name);
	uint64_t size = object_field(dentry->bytes, &layout->dentry_length);
	const struct member *within = &layout->dentry_inline;
	struct error *error = NULL;

	if (size >= NAME_SIZE)
		return error_format(NULL, dentry->address, "a file name of %llu bytes", (unsigned long long)size);
	if (name == dentry->address + within->offset && size <= within->size)
		memcpy(ret, dentry->bytes + within->offset, size);
	else
		error = memory_read(&guest->memory, (struct gva){name}, ret, size);
	if (error)
		return error_wrap(error, "a file name");
	ret[size] = '\0';
	*ret_size = strlen(ret); /* the kernel stops at a NUL too */
	return NULL;
}

static struct error *mount_read(struct guest *guest, const struct path_layout *layout, uint64_t address,
				uint8_t mount[OBJECT_MAX])
{
	return error_wrap(object_read(guest, (struct gva){address}, layout->mount_span, mount), "a mount");
}

/*
 * Climbs from `place` to the reader's root, or to the top of its mounts where that root is not on the way: of another
 * mount namespace, or of a file system that is unmounted but still in use.
 */
static struct error *climb(struct guest *guest, const struct path_layout *layout, struct place place, struct text *text)
{
	const struct place *root = &layout->root;
	uint8_t mount[OBJECT_MAX];
	struct dentry dentry;
	struct error *error = mount_read(guest, layout, place.mount, mount);

	for (unsigned depth = 0; !error; depth++) {
		char name[NAME_SIZE];
		uint64_t parent;
		size_t size;

		if (place.dentry == root->dentry && place.mount == root->mount)
			return NULL;
		if (depth > DEPTH_MAX)
			return error_format(NULL, place.dentry, "a path goes in circles");
		error = guest_effort(guest, 1, place.dentry);
		if (error)
			return error;
		if (place.dentry == object_field(mount, &layout->mount_root)) {
			parent = object_field(mount, &layout->mount_parent);
			if (parent == place.mount)
				return NULL;
			place.dentry = object_field(mount, &layout->mount_point);
			place.mount = parent;
			error = mount_read(guest, layout, parent, mount);
			continue;
		}
		error = dentry_read(guest, layout, place.dentry, &dentry);
		if (error)
			return error;
		parent = object_field(dentry.bytes, &layout->dentry_parent);
		if (parent == place.dentry) {
			text->start = PATH_SIZE; /* outside of what is mounted: the kernel shows "/" */
			return NULL;
		}
		error = dentry_name(guest, layout, &dentry, name, &size);
		if (!error)
			error = prepend(text, name, size);
		place.dentry = parent;
	}
	return error;
}

/* ---- Names by function ---- */

static struct error *name_kind(struct guest *guest, const struct path_layout *layout, const struct dentry *dentry,
			       const struct place *place, enum name_kind *ret)
{
	uint64_t operations = object_field(dentry->bytes, &layout->dentry_operations), function = 0;
	uint8_t mount[OBJECT_MAX];
	struct error *error = NULL;

	*ret = NAME_PATH;
	if (operations)
		error = guest_read_member(guest, (struct gva){operations}, &layout->operations_name, &function);
	if (error || !function)
		return error;
	/* Where such a thing is mounted on a file, it has a path (nsfs bound to /run/netns/NAME). */
	if (object_field(dentry->bytes, &layout->dentry_parent) == dentry->address) {
		error = mount_read(guest, layout, place->mount, mount);
		if (error || object_field(mount, &layout->mount_root) == dentry->address)
			return error;
	}
	*ret = NAME_UNKNOWN;
	for (int i = 0; i < NAME_KIND_MAX; i++)
		if (layout->name_functions[i] == function)
			*ret = (enum name_kind)i;
	return NULL;
}

/* "mnt", … of the namespace that an inode of nsfs stands for. */
static struct error *namespace_name(struct guest *guest, const struct path_layout *layout, uint64_t inode,
				    char ret[NAME_SIZE])
{
	uint64_t space, operations, name;
	struct error *error = guest_read_member(guest, (struct gva){inode}, &layout->inode_private, &space);

	if (!error)
		error = guest_read_member(guest, (struct gva){space}, &layout->namespace_operations, &operations);
	if (!error)
		error = guest_read_member(guest, (struct gva){operations}, &layout->namespace_name, &name);
	return error ? error : memory_read_string(&guest->memory, (struct gva){name}, ret, NAME_SIZE);
}

static struct error *name_by_function(struct guest *guest, const struct path_layout *layout,
				      const struct dentry *dentry, enum name_kind kind, char **ret)
{
	uint64_t inode = object_field(dentry->bytes, &layout->dentry_inode), number = 0;
	char name[NAME_SIZE] = "";
	size_t size;
	struct error *error = NULL;

	if (kind == NAME_ANON || kind == NAME_SIMPLE)
		error = dentry_name(guest, layout, dentry, name, &size);
	else if (kind != NAME_PIDFD)
		error = guest_read_member(guest, (struct gva){inode}, &layout->inode_number, &number);
	if (!error && kind == NAME_SPACE)
		error = namespace_name(guest, layout, inode, name);
	if (error)
		return error;
	if (kind == NAME_ANON)
		*ret = string_format("anon_inode:%s", name);
	else if (kind == NAME_SIMPLE)
		*ret = string_format("/%s (deleted)", name);
	else if (kind == NAME_PIDFD)
		*ret = string_format("anon_inode:[pidfd]");
	else
		*ret = string_format("%s:[%llu]",
				     kind == NAME_PIPE     ? "pipe"
				     : kind == NAME_SOCKET ? "socket"
							   : name,
				     (unsigned long long)number);
	return *ret ? NULL : error_no_memory();
}

/* ---- Places and files ---- */

struct error *place_read(struct guest *guest, const struct path_layout *layout, struct gva address, struct place *ret)
{
	uint64_t mount, dentry;
	const struct member_read reads[] = {{&layout->path_mount, &mount}, {&layout->path_dentry, &dentry}};
	struct error *error = guest_read_members(guest, address, reads, ARRAY_SIZE(reads));

	if (!error)
		*ret = (struct place){.mount = mount - layout->mount_vfs.offset, .dentry = dentry};
	return error;
}

struct error *place_path(struct guest *guest, const struct path_layout *layout, const struct place *place, char **ret)
{
	struct text text = {.start = PATH_SIZE};
	struct dentry dentry;
	enum name_kind kind;
	bool unlinked;
	struct error *error = dentry_read(guest, layout, place->dentry, &dentry);

	if (!error)
		error = name_kind(guest, layout, &dentry, place, &kind);
	if (error)
		return error_wrap(error, "path of a file");
	if (kind == NAME_UNKNOWN) {
		*ret = NULL;
		return NULL;
	}
	if (kind != NAME_PATH)
		return name_by_function(guest, layout, &dentry, kind, ret);
	unlinked = !object_field(dentry.bytes, &layout->dentry_hashed) &&
		   object_field(dentry.bytes, &layout->dentry_parent) != place->dentry;
	error = climb(guest, layout, *place, &text);
	if (error)
		return error_wrap(error, "path of a file");
	*ret = string_format("%s%s", text.start == PATH_SIZE ? "/" : text.bytes + text.start,
			     unlinked ? " (deleted)" : "");
	return *ret ? NULL : error_no_memory();
}

struct error *file_path(struct guest *guest, const struct path_layout *layout, struct gva file, char **ret)
{
	uint8_t bytes[OBJECT_MAX];
	struct error *error = object_read(guest, file, layout->file_span, bytes);
	struct place place;

	if (error)
		return error_wrap(error, "an open file");
	place.mount = object_field(bytes, &layout->file_mount) - layout->mount_vfs.offset;
	place.dentry = object_field(bytes, &layout->file_dentry);
	return place_path(guest, layout, &place, ret);
}

struct error *file_read(struct guest *guest, const struct path_layout *layout, uint64_t file, struct file_facts *ret)
{
	uint8_t bytes[OBJECT_MAX];
	struct error *error = object_read(guest, (struct gva){file}, layout->file_span, bytes);

	if (error)
		return error_wrap(error, "an open file");
	ret->place.mount = object_field(bytes, &layout->file_mount) - layout->mount_vfs.offset;
	ret->place.dentry = object_field(bytes, &layout->file_dentry);
	ret->inode = object_field(bytes, &layout->file_inode);
	ret->position = object_field(bytes, &layout->file_position);
	ret->flags = (uint32_t)object_field(bytes, &layout->file_flags);
	error = guest_read_member(guest, (struct gva){ret->inode}, &layout->inode_number, &ret->number);
	return error_wrap(error, "inode of an open file");
}

/* ---- Mapped files ---- */

/*
 * The bit that says so has moved and other bits are in its old place; so what it says is believed only where a path
 * follows the file whose mount and dentry are of one file system.
 */
static bool find_user_place(struct guest *guest, const struct path_layout *layout, uint64_t file, struct place *ret)
{
	uint8_t mount[OBJECT_MAX];
	struct dentry dentry;
	struct place place;
	struct error *error;
	bool fits;

	error = place_read(guest, layout, (struct gva){file + layout->user_path.offset}, &place);
	if (!error)
		error = mount_read(guest, layout, place.mount, mount);
	if (!error)
		error = dentry_read(guest, layout, place.dentry, &dentry);
	fits = !error && object_field(mount, &layout->mount_super) == object_field(dentry.bytes, &layout->dentry_super);
	error_destroy(error);
	if (fits)
		*ret = place;
	return fits;
}

struct error *mapped_file_read(struct guest *guest, const struct path_layout *layout, uint64_t file,
			       struct mapped_file *ret)
{
	uint8_t bytes[OBJECT_MAX], inode_bytes[OBJECT_MAX];
	struct error *error = object_read(guest, (struct gva){file}, layout->file_span, bytes);
	struct place place;
	uint64_t inode, super, device = 0;

	if (error)
		return error_wrap(error, "a mapped file");
	place.mount = object_field(bytes, &layout->file_mount) - layout->mount_vfs.offset;
	place.dentry = object_field(bytes, &layout->file_dentry);
	inode = object_field(bytes, &layout->file_inode);
	if (layout->user_path.present && object_field(bytes, &layout->file_mode) & BACKING_MODES &&
	    find_user_place(guest, layout, file, &place))
		error = guest_read_member(guest, (struct gva){place.dentry}, &layout->dentry_inode, &inode);
	if (!error)
		error = object_read(guest, (struct gva){inode}, layout->inode_span, inode_bytes);
	if (error)
		return error_wrap(error, "inode of a mapped file");
	super = object_field(inode_bytes, &layout->inode_super);
	error = guest_read_member(guest, (struct gva){super}, &layout->super_device, &device);
	if (error)
		return error_wrap(error, "file system of a mapped file");
	ret->inode = object_field(inode_bytes, &layout->inode_number);
	ret->major = (uint32_t)(device >> 20); /* MINORBITS */
	ret->minor = (uint32_t)(device & 0xfffff);
	ret->place = place;
	return NULL;
}
