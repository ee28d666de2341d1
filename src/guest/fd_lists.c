/* SPDX-License-Identifier: Apache-2.0 */
/* Lists that belong to open files: what epoll and inotify wait for, and locks. */
#include <string.h>

#include "guest/containers.h"
#include "guest/fds.h"

#define ALL_EVENTS       0xfffu /* IN_ALL_EVENTS */
#define MARK_EXCL_UNLINK 0x10u  /* flags of a mark (5.18 and later; not used before) */
#define MARK_ONESHOT     0x20u
#define IN_EXCL_UNLINK   0x04000000u
#define IN_ONESHOT       0x80000000u
#define HANDLE_INODE     1u    /* FILEID_INO32_GEN */
#define HANDLE_KERNFS    0xfeu /* FILEID_KERNFS */

/* ---- epoll ---- */

struct epoll_walk {
	const struct fd_layout *layout;
	const struct path_layout *paths;
	struct member file, fd, events, data;
	struct guest_fd_info *ret;
};

struct error *fd_device(struct guest *guest, const struct fd_layout *layout, uint64_t inode, uint32_t *ret)
{
	uint64_t super, device;
	struct error *error = guest_read_member(guest, (struct gva){inode}, &layout->inode_super, &super);

	if (!error)
		error = guest_read_member(guest, (struct gva){super}, &layout->super_device, &device);
	if (!error)
		*ret = (uint32_t)device;
	return error;
}

static struct error *visit_epoll(struct guest *guest, struct gva item, void *context)
{
	struct epoll_walk *walk = context;
	struct guest_fd_info *ret = walk->ret;
	uint64_t file, fd, events, data;
	const struct member_read reads[] = {
		{&walk->file, &file}, {&walk->fd, &fd}, {&walk->events, &events}, {&walk->data, &data}};
	struct file_facts facts;
	uint32_t device;
	struct error *error = guest_read_members(guest, item, reads, ARRAY_SIZE(reads));

	if (!error && ret->n_items >= FD_ITEMS_MAX)
		error = error_format(NULL, item.v, "more than %u files in an epoll descriptor", FD_ITEMS_MAX);
	if (!error)
		error = file_read(guest, walk->paths, file, &facts);
	if (!error)
		error = fd_device(guest, walk->layout, facts.inode, &device);
	if (!error)
		error = array_room(&ret->items, ret->n_items, sizeof(*ret->items));
	if (error)
		return error;
	ret->items[ret->n_items++] = (struct guest_epoll_item){.fd = (int32_t)(uint32_t)fd,
							       .events = (uint32_t)events,
							       .data = data,
							       .position = (int64_t)facts.position,
							       .inode = facts.number,
							       .device = device};
	return NULL;
}

struct error *fd_epoll_items(struct guest *guest, const struct fd_layout *layout, uint64_t context,
			     struct guest_fd_info *ret)
{
	struct epoll_walk walk = {.layout = layout, .ret = ret};
	struct member root, node;
	const struct member_need needs[] = {
		{"eventpoll", "rbr.rb_root", &root},      {"epitem", "rbn", &node},
		{"epitem", "ffd.file", &walk.file},       {"epitem", "ffd.fd", &walk.fd},
		{"epitem", "event.events", &walk.events}, {"epitem", "event.data", &walk.data},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = path_layout_get(guest, &walk.paths);
	if (!error)
		error = rb_walk(guest, (struct gva){context + root.offset}, node.offset, visit_epoll, &walk);
	return error_wrap(error, "files of an epoll descriptor");
}

/* ---- inotify ---- */

struct watch_walk {
	const struct fd_layout *layout;
	const struct path_layout *paths;
	struct member mask, flags, connector, descriptor, object;
	struct guest_fd_info *ret;
};

/* The connector's inode: `object` is it, or (before 6.10) the place in it that leads to the connector. */
static struct error *find_inode(struct guest *guest, const struct watch_walk *walk, uint64_t connector, uint64_t *ret)
{
	uint64_t object, back;
	struct error *error = guest_read_member(guest, (struct gva){connector}, &walk->object, &object);

	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){object}, &back);
	if (!error)
		*ret = back == connector ? object - walk->layout->inode_marks.offset : object;
	return error;
}

static void set_handle(struct guest_watch *watch, uint8_t type, const void *bytes, size_t size)
{
	watch->handle_type = type;
	watch->handle_size = (uint8_t)size;
	memcpy(watch->handle, bytes, size);
}

/* The handle of the inode's file system, of the kinds that many have (exportfs_encode_inode_fh()). */
static struct error *encode_handle(struct guest *guest, const struct fd_layout *layout, uint64_t inode,
				   struct guest_watch *ret)
{
	uint64_t super, operations, function = 0, generation;
	struct error *error = guest_read_member(guest, (struct gva){inode}, &layout->inode_super, &super);

	if (!error)
		error = guest_read_member(guest, (struct gva){super}, &layout->super_export, &operations);
	if (!error && operations)
		error = guest_read_member(guest, (struct gva){operations}, &layout->encode, &function);
	if (!error)
		error = guest_read_member(guest, (struct gva){inode}, &layout->inode_generation, &generation);
	if (error || !operations)
		return error;
	if (!function || function == layout->encode_default) {
		const uint32_t words[] = {(uint32_t)ret->inode, (uint32_t)generation};

		set_handle(ret, HANDLE_INODE, words, sizeof(words));
	} else if (function == layout->encode_tmpfs) {
		const uint32_t words[] = {(uint32_t)generation, (uint32_t)ret->inode, (uint32_t)(ret->inode >> 32)};

		set_handle(ret, HANDLE_INODE, words, sizeof(words));
	} else if (function == layout->encode_kernfs) {
		set_handle(ret, HANDLE_KERNFS, &ret->inode, sizeof(ret->inode));
	}
	return NULL;
}

