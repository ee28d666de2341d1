/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of files, put together from their last name to their first as d_path() does (fs/d_path.c). */
#include "guest/paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

#define MOUNTS_MAX    4096u               /* on the way of one path */
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
		{"task_struct", "tasks", &ret->task_list},
		{"task_struct", "tgid", &ret->task_tgid},
		{"task_struct", "fs", &ret->task_fs},
		{"fs_struct", "root", &ret->fs_root},
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

static struct error *load_layout(struct guest *guest, struct path_layout *ret)
{
	struct error *error = load_members(guest, ret);

	if (!error)
		error = load_others(guest, ret);
	if (error)
		return error;
	load_functions(guest, ret);
	/* Without it paths are those from the top of all mounts, which is nearly always the same. */
	error_destroy(place_of_root(guest, ret, 0, &ret->root));
	return NULL;
}

DEFINE_LAYOUT_GET(, path_layout_get, path_layout, paths, load_layout)

/* ---- Dentries ---- */

static struct error *dentry_read(struct guest *guest, const struct path_layout *layout, uint64_t address,
				 struct object *ret)
{
	return object_load(guest, layout->dentry_span, address, ret);
}

struct error *dentry_name(struct guest *guest, const struct path_layout *layout, const struct object *dentry,
			  char ret[FILE_NAME_SIZE], size_t *ret_size)
{
	uint64_t name = object_get(dentry, &layout->dentry_name);
	uint64_t size = object_get(dentry, &layout->dentry_length);
	const struct member *within = &layout->dentry_inline;
	struct error *error = NULL;

	if (size >= FILE_NAME_SIZE)
		return error_format(NULL, dentry->address.v, "a file name of %llu bytes", (unsigned long long)size);
	if (name == object_place(dentry, within).v && size <= within->size)
		memcpy(ret, dentry->bytes + within->offset, size);
	else
		error = memory_read(&guest->memory, (struct gva){name}, ret, size);
	if (error)
		return error_wrap(error, "a file name");
	ret[size] = '\0';
	*ret_size = size;
	return NULL;
}

static struct error *mount_read(struct guest *guest, const struct path_layout *layout, uint64_t address,
				struct object *ret)
{
	return error_wrap(object_load(guest, layout->mount_span, address, ret), "a mount");
}

/* ---- Climbing ---- */

/* Takes names from *dentry up to `stop` or `top` (0: neither), or to a dentry that is its own parent. */
static struct error *climb_names(struct guest *guest, const struct path_layout *layout, uint64_t *dentry, uint64_t stop,
				 uint64_t top, struct path_text *text)
{
	struct object record;

	while (!*dentry || (*dentry != stop && *dentry != top)) {
		char name[FILE_NAME_SIZE];
		uint64_t parent;
		size_t size;
		struct error *error = guest_effort(guest, 1, *dentry);

		if (!error)
			error = dentry_read(guest, layout, *dentry, &record);
		if (error)
			return error;
		parent = object_get(&record, &layout->dentry_parent);
		if (parent == *dentry)
			return NULL;
		error = dentry_name(guest, layout, &record, name, &size);
		if (!error)
			error = path_text_prepend(text, name); /* the kernel stops at a NUL, too */
		if (error)
			return error;
		*dentry = parent;
	}
	return NULL;
}

/* Where a climb through mounts ended. */
enum climb_end {
	CLIMB_ROOT,     /* at the root asked for */
	CLIMB_TOP,      /* at the top of other mounts: another namespace, a file system unmounted and still in use */
	CLIMB_DETACHED, /* at a directory above what is mounted */
};

static struct error *climb(struct guest *guest, const struct path_layout *layout, struct place place,
			   const struct place *root, struct path_text *text, enum climb_end *ret)
{
	struct object mount;

	for (unsigned i = 0; i < MOUNTS_MAX; i++) {
		uint64_t top, stop, parent;
		struct error *error = guest_effort(guest, 1, place.mount);

		if (!error)
			error = mount_read(guest, layout, place.mount, &mount);
		if (error)
			return error;
		top = object_get(&mount, &layout->mount_root);
		stop = place.mount == root->mount ? root->dentry : top;
		error = climb_names(guest, layout, &place.dentry, stop, top, text);
		if (error)
			return error;
		parent = object_get(&mount, &layout->mount_parent);
		if (place.mount == root->mount && place.dentry == root->dentry)
			*ret = CLIMB_ROOT;
		else if (place.dentry != top)
			*ret = CLIMB_DETACHED;
		else if (parent == place.mount)
			*ret = CLIMB_TOP;
		else {
			place = (struct place){.mount = parent, .dentry = object_get(&mount, &layout->mount_point)};
			continue;
		}
		return NULL;
	}
	return error_format(NULL, place.mount, "a path goes in circles");
}

