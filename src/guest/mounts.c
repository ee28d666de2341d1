/* SPDX-License-Identifier: Apache-2.0 */
/* A mount namespace, line by line as /proc/PID/mountinfo and /proc/PID/mounts show it (fs/proc_namespace.c). */
#include "guest/mounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "guest/containers.h"
#include "guest/object.h"
#include "guest/vfs.h"

/* mnt_flags (include/linux/mount.h). Macros before 6.17, and the same ever since they exist. */
#define MNT_READONLY   UINT64_C(0x40)
#define MNT_SHARED     UINT64_C(0x1000)
#define MNT_UNBINDABLE UINT64_C(0x2000)
#define MNT_CURSOR     UINT64_C(0x10000000) /* a reader's place in the list (5.8 to 6.7), not a mount */
/* mnt_t_flags (6.17 and later) */
#define T_SHARED       UINT64_C(1)
#define T_UNBINDABLE   UINT64_C(2)

#define SB_RDONLY      UINT64_C(1)
#define NSFS_MAGIC     UINT64_C(0x6e736673)

/* All strings of one list: what a namespace with 100,000 mounts (fs.mount-max) can have. */
#define TEXT_MAX       (UINT64_C(256) << 20)

struct flag_word {
	uint64_t flag;
	const char *word;
};
static const struct flag_word super_words[] = {
	{1u << 4, ",sync"},
	{1u << 7, ",dirsync"},
	{1u << 6, ",mand"}, /* never set since 5.15 */
	{1u << 25, ",lazytime"},
};
static const struct flag_word mount_words[] = {
	{0x01, ",nosuid"},     {0x02, ",nodev"},    {0x04, ",noexec"},      {0x08, ",noatime"},
	{0x10, ",nodiratime"}, {0x20, ",relatime"}, {0x80, ",nosymfollow"},
};

/* A walk over one namespace. */
struct walk {
	const struct vfs_layout *layout;
	struct mount_options *options;
	struct place root;
	uint64_t no_idmap;               /* address of nop_mnt_idmap; 0: unknown */
	uint64_t initial_user_namespace; /* address of init_user_ns; 0: unknown */
	uint64_t text;                   /* bytes so far */
	uint64_t *masters;               /* of each in the list: address of what it receives from; 0: nothing */
	struct guest_mount_list list;
};

static void mount_deinit(struct guest_mount *mount)
{
	free(mount->root);
	free(mount->target);
	free(mount->fstype);
	free(mount->source);
	free(mount->options);
	free(mount->mount_options);
	free(mount->super_options);
}

void guest_mount_list_deinit(struct guest_mount_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		mount_deinit(&list->items[i]);
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_mount_list){0};
}

static struct error *append(struct walk *walk, struct guest_mount *mount, uint64_t master)
{
	struct guest_mount_list *list = &walk->list;
	struct error *error;

	/* The options are there once more, in two parts. */
	walk->text += strlen(mount->root) + strlen(mount->target) + strlen(mount->source) + 2 * strlen(mount->options);
	if (walk->text > TEXT_MAX)
		return error_create(ERROR_FORMAT, "the guest's mounts have more than %llu bytes of text",
				    (unsigned long long)TEXT_MAX);
	error = array_room(&list->items, list->n, sizeof(*list->items));
	if (!error)
		error = array_room(&walk->masters, list->n, sizeof(*walk->masters));
	if (error)
		return error;
	walk->masters[list->n] = master;
	list->items[list->n++] = *mount;
	*mount = (struct guest_mount){0};
	return NULL;
}

/* ---- Options ---- */

static bool has_idmap(const struct walk *walk, const struct object *mount, const struct vfs_super *super)
{
	const struct vfs_layout *layout = walk->layout;
	uint64_t namespace = object_get(mount, &layout->mount_userns);

	if (layout->mount_idmap.present)
		return walk->no_idmap && object_get(mount, &layout->mount_idmap) != walk->no_idmap;
	/* Which of the two stands for "not mapped" changed in 5.17. */
	return layout->mount_userns.present && namespace != super->user_namespace &&
	       namespace != walk->initial_user_namespace;
}

