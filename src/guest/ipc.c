/* SPDX-License-Identifier: Apache-2.0 */
/* System V IPC (ipc/util.c, ipc/shm.c, ipc/sem.c, ipc/msg.c). */
#include <stdlib.h>

#include "base/array.h"
#include "guest/containers.h"
#include "guest/object.h"
#include "guest/paths.h"

#define OBJECTS_MAX    65536u /* of one kind; IPCMNI_EXTEND is 2^24, of which no machine has any */
#define SEMAPHORES_MAX 32000u /* of one set: SEMMSL */

struct ipc_walk {
	enum guest_ipc_kind kind;
	struct guest_ipc_list *list;
	struct member key, id, mode, uid, gid, creator_uid, creator_gid; /* struct kern_ipc_perm, which comes first */
	struct member number;                                            /* of a struct pid, in the first namespace */
	/* struct shmid_kernel, of its file, and of a file of tmpfs */
	struct member size, attached, file, created_by, used_by, attached_at, detached_at, memory_changed;
	struct member inode_mapping, mapping_operations, mapping_pages, swapped, inode;
	uint64_t operations; /* shmem_aops */
	const struct path_layout *paths;
	/* struct sem_array, struct sem */
	struct member n_semaphores, first, operated, semaphores_changed;
	uint32_t semaphore_size;
	/* struct msg_queue */
	struct member bytes, n_messages, sender, receiver, sent, received, messages_changed;
};

static struct error *load_memory(struct guest *guest, struct ipc_walk *ret)
{
	const struct member_need needs[] = {
		{"shmid_kernel", "shm_segsz", &ret->size},         {"shmid_kernel", "shm_nattch", &ret->attached},
		{"shmid_kernel", "shm_file", &ret->file},          {"shmid_kernel", "shm_cprid", &ret->created_by},
		{"shmid_kernel", "shm_lprid", &ret->used_by},      {"shmid_kernel", "shm_atim", &ret->attached_at},
		{"shmid_kernel", "shm_dtim", &ret->detached_at},   {"shmid_kernel", "shm_ctim", &ret->memory_changed},
		{"inode", "i_mapping", &ret->inode_mapping},       {"address_space", "a_ops", &ret->mapping_operations},
		{"address_space", "nrpages", &ret->mapping_pages}, {"shmem_inode_info", "swapped", &ret->swapped},
		{"shmem_inode_info", "vfs_inode", &ret->inode},
	};
	struct gva operations;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = symbols_get(guest->symbols, "shmem_aops", &operations);
	if (!error)
		error = path_layout_get(guest, &ret->paths);
	if (!error)
		ret->operations = operations.v;
	return error;
}

static struct error *load_semaphores(struct guest *guest, struct ipc_walk *ret)
{
	const struct member_need needs[] = {
		{"sem_array", "sem_nsems", &ret->n_semaphores},
		{"sem_array", "sem_ctime", &ret->semaphores_changed},
		{"sem", "sem_otime", &ret->operated},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	/* An array without a size of its own ends the structure. */
	ret->first.offset = types_size(guest->types, "sem_array");
	ret->semaphore_size = types_size(guest->types, "sem");
	return error;
}

static struct error *load_messages(struct guest *guest, struct ipc_walk *ret)
{
	const struct member_need needs[] = {
		{"msg_queue", "q_cbytes", &ret->bytes},
		{"msg_queue", "q_qnum", &ret->n_messages},
		{"msg_queue", "q_lspid", &ret->sender},
		{"msg_queue", "q_lrpid", &ret->receiver},
		{"msg_queue", "q_stime", &ret->sent},
		{"msg_queue", "q_rtime", &ret->received},
		{"msg_queue", "q_ctime", &ret->messages_changed},
	};