struct error *place_path_from(struct guest *guest, const struct path_layout *layout, const struct place *place,
			      const struct place *root, char **ret)
{
	struct path_text text;
	enum climb_end end;
	struct error *error;

	path_text_init(&text);
	error = climb(guest, layout, *place, root, &text, &end);
	if (error)
		return error;
	if (end == CLIMB_ROOT)
		return path_text_take(&text, "", ret);
	*ret = NULL;
	return NULL;
}

struct error *dentry_path(struct guest *guest, const struct path_layout *layout, uint64_t dentry, char **ret)
{
	struct path_text text;
	struct object record;
	struct error *error = dentry_read(guest, layout, dentry, &record);
	bool unlinked;

	if (error)
		return error;
	unlinked =
		!object_get(&record, &layout->dentry_hashed) && object_get(&record, &layout->dentry_parent) != dentry;
	path_text_init(&text);
	error = climb_names(guest, layout, &dentry, 0, 0, &text);
	return error ? error : path_text_take(&text, unlinked ? "//deleted" : "", ret);
}

/* ---- Names by function ---- */

static struct error *name_kind(struct guest *guest, const struct path_layout *layout, const struct object *dentry,
			       const struct place *place, enum name_kind *ret)
{
	uint64_t operations = object_get(dentry, &layout->dentry_operations), function = 0;
	struct object mount;
	struct error *error = NULL;

	*ret = NAME_PATH;
	if (operations)
		error = guest_read_member(guest, (struct gva){operations}, &layout->operations_name, &function);
	if (error || !function)
		return error;
	/* Where such a thing is mounted on a file, it has a path (nsfs bound to /run/netns/NAME). */
	if (object_get(dentry, &layout->dentry_parent) == dentry->address.v) {
		error = mount_read(guest, layout, place->mount, &mount);
		if (error || object_get(&mount, &layout->mount_root) == dentry->address.v)
			return error;
	}
	*ret = NAME_UNKNOWN;
	for (int i = 0; i < NAME_KIND_MAX; i++)
		if (layout->name_functions[i] == function)
			*ret = (enum name_kind)i;
	return NULL;
}

struct error *namespace_text(struct guest *guest, const struct path_layout *layout, uint64_t inode, char **ret)
{
	uint64_t number, space, operations, address;
	char name[32]; /* "mnt", … */
	struct error *error = guest_read_member(guest, (struct gva){inode}, &layout->inode_number, &number);

	if (!error)
		error = guest_read_member(guest, (struct gva){inode}, &layout->inode_private, &space);
	if (!error)
		error = guest_read_member(guest, (struct gva){space}, &layout->namespace_operations, &operations);
	if (!error)
		error = guest_read_member(guest, (struct gva){operations}, &layout->namespace_name, &address);
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){address}, name, sizeof(name));
	if (error)
		return error;
	*ret = string_format("%s:[%llu]", name, (unsigned long long)number);
	return *ret ? NULL : error_no_memory();
}

static struct error *name_by_function(struct guest *guest, const struct path_layout *layout,
				      const struct object *dentry, enum name_kind kind, char **ret)
{
	uint64_t inode = object_get(dentry, &layout->dentry_inode), number = 0;
	char name[FILE_NAME_SIZE] = "";
	size_t size;
	struct error *error = NULL;

	if (kind == NAME_SPACE)
		return namespace_text(guest, layout, inode, ret);
	if (kind == NAME_ANON || kind == NAME_SIMPLE)
		error = dentry_name(guest, layout, dentry, name, &size);
	else if (kind != NAME_PIDFD)
		error = guest_read_member(guest, (struct gva){inode}, &layout->inode_number, &number);
	if (error)
		return error;
	if (kind == NAME_ANON)
		*ret = string_format("anon_inode:%s", name);
	else if (kind == NAME_SIMPLE)
		*ret = string_format("/%s (deleted)", name);
	else if (kind == NAME_PIDFD)
		*ret = string_format("anon_inode:[pidfd]");
	else
		*ret = string_format("%s:[%llu]", kind == NAME_PIPE ? "pipe" : "socket", (unsigned long long)number);
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
	struct path_text text;
	struct object dentry;
	enum name_kind kind;
	enum climb_end end;
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
	unlinked = !object_get(&dentry, &layout->dentry_hashed) &&
		   object_get(&dentry, &layout->dentry_parent) != place->dentry;
	path_text_init(&text);
	error = climb(guest, layout, *place, &layout->root, &text, &end);
	if (error)
		return error_wrap(error, "path of a file");
	if (end == CLIMB_DETACHED)
		path_text_init(&text); /* the kernel shows "/" */
	return path_text_take(&text, unlinked ? " (deleted)" : "", ret);
}

static struct place file_place(const struct path_layout *layout, const struct object *file)
{
	return (struct place){.mount = object_get(file, &layout->file_mount) - layout->mount_vfs.offset,
			      .dentry = object_get(file, &layout->file_dentry)};
}