static void write_words(FILE *out, const struct flag_word *words, size_t n, uint64_t flags)
{
	for (size_t i = 0; i < n; i++)
		if (flags & words[i].flag)
			fputs(words[i].word, out);
}

/* The parts of which the options are put together, each word after a comma. */
struct option_parts {
	char *super; /* flags of the file system, and what the security module adds */
	char *mount;
	char *own; /* what the file system shows of itself */
};

static void option_parts_deinit(struct option_parts *parts)
{
	free(parts->super);
	free(parts->mount);
	free(parts->own);
}

/* What `show` writes, as far as it comes: its error is kept in the list. */
static struct error *show_part(struct walk *walk, const struct vfs_super *super,
			       struct error *(*show)(struct mount_options *, const struct vfs_super *, FILE *),
			       const struct flag_word *words, size_t n_words, uint64_t flags, char **ret)
{
	size_t size = 0;
	FILE *out = open_memstream(ret, &size);
	struct error *error = NULL;

	if (!out)
		return error_no_memory();
	write_words(out, words, n_words, flags);
	if (show)
		error = walk_note(&walk->list.incomplete,
				  error_wrap(show(walk->options, super, out), "options of a file system of type %s",
					     super->type));
	if (fclose(out) != 0 && !error)
		error = error_no_memory();
	return error;
}

static struct error *show_parts(struct walk *walk, const struct object *mount, const struct vfs_super *super,
				struct option_parts *ret)
{
	uint64_t flags = object_get(mount, &walk->layout->mount_flags);
	struct error *error = show_part(walk, super, mount_options_show_security, super_words, ARRAY_SIZE(super_words),
					super->flags, &ret->super);

	if (!error)
		error = show_part(walk, super, NULL, mount_words, ARRAY_SIZE(mount_words), flags, &ret->mount);
	return error ? error : show_part(walk, super, mount_options_show, NULL, 0, 0, &ret->own);
}

static struct error *show_options(struct walk *walk, const struct object *mount, const struct vfs_super *super,
				  struct guest_mount *ret)
{
	_cleanup_(option_parts_deinit) struct option_parts parts = {0};
	const char *idmapped = has_idmap(walk, mount, super) ? ",idmapped" : "";
	bool mount_ro = object_get(mount, &walk->layout->mount_flags) & MNT_READONLY;
	bool super_ro = super->flags & SB_RDONLY;
	struct error *error = show_parts(walk, mount, super, &parts);

	if (error)
		return error;
	ret->options = string_format("%s%s%s%s%s", mount_ro || super_ro ? "ro" : "rw", parts.super, parts.mount,
				     idmapped, parts.own);
	ret->mount_options = string_format("%s%s%s", mount_ro ? "ro" : "rw", parts.mount, idmapped);
	ret->super_options = string_format("%s%s%s", super_ro ? "ro" : "rw", parts.super, parts.own);
	return ret->options && ret->mount_options && ret->super_options ? NULL : error_no_memory();
}

/* ---- One mount ---- */

static struct error *show_root(struct guest *guest, struct walk *walk, const struct object *mount,
			       const struct vfs_super *super, char **ret)
{
	uint64_t dentry = object_get(mount, &walk->layout->path->mount_root);
	uint64_t inode;
	struct error *error;

	if (super->magic != NSFS_MAGIC)
		return dentry_path(guest, walk->layout->path, dentry, ret);
	/* What is mounted of nsfs is a namespace, shown by kind and number (nsfs_show_path). */
	error = guest_read_member(guest, (struct gva){dentry}, &walk->layout->path->dentry_inode, &inode);
	return error ? error : namespace_text(guest, walk->layout->path, inode, ret);
}

static struct error *show_type(const struct vfs_super *super, char **ret)
{
	if (asprintf(ret, "%s%s%s", super->type, super->subtype[0] ? "." : "", super->subtype) < 0)
		return error_no_memory();
	return NULL;
}

static struct error *show_source(struct guest *guest, const struct walk *walk, const struct object *mount, char **ret)
{
	uint64_t name = object_get(mount, &walk->layout->mount_source);