	return types_need(guest->types, needs, ARRAY_SIZE(needs));
}

static struct error *load_layout(struct guest *guest, struct ipc_walk *ret)
{
	const struct member_need needs[] = {
		{"kern_ipc_perm", "key", &ret->key},          {"kern_ipc_perm", "id", &ret->id},
		{"kern_ipc_perm", "mode", &ret->mode},        {"kern_ipc_perm", "uid", &ret->uid},
		{"kern_ipc_perm", "gid", &ret->gid},          {"kern_ipc_perm", "cuid", &ret->creator_uid},
		{"kern_ipc_perm", "cgid", &ret->creator_gid}, {"pid", "numbers[0].nr", &ret->number},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (error)
		return error;
	if (ret->kind == GUEST_SHARED_MEMORY)
		return load_memory(guest, ret);
	return ret->kind == GUEST_SEMAPHORES ? load_semaphores(guest, ret) : load_messages(guest, ret);
}

/* ---- One object ---- */

static struct error *read_number(struct guest *guest, const struct ipc_walk *walk, uint64_t pid, uint32_t *ret)
{
	uint64_t number = 0;
	struct error *error = NULL;

	if (pid)
		error = guest_read_member(guest, (struct gva){pid}, &walk->number, &number);
	*ret = (uint32_t)number;
	return error;
}

/* What of the file is in memory and in swap. That of huge pages is counted otherwise, and not known. */
static struct error *read_pages(struct guest *guest, const struct ipc_walk *walk, uint64_t file, struct guest_ipc *ret)
{
	uint64_t mapping, operations, pages, swapped;
	struct file_facts facts;
	struct error *error = file_read(guest, walk->paths, file, &facts);

	if (!error)
		error = guest_read_member(guest, (struct gva){facts.inode}, &walk->inode_mapping, &mapping);
	if (!error)
		error = guest_read_member(guest, (struct gva){mapping}, &walk->mapping_operations, &operations);
	if (!error && operations != walk->operations)
		error = error_create(ERROR_UNSUPPORTED, "shared memory of huge pages");
	if (!error)
		error = guest_read_member(guest, (struct gva){mapping}, &walk->mapping_pages, &pages);
	if (!error)
		error = guest_read_member(guest, (struct gva){facts.inode - walk->inode.offset}, &walk->swapped,
					  &swapped);
	if (error)
		return error;
	ret->memory.resident = pages * PAGE_SIZE;
	ret->memory.swapped = swapped * PAGE_SIZE;
	return NULL;
}

static struct error *read_memory(struct guest *guest, const struct ipc_walk *walk, struct gva object,
				 struct guest_ipc *ret)
{
	uint64_t file, creator, last, attached_at, detached_at, changed;
	const struct member_read reads[] = {
		{&walk->size, &ret->memory.size},
		{&walk->attached, &ret->memory.attached},
		{&walk->file, &file},
		{&walk->created_by, &creator},
		{&walk->used_by, &last},
		{&walk->attached_at, &attached_at},
		{&walk->detached_at, &detached_at},
		{&walk->memory_changed, &changed},
	};
	struct error *error = guest_read_members(guest, object, reads, ARRAY_SIZE(reads));

	if (!error)
		error = read_number(guest, walk, creator, &ret->memory.creator);
	if (!error)
		error = read_number(guest, walk, last, &ret->memory.last);
	if (!error)
		error = read_pages(guest, walk, file, ret);
	if (error)
		return error;
	ret->memory.attached_at = (int64_t)attached_at;
	ret->memory.detached_at = (int64_t)detached_at;
	ret->changed = (int64_t)changed;
	return NULL;
}

/* The last operation is the latest of all its semaphores'. */
static struct error *read_semaphores(struct guest *guest, const struct ipc_walk *walk, struct gva object,
				     struct guest_ipc *ret)
{
	uint64_t n, changed, time;
	const struct member_read reads[] = {{&walk->n_semaphores, &n}, {&walk->semaphores_changed, &changed}};
	struct error *error = guest_read_members(guest, object, reads, ARRAY_SIZE(reads));

	if (!error && n > SEMAPHORES_MAX)
		error = error_format(NULL, object.v, "a set of %llu semaphores", (unsigned long long)n);
	for (uint64_t i = 0; !error && i < n; i++) {
		struct gva semaphore = {object.v + walk->first.offset + i * walk->semaphore_size};

		error = guest_effort(guest, 1, semaphore.v);
		if (!error)
			error = guest_read_member(guest, semaphore, &walk->operated, &time);
		if (!error && (int64_t)time > ret->semaphores.operated)
			ret->semaphores.operated = (int64_t)time;
	}
	if (error)
		return error;
	ret->semaphores.n = (uint32_t)n;
	ret->changed = (int64_t)changed;
	return NULL;
}

static struct error *read_messages(struct guest *guest, const struct ipc_walk *walk, struct gva object,
				   struct guest_ipc *ret)
{
	uint64_t sender, receiver, sent, received, changed;
	const struct member_read reads[] = {
		{&walk->bytes, &ret->messages.bytes},
		{&walk->n_messages, &ret->messages.n},
		{&walk->sender, &sender},
		{&walk->receiver, &receiver},
		{&walk->sent, &sent},
		{&walk->received, &received},
		{&walk->messages_changed, &changed},
	};
	struct error *error = guest_read_members(guest, object, reads, ARRAY_SIZE(reads));