struct error *file_path(struct guest *guest, const struct path_layout *layout, struct gva file, char **ret)
{
	struct object record;
	struct error *error = object_load(guest, layout->file_span, file.v, &record);
	struct place place;

	if (error)
		return error_wrap(error, "an open file");
	place = file_place(layout, &record);
	return place_path(guest, layout, &place, ret);
}

struct error *file_read(struct guest *guest, const struct path_layout *layout, uint64_t file, struct file_facts *ret)
{
	struct object record;
	struct error *error = object_load(guest, layout->file_span, file, &record);

	if (error)
		return error_wrap(error, "an open file");
	ret->place = file_place(layout, &record);
	ret->inode = object_get(&record, &layout->file_inode);
	ret->position = object_get(&record, &layout->file_position);
	ret->flags = (uint32_t)object_get(&record, &layout->file_flags);
	error = guest_read_member(guest, (struct gva){ret->inode}, &layout->inode_number, &ret->number);
	return error_wrap(error, "inode of an open file");
}

/* ---- Tasks ---- */

struct error *first_process(struct guest *guest, const struct path_layout *layout, uint64_t *ret)
{
	const uint32_t list = layout->task_list.offset;
	struct loop_guard guard = {0};
	struct gva idle;
	uint64_t next, id;
	struct error *error = symbols_get(guest->symbols, "init_task", &idle);

	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){idle.v + list}, &next);
	while (!error && next != idle.v + list) {
		error = guest_read_member(guest, (struct gva){next - list}, &layout->task_tgid, &id);
		if (!error && id == 1) {
			*ret = next - list;
			return NULL;
		}
		if (!error && !loop_guard_step(&guard, next))
			error = error_format(NULL, next, "the guest's processes go in circles");
		if (!error)
			error = memory_read_u64(&guest->memory, (struct gva){next}, &next);
	}
	return error ? error : error_create(ERROR_NOT_FOUND, "the guest has no process 1");
}

struct error *place_of_root(struct guest *guest, const struct path_layout *layout, uint64_t task, struct place *ret)
{
	uint64_t fs;
	struct error *error = task ? NULL : first_process(guest, layout, &task);

	if (!error)
		error = guest_read_member(guest, (struct gva){task}, &layout->task_fs, &fs);
	if (!error && !fs)
		error = error_create(ERROR_NOT_FOUND, "the process has ended: it has no root directory any more");
	if (!error)
		error = place_read(guest, layout, (struct gva){fs + layout->fs_root.offset}, ret);
	return error_wrap(error, "root directory of a process");
}

/* ---- Mapped files ---- */

/*
 * The bit that says so has moved and other bits are in its old place; so what it says is believed only where a path
 * follows the file whose mount and dentry are of one file system.
 */
static bool find_user_place(struct guest *guest, const struct path_layout *layout, uint64_t file, struct place *ret)
{
	struct object mount;
	struct object dentry;
	struct place place;
	struct error *error;
	bool fits;

	error = place_read(guest, layout, (struct gva){file + layout->user_path.offset}, &place);
	if (!error)
		error = mount_read(guest, layout, place.mount, &mount);
	if (!error)
		error = dentry_read(guest, layout, place.dentry, &dentry);
	fits = !error && object_get(&mount, &layout->mount_super) == object_get(&dentry, &layout->dentry_super);
	error_destroy(error);
	if (fits)
		*ret = place;
	return fits;
}

struct error *mapped_file_read(struct guest *guest, const struct path_layout *layout, uint64_t file,
			       struct mapped_file *ret)
{
	struct object record, inode_record;
	struct error *error = object_load(guest, layout->file_span, file, &record);
	struct place place;
	uint64_t inode, super, device = 0;

	if (error)
		return error_wrap(error, "a mapped file");
	place = file_place(layout, &record);
	inode = object_get(&record, &layout->file_inode);
	if (layout->user_path.present && object_get(&record, &layout->file_mode) & BACKING_MODES &&
	    find_user_place(guest, layout, file, &place))
		error = guest_read_member(guest, (struct gva){place.dentry}, &layout->dentry_inode, &inode);
	if (!error)
		error = object_load(guest, layout->inode_span, inode, &inode_record);
	if (error)
		return error_wrap(error, "inode of a mapped file");
	super = object_get(&inode_record, &layout->inode_super);
	error = guest_read_member(guest, (struct gva){super}, &layout->super_device, &device);
	if (error)
		return error_wrap(error, "file system of a mapped file");
	ret->inode = object_get(&inode_record, &layout->inode_number);
	ret->major = (uint32_t)(device >> 20); /* MINORBITS */
	ret->minor = (uint32_t)(device & 0xfffff);
	ret->place = place;
	return NULL;
}