	if (name)
		return vfs_string(guest, name, ret);
	*ret = strdup("none");
	return *ret ? NULL : error_no_memory();
}

static struct error *read_group(struct guest *guest, const struct walk *walk, const struct object *mount,
				struct guest_mount *ret)
{
	const struct vfs_layout *layout = walk->layout;
	uint64_t flags = object_get(mount, &layout->mount_flags);
	uint64_t propagation = object_get(mount, &layout->mount_propagation);
	uint64_t master = object_get(mount, &layout->mount_master), group = 0;
	bool shared = layout->mount_propagation.present ? propagation & T_SHARED : flags & MNT_SHARED;
	struct error *error = NULL;

	if (master)
		error = guest_read_member(guest, (struct gva){master}, &layout->mount_group, &group);
	if (error)
		return error;
	ret->peer_group = shared ? (uint32_t)object_get(mount, &layout->mount_group) : 0;
	ret->master = (uint32_t)group;
	ret->unbindable = layout->mount_propagation.present ? propagation & T_UNBINDABLE : flags & MNT_UNBINDABLE;
	return NULL;
}

/* Fills in what is known of the mount; its target is there already. */
static struct error *read_mount(struct guest *guest, struct walk *walk, const struct object *mount,
				struct guest_mount *ret)
{
	const struct vfs_layout *layout = walk->layout;
	struct vfs_super super;
	uint64_t parent;
	struct error *error = vfs_super_read(guest, layout, object_get(mount, &layout->path->mount_super), &super);

	if (!error)
		error = guest_read_member(guest, (struct gva){object_get(mount, &layout->path->mount_parent)},
					  &layout->mount_id, &parent);
	if (!error)
		error = show_root(guest, walk, mount, &super, &ret->root);
	if (!error)
		error = show_type(&super, &ret->fstype);
	if (!error)
		error = show_source(guest, walk, mount, &ret->source);
	if (!error)
		error = read_group(guest, walk, mount, ret);
	if (!error)
		error = show_options(walk, mount, &super, ret);
	if (error)
		return error;
	ret->id = (int32_t)object_get(mount, &layout->mount_id);
	ret->parent = (int32_t)parent;
	ret->major = super.device >> 20;
	ret->minor = super.device & 0xfffff;
	return NULL;
}

static struct error *visit(struct guest *guest, struct gva address, void *context)
{
	struct walk *walk = context;
	const struct vfs_layout *layout = walk->layout;
	struct guest_mount mount = {0};
	struct object record;
	struct place place = {.mount = address.v};
	struct error *error = object_load(guest, layout->mount_span, address.v, &record);

	/* A cursor has no other member that is filled in. 0x10000000 means nothing else in kernels without cursors. */
	if (!error && object_get(&record, &layout->mount_flags) & MNT_CURSOR && layout->namespace_list.present)
		return NULL;
	place.dentry = object_get(&record, &layout->path->mount_root);
	if (!error)
		error = place_path_from(guest, layout->path, &place, &walk->root, &mount.target);
	/* mountinfo leaves out what the task cannot reach: above its root, and 7.2's nullfs under every root. */
	if (!error && !mount.target)
		return NULL;
	if (!error)
		error = read_mount(guest, walk, &record, &mount);
	if (!error)
		error = append(walk, &mount, object_get(&record, &layout->mount_master));
	mount_deinit(&mount);
	if (error && guest_effort_spent(guest))
		return error;
	return walk_note(&walk->list.incomplete, error);
}

/* ---- The namespace ---- */

static struct error *find_namespace(struct guest *guest, const struct vfs_layout *layout, uint64_t task, uint64_t *ret)
{
	uint64_t proxy;
	struct error *error = guest_read_member(guest, (struct gva){task}, &layout->task_proxy, &proxy);

	if (!error && !proxy)
		error = error_create(ERROR_NOT_FOUND, "the process has ended: it has no mounts any more");
	return error ? error : guest_read_member(guest, (struct gva){proxy}, &layout->proxy_mount, ret);
}

static struct error *walk_namespace(struct guest *guest, struct walk *walk, uint64_t namespace)
{
	const struct vfs_layout *layout = walk->layout;
	struct gva mounts = {namespace + layout->namespace_mounts.offset};
	struct gva list = {namespace + layout->namespace_list.offset};