	if (!error)
		error = read_number(guest, walk, sender, &ret->messages.last_sender);
	if (!error)
		error = read_number(guest, walk, receiver, &ret->messages.last_receiver);
	if (error)
		return error;
	ret->messages.sent = (int64_t)sent;
	ret->messages.received = (int64_t)received;
	ret->changed = (int64_t)changed;
	return NULL;
}

static struct error *read_object(struct guest *guest, const struct ipc_walk *walk, struct gva object,
				 struct guest_ipc *ret)
{
	uint64_t key, id, mode, uid, gid, creator_uid, creator_gid;
	const struct member_read reads[] = {
		{&walk->key, &key},
		{&walk->id, &id},
		{&walk->mode, &mode},
		{&walk->uid, &uid},
		{&walk->gid, &gid},
		{&walk->creator_uid, &creator_uid},
		{&walk->creator_gid, &creator_gid},
	};
	struct error *error = guest_read_members(guest, object, reads, ARRAY_SIZE(reads));

	if (error)
		return error;
	*ret = (struct guest_ipc){
		.key = (int32_t)(uint32_t)key,
		.id = (int32_t)(uint32_t)id,
		.mode = (uint32_t)mode,
		.uid = (uint32_t)uid,
		.gid = (uint32_t)gid,
		.creator_uid = (uint32_t)creator_uid,
		.creator_gid = (uint32_t)creator_gid,
	};
	if (walk->kind == GUEST_SHARED_MEMORY)
		return read_memory(guest, walk, object, ret);
	return walk->kind == GUEST_SEMAPHORES ? read_semaphores(guest, walk, object, ret)
					      : read_messages(guest, walk, object, ret);
}

static struct error *visit(struct guest *guest, uint64_t first, uint64_t last, uint64_t entry, void *context)
{
	struct ipc_walk *walk = context;
	struct guest_ipc one;
	struct error *error = guest_effort(guest, 1, entry);

	if (!error && walk->list->n >= OBJECTS_MAX)
		error = error_format(NULL, entry, "more than %u objects of System V IPC", OBJECTS_MAX);
	if (error)
		return error;
	(void)first;
	(void)last;
	error = read_object(guest, walk, (struct gva){entry}, &one);
	if (error)
		return walk_note(&walk->list->incomplete, error);
	error = array_room(&walk->list->items, walk->list->n, sizeof(*walk->list->items));
	if (!error)
		walk->list->items[walk->list->n++] = one;
	return error;
}

struct error *guest_ipc(struct guest *guest, enum guest_ipc_kind kind, struct guest_ipc_list *ret)
{
	struct guest_ipc_list list = {0};
	struct ipc_walk walk = {.kind = kind, .list = &list};
	char path[32];
	struct member ids;
	struct gva space;
	struct error *error;

	snprintf(path, sizeof(path), "ids[%d].ipcs_idr.idr_rt", kind);
	guest_effort_begin(guest);
	error = types_need(guest->types, &(struct member_need){"ipc_namespace", path, &ids}, 1);
	if (!error)
		error = load_layout(guest, &walk);
	if (!error)
		error = symbols_get(guest->symbols, "init_ipc_ns", &space);
	if (!error)
		error = walk_note(&list.incomplete,
				  xarray_walk(guest, (struct gva){space.v + ids.offset}, visit, &walk));
	if (error) {
		guest_ipc_list_deinit(&list);
		return error_wrap(error, "the guest's System V IPC");
	}
	list.incomplete = error_wrap(list.incomplete, "the guest's System V IPC");
	*ret = list;
	return NULL;
}

void guest_ipc_list_deinit(struct guest_ipc_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_ipc_list){0};
}