static struct error *visit_watch(struct guest *guest, struct gva mark, void *context)
{
	struct watch_walk *walk = context;
	struct guest_fd_info *ret = walk->ret;
	struct guest_watch watch = {0};
	uint64_t mask, flags, connector, descriptor, inode;
	const struct member_read reads[] = {{&walk->mask, &mask},
					    {&walk->flags, &flags},
					    {&walk->connector, &connector},
					    {&walk->descriptor, &descriptor}};
	struct error *error = guest_read_members(guest, mark, reads, ARRAY_SIZE(reads));

	if (!error && ret->n_watches >= FD_ITEMS_MAX)
		error = error_format(NULL, mark.v, "more than %u watches of an inotify descriptor", FD_ITEMS_MAX);
	if (!error && !connector)
		return NULL; /* what it watched is gone */
	if (!error)
		error = find_inode(guest, walk, connector, &inode);
	if (!error)
		error = guest_read_member(guest, (struct gva){inode}, &walk->paths->inode_number, &watch.inode);
	if (!error)
		error = fd_device(guest, walk->layout, inode, &watch.device);
	if (!error)
		error = encode_handle(guest, walk->layout, inode, &watch);
	if (!error)
		error = array_room(&ret->watches, ret->n_watches, sizeof(*ret->watches));
	if (error)
		return error;
	watch.descriptor = (uint32_t)descriptor;
	watch.mask = (uint32_t)mask & ALL_EVENTS;
	watch.mask |= (flags & MARK_EXCL_UNLINK ? IN_EXCL_UNLINK : 0) | (flags & MARK_ONESHOT ? IN_ONESHOT : 0);
	ret->watches[ret->n_watches++] = watch;
	return NULL;
}

struct error *fd_inotify_watches(struct guest *guest, const struct fd_layout *layout, uint64_t context,
				 struct guest_fd_info *ret)
{
	struct watch_walk walk = {.layout = layout, .ret = ret};
	struct member marks, link;
	const struct member_need needs[] = {
		{"fsnotify_group", "marks_list", &marks},
		{"fsnotify_mark", "g_list", &link},
		{"fsnotify_mark", "mask", &walk.mask},
		{"fsnotify_mark", "flags", &walk.flags},
		{"fsnotify_mark", "connector", &walk.connector},
		{"inotify_inode_mark", "wd", &walk.descriptor},
		{"fsnotify_mark_connector", "obj", &walk.object},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = path_layout_get(guest, &walk.paths);
	if (!error && !layout->inode_marks.present)
		error = error_create(ERROR_UNSUPPORTED, "the guest's kernel has no marks on inodes");
	if (!error)
		error = list_walk(guest, (struct gva){context + marks.offset}, link.offset, visit_watch, &walk);
	return error_wrap(error, "watches of an inotify descriptor");
}

/* ---- Locks ---- */

struct lock_walk {
	const struct lock_layout *layout;
	uint64_t of_file, of_files;
	uint32_t device;
	uint64_t inode;
	struct guest_fd_info *ret;
};

static struct error *visit_lock(struct guest *guest, struct gva lock, void *context)
{
	struct lock_walk *walk = context;
	struct guest_fd_info *ret = walk->ret;
	struct guest_file_lock one = {.device = walk->device, .inode = walk->inode};
	uint64_t file, owner;
	struct error *error = lock_read(guest, walk->layout, lock, &one, &file, &owner);

	if (error || file != walk->of_file || (owner != walk->of_files && owner != file))
		return error;
	if (ret->n_locks >= FD_ITEMS_MAX)
		return error_format(NULL, lock.v, "more than %u locks of a file", FD_ITEMS_MAX);
	error = array_room(&ret->locks, ret->n_locks, sizeof(*ret->locks));
	if (!error)
		ret->locks[ret->n_locks++] = one;
	return error;
}

struct error *fd_locks(struct guest *guest, const struct fd_layout *layout, uint64_t inode, uint64_t file,
		       uint64_t files, struct guest_fd_info *ret)
{
	static const char *const lists[] = {"flc_flock", "flc_posix", "flc_lease"};
	struct lock_walk walk = {.of_file = file, .of_files = files, .ret = ret};
	const struct path_layout *paths;
	uint64_t context = 0;
	struct error *error = path_layout_get(guest, &paths);

	if (!error && layout->inode_locks.present)
		error = guest_read_member(guest, (struct gva){inode}, &layout->inode_locks, &context);
	if (error || !context)
		return error;
	error = lock_layout_get(guest, &walk.layout);
	if (!error)
		error = guest_read_member(guest, (struct gva){inode}, &paths->inode_number, &walk.inode);
	if (!error)
		error = fd_device(guest, layout, inode, &walk.device);
	for (size_t i = 0; !error && i < ARRAY_SIZE(lists); i++) {
		struct member list;

		error = types_need(guest->types, &(struct member_need){"file_lock_context", lists[i], &list}, 1);
		if (!error)
			error = list_walk(guest, (struct gva){context + list.offset}, walk.layout->inode_link.offset,
					  visit_lock, &walk);
	}
	return error_wrap(error, "locks of a file");
}