	/* Before 6.8 a list; the member called `mounts` was their number. */
	if (layout->namespace_list.present && layout->mount_list.present)
		return list_walk(guest, list, layout->mount_list.offset, visit, walk);
	if (layout->mount_node.present)
		return rb_walk(guest, mounts, layout->mount_node.offset, visit, walk);
	return error_create(ERROR_UNSUPPORTED, "the guest's kernel keeps its mounts in an unknown way");
}

/* ---- Where mounts come from that a namespace does not see ---- */

#define MASTERS_MAX 64u /* copies of copies of a namespace */

static int compare_groups(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The nearest group above `master` that has a mount in the list (get_dominating_id() of the kernel); 0: none. */
static struct error *find_visible(struct guest *guest, const struct walk *walk, const uint32_t *groups, uint64_t master,
				  uint32_t *ret)
{
	const struct vfs_layout *layout = walk->layout;
	struct error *error = NULL;
	uint64_t group;

	*ret = 0;
	for (unsigned i = 0; !error && master && i < MASTERS_MAX; i++) {
		const struct member_read reads[] = {{&layout->mount_group, &group}, {&layout->mount_master, &master}};
		uint32_t key;

		error = guest_read_members(guest, (struct gva){master}, reads, ARRAY_SIZE(reads));
		key = error ? 0 : (uint32_t)group;
		if (!key || !bsearch(&key, groups, walk->list.n, sizeof(key), compare_groups))
			continue;
		*ret = key;
		return NULL;
	}
	return error;
}

static struct error *add_propagation(struct guest *guest, struct walk *walk)
{
	_cleanup_(free_ptr) uint32_t *groups = calloc(walk->list.n + 1, sizeof(*groups));
	struct error *error = NULL;

	if (!groups)
		return error_no_memory();
	for (size_t i = 0; i < walk->list.n; i++)
		groups[i] = walk->list.items[i].peer_group;
	qsort(groups, walk->list.n, sizeof(*groups), compare_groups);
	for (size_t i = 0; !error && i < walk->list.n; i++) {
		struct guest_mount *mount = &walk->list.items[i];

		if (walk->masters[i])
			error = find_visible(guest, walk, groups, walk->masters[i], &mount->propagated);
		if (mount->propagated == mount->master)
			mount->propagated = 0;
	}
	return error;
}

struct error *guest_mounts(struct guest *guest, uint64_t task, struct guest_mount_list *ret)
{
	_cleanup_(mount_options_destroy_ptr) struct mount_options *options = NULL;
	struct walk walk = {0};
	uint64_t namespace;
	struct gva no_idmap, user_namespace;
	struct error *error = vfs_layout_get(guest, &walk.layout);

	guest_effort_begin(guest);
	if (!error && !task)
		error = first_process(guest, walk.layout->path, &task);
	if (!error)
		error = place_of_root(guest, walk.layout->path, task, &walk.root);
	if (!error)
		error = find_namespace(guest, walk.layout, task, &namespace);
	if (!error)
		error = mount_options_create(guest, walk.layout, &options);
	if (error)
		return error_wrap(error, "the guest's mounts");
	walk.options = options;
	if (symbols_find(guest->symbols, "nop_mnt_idmap", &no_idmap))
		walk.no_idmap = no_idmap.v;
	if (symbols_find(guest->symbols, "init_user_ns", &user_namespace))
		walk.initial_user_namespace = user_namespace.v;
	error = walk_note(&walk.list.incomplete, walk_namespace(guest, &walk, namespace));
	if (!error)
		error = walk_note(&walk.list.incomplete, add_propagation(guest, &walk));
	free(walk.masters);
	if (error || (walk.list.n == 0 && walk.list.incomplete)) {
		if (!error)
			error = take_ptr(walk.list.incomplete);
		guest_mount_list_deinit(&walk.list);
		return error_wrap(error, "the guest's mounts");
	}
	walk.list.incomplete = error_wrap(walk.list.incomplete, "the guest's mounts");
	*ret = walk.list;
	return NULL;
}
