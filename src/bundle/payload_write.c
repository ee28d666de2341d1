/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A payload out of a bundle. Where every content goes is known from the manifest alone, so one
 * pass over the layer writes them all; the index, whose hash needs nothing of the layer but
 * which contents have holes, is written last, at the front.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/io.h"
#include "bundle/internal.h"
#include "bundle/payload.h"
#include "bundle/trailer.h"

struct writer {
	int fd;
	const char *path;
	const struct change *changes;  /* the manifest's */
	uint32_t *entry_of;            /* index of each change's entry */
	struct payload_entry *entries; /* their changes borrow from the manifest's */
	uint32_t n;
	uint32_t *carriers; /* hash table: entries that others may share the content of, + 1; 0: free */
	size_t carriers_mask;
	const struct action_list *actions;
	struct payload_header header;
	struct payload_entry *current; /* whose content is under way; NULL: not carried */
	uint64_t position;             /* in the file, of the next byte of it */
	struct checksum *checksum;     /* of its bytes so far */
};

/*
 * The package manager wrote the bytes again that were there. If the file had no other name,
 * changing its attributes gives the same result with nothing to carry.
 */
static bool is_rewritten(const struct change *change)
{
	const struct change_preimage *before = &change->before;

	return change->kind == CHANGE_WRITE && before->exists && S_ISREG(before->attributes.mode) &&
	       before->nlink == 1 && before->size == change->size &&
	       memcmp(before->sha256, change->sha256, SHA256_SIZE) == 0;
}

/* Pointers to changes, sorted by path. */
struct change_index {
	const struct change **items;
	size_t n;
};

static int compare_changes(const void *a, const void *b)
{
	return strcmp((*(const struct change *const *)a)->path, (*(const struct change *const *)b)->path);
}

static const struct change *find_change(const struct change_index *index, const char *path)
{
	const struct change key = {.path = (char *)path}, *pointer = &key;
	const struct change **found;

	if (index->n == 0)
		return NULL;
	found = bsearch(&pointer, index->items, index->n, sizeof(*index->items), compare_changes);
	return found ? *found : NULL;
}

/* Those changes that links refer to. */
static struct error *index_changes(const struct change_list *list, struct change_index *index)
{
	index->items = calloc(list->n + 1, sizeof(*index->items));
	if (!index->items)
		return error_no_memory();
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].kind == CHANGE_WRITE || list->items[i].kind == CHANGE_ATTRIBUTES)
			index->items[index->n++] = &list->items[i];
	qsort(index->items, index->n, sizeof(*index->items), compare_changes);
	return NULL;
}

/*
 * A link that is there already, to a file that stays what it is: in the list for the sake of
 * OCI tools, which put a new file where attributes change.
 */
static bool is_link_already(const struct change *change, const struct change_index *index)
{
	const struct change *target;

	if (change->kind != CHANGE_LINK || !change->before.exists)
		return false;
	target = find_change(index, change->target);
	return target && target->kind == CHANGE_ATTRIBUTES && target->before.exists &&
	       target->before.inode == change->before.inode && target->layer == change->layer;
}

/* At most half full, so that a search always ends. */
static struct error *make_carriers(struct writer *w, size_t n)
{
	size_t size = 16;

	while (size < 2 * n)
		size *= 2;
	w->carriers = calloc(size, sizeof(*w->carriers));
	w->carriers_mask = size - 1;
	return w->carriers ? NULL : error_no_memory();
}

/* The place of the entry that carries this content, or the free one where its number belongs. */
static uint32_t *find_carrier(const struct writer *w, const struct change *change)
{
	/* The content's hash is as good as any. */
	for (size_t at = le64_at(change->sha256) & w->carriers_mask;; at = (at + 1) & w->carriers_mask) {
		uint32_t *place = &w->carriers[at];
		const struct change *other = *place ? &w->entries[*place - 1].change : NULL;

		if (!other || (other->size == change->size && memcmp(other->sha256, change->sha256, SHA256_SIZE) == 0))
			return place;
	}
}

/* Identical content travels once. */
static bool share(struct writer *w, struct payload_entry *entry)
{
	uint32_t *place;

	if (!payload_may_share(&entry->change))
		return false;
	place = find_carrier(w, &entry->change);
	if (!*place) {
		*place = w->n;
		return false;
	}
	entry->carrier = *place - 1;
	entry->flags |= PAYLOAD_ENTRY_SHARED;
	return true;
}

static void add_entry(struct writer *w, const struct change *change)
{
	struct payload_entry *entry = &w->entries[w->n];

	w->entry_of[change - w->changes] = w->n++;
	entry->change = *change;
	if (is_rewritten(change)) {
		entry->change.kind = CHANGE_ATTRIBUTES;
		entry->flags = PAYLOAD_ENTRY_REWRITTEN;
	}
	if (entry->change.kind != CHANGE_WRITE)
		return;
	entry->checksum = checksum_of(NULL, 0);
	if (share(w, entry))
		return;
	entry->content_offset = w->header.content_size;
	w->header.content_size += (change->size + PAYLOAD_ALIGNMENT - 1) / PAYLOAD_ALIGNMENT * PAYLOAD_ALIGNMENT;
}

static struct error *add_entries(struct writer *w, const struct change_list *list)
{
	struct change_index index = {};
	struct error *error;

	if (list->n > PAYLOAD_ENTRIES_MAX)
		return error_create(ERROR_UNSUPPORTED, "the update has %zu changes, too many to apply", list->n);
	w->changes = list->items;
	w->entries = calloc(list->n + 1, sizeof(*w->entries));
	w->entry_of = calloc(list->n + 1, sizeof(*w->entry_of));
	error = w->entries && w->entry_of ? make_carriers(w, list->n) : error_no_memory();
	if (!error)
		error = index_changes(list, &index);
	for (size_t i = 0; !error && i < list->n; i++) {
		const struct change *change = &list->items[i];

		if (change->size > INT64_MAX - PAYLOAD_INDEX_MAX - 2 * PAYLOAD_ALIGNMENT - w->header.content_size)
			error = error_create(ERROR_UNSUPPORTED, "the update is too large to apply");
		else if (!is_link_already(change, &index))
			add_entry(w, change);
	}
	free(index.items);
	return error;
}

static size_t string_size(const char *text)
{
	return 4 + (text ? strlen(text) : 0) + 1;
}

static size_t attributes_size(const struct change_attributes *attributes)
{
	size_t size = 4 + 4 + 4 + 8 + 4 + 4;

	for (size_t i = 0; i < attributes->n_xattrs; i++)
		size += string_size(attributes->xattrs[i].name) + 4 + attributes->xattrs[i].size;
	return size;
}

static size_t entry_size(const struct payload_entry *entry)
{
	const struct change *change = &entry->change;
	size_t size = 4 + string_size(change->path) + string_size(change->target) +
		      attributes_size(&change->attributes) + 8 + 8 + SHA256_SIZE + 8 + 8 + 1;

	if (change->before.exists)
		size += attributes_size(&change->before.attributes) + 8 + 8 + 4 + 8 + 4 + 8 + SHA256_SIZE +
			string_size(change->before.target);
	return size;
}

static uint32_t count_words(char *const *argv)
{
	uint32_t n = 0;

	while (argv && argv[n])
		n++;
	return n;
}

/* Bytes of an action's numbers, and of the lengths before its data and its words. */
#define ACTION_NUMBERS_SIZE 44

static size_t action_size(const struct action *action)
{
	size_t size = ACTION_NUMBERS_SIZE + action->size + string_size(action->package) + string_size(action->script) +
		      string_size(action->verb) + string_size(action->unit) + string_size(action->path);

	for (uint32_t i = count_words(action->argv); i > 0; i--)
		size += string_size(action->argv[i - 1]);
	return size;
}

static void pack_string(struct packer *p, const char *text)
{
	size_t size = text ? strlen(text) : 0;

	pack_le32(p, (uint32_t)size);
	pack_bytes(p, text, size);
	pack_u8(p, 0);
}

static void pack_attributes(struct packer *p, const struct change_attributes *attributes)
{
	pack_le32(p, attributes->mode);
	pack_le32(p, attributes->uid);
	pack_le32(p, attributes->gid);
	pack_le64(p, (uint64_t)attributes->mtime_s);
	pack_le32(p, attributes->mtime_ns);
	pack_le32(p, (uint32_t)attributes->n_xattrs);
	for (size_t i = 0; i < attributes->n_xattrs; i++) {
		pack_string(p, attributes->xattrs[i].name);
		pack_le32(p, (uint32_t)attributes->xattrs[i].size);
		pack_bytes(p, attributes->xattrs[i].value, attributes->xattrs[i].size);
	}
}

static void pack_preimage(struct packer *p, const struct change_preimage *before)
{
	pack_u8(p, before->exists);
	if (!before->exists)
		return;
	pack_attributes(p, &before->attributes);
	pack_le64(p, before->inode);
	pack_le64(p, before->size);
	pack_le32(p, before->nlink);
	pack_le64(p, (uint64_t)before->ctime_s);
	pack_le32(p, before->ctime_ns);
	pack_le64(p, before->rdev);
	pack_bytes(p, before->sha256, SHA256_SIZE);
	pack_string(p, before->target);
}

static void pack_entry(struct packer *p, const struct payload_entry *entry)
{
	const struct change *change = &entry->change;

	pack_u8(p, (uint8_t)change->kind);
	pack_u8(p, entry->flags);
	pack_le16(p, 0);
	pack_string(p, change->path);
	pack_string(p, change->target);
	pack_attributes(p, &change->attributes);
	pack_le64(p, change->size);
	pack_le64(p, change->rdev);
	pack_bytes(p, change->sha256, SHA256_SIZE);
	pack_le64(p, entry->flags & PAYLOAD_ENTRY_SHARED ? entry->carrier : entry->content_offset);
	pack_le64(p, entry->checksum);
	pack_preimage(p, &change->before);
}

static void pack_action(struct packer *p, const struct action *action)
{
	uint32_t argc = count_words(action->argv);

	pack_u8(p, (uint8_t)action->kind);
	pack_u8(p, (uint8_t)action->phase);
	pack_u8(p, action->queued);
	pack_u8(p, 0);
	pack_le32(p, action->order);
	pack_le32(p, action->pid);
	pack_le64(p, action->start_ns);
	pack_le32(p, (uint32_t)action->signal);
	pack_le32(p, (uint32_t)action->value);
	pack_le64(p, action->flags);
	pack_string(p, action->package);
	pack_string(p, action->script);
	pack_string(p, action->verb);
	pack_string(p, action->unit);
	pack_string(p, action->path);
	pack_le32(p, (uint32_t)action->size);
	pack_bytes(p, action->data, action->size);
	pack_le32(p, argc);
	for (uint32_t i = 0; i < argc; i++)
		pack_string(p, action->argv[i]);
}

static uint64_t index_size(const struct writer *w)
{
	uint64_t size = 0;

	for (uint32_t i = 0; i < w->n; i++)
		size += entry_size(&w->entries[i]);
	for (size_t i = 0; i < w->actions->n; i++)
		size += action_size(&w->actions->items[i]);
	return size;
}

static struct error *begin_content(void *data, const struct layer_record *record, bool sparse)
{
	struct writer *w = data;
	struct payload_entry *entry = &w->entries[w->entry_of[record->change - w->changes]];

	w->current = NULL;
	if (entry->change.kind != CHANGE_WRITE)
		return NULL;
	if (sparse)
		entry->flags |= PAYLOAD_ENTRY_SPARSE;
	if (entry->flags & PAYLOAD_ENTRY_SHARED)
		return NULL;
	w->current = entry;
	w->position = payload_content_start(&w->header) + w->current->content_offset;
	checksum_reset(w->checksum);
	return NULL;
}

static struct error *content_bytes(void *data, const void *bytes, size_t size)
{
	struct writer *w = data;
	struct error *error;

	if (!w->current)
		return NULL;
	checksum_update(w->checksum, bytes, size);
	error = io_pwrite(w->fd, bytes, size, w->position, w->path);
	if (!error)
		w->position += size;
	return error;
}

static struct error *end_content(void *data)
{
	struct writer *w = data;

	if (w->current)
		w->current->checksum = checksum_value(w->checksum);
	return NULL;
}

static void pack_header(struct packer *p, const struct payload_header *header)
{
	pack_bytes(p, PAYLOAD_MAGIC, strlen(PAYLOAD_MAGIC));
	pack_le32(p, PAYLOAD_VERSION);
	pack_le32(p, 0);
	pack_le64(p, header->index_size);
	pack_le64(p, header->content_size);
	pack_le32(p, header->n_entries);
	pack_le32(p, header->n_actions);
	pack_bytes(p, header->index_sha256, SHA256_SIZE);
}

static struct error *hash(const void *data, size_t size, uint8_t digest[SHA256_SIZE])
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *sha256 = sha256_create();

	if (!sha256)
		return error_no_memory();
	sha256_update(sha256, data, size);
	sha256_final(sha256, digest);
	return NULL;
}

/* Header and index; `ret_sha256` is over the header, which holds the hash of the index. */
static struct error *write_front(struct writer *w, uint8_t ret_sha256[SHA256_SIZE])
{
	size_t size = PAYLOAD_HEADER_SIZE + w->header.index_size;
	/* Zeroed: the payload's name is a hash over all of the header, the reserved bytes too. */
	_cleanup_(free_ptr) uint8_t *front = calloc(1, size);
	struct packer header = {.data = front};
	struct packer index = {.data = front + PAYLOAD_HEADER_SIZE};
	struct error *error;

	if (!front)
		return error_no_memory();
	for (uint32_t i = 0; i < w->n; i++) {
		if (w->entries[i].flags & PAYLOAD_ENTRY_SHARED)
			w->entries[i].checksum = w->entries[w->entries[i].carrier].checksum;
		pack_entry(&index, &w->entries[i]);
	}
	for (size_t i = 0; i < w->actions->n; i++)
		pack_action(&index, &w->actions->items[i]);
	if (index.size != w->header.index_size)
		return error_create(ERROR_FAILED, "the payload's index has %zu bytes instead of %llu", index.size,
				    (unsigned long long)w->header.index_size);
	error = hash(index.data, index.size, w->header.index_sha256);
	if (error)
		return error;
	pack_header(&header, &w->header);
	error = hash(front, PAYLOAD_HEADER_SIZE, ret_sha256);
	return error ? error : io_pwrite(w->fd, front, size, 0, w->path);
}

/* What a bundle of a few kilobytes unpacks to may be anything. It is asked before the first byte is. */
static struct error *check_room(const struct writer *w, uint64_t size)
{
	struct statvfs s;

	if (fstatvfs(w->fd, &s) < 0)
		return error_system(errno, w->path, "cannot ask for the free space at");
	if (size / s.f_frsize < s.f_bavail)
		return NULL;
	return error_remedy(error_system(ENOSPC, w->path, "the update unpacks to %llu bytes, %llu are free",
					 (unsigned long long)size, (unsigned long long)s.f_bavail * s.f_frsize),
			    "make room in the state directory, if the bundle is to be trusted");
}

static struct error *write_payload(struct bundle *bundle, struct writer *w, uint8_t ret_sha256[SHA256_SIZE],
				   uint64_t *ret_size)
{
	const struct layer_consumer consumer = {begin_content, content_bytes, end_content, w};
	struct error *error;
	uint64_t size = 0;

	error = add_entries(w, &bundle->manifest.changes);
	if (error)
		return error;
	w->header.index_size = index_size(w);
	if (w->header.index_size > PAYLOAD_INDEX_MAX)
		return error_create(ERROR_UNSUPPORTED, "the update's index of %llu bytes is too large",
				    (unsigned long long)w->header.index_size);
	w->header.n_entries = w->n;
	w->header.n_actions = (uint32_t)w->actions->n;
	size = payload_content_start(&w->header) + w->header.content_size;
	error = check_room(w, size);
	if (error)
		return error;
	/* The paddings are the zeros of a file made longer. */
	if (ftruncate(w->fd, (off_t)size) < 0)
		return error_system(errno, w->path, "cannot write the payload");
	if ((error = bundle_read_layer(bundle, &consumer)) || (error = write_front(w, ret_sha256)))
		return error;
	*ret_size = size;
	return NULL;
}

struct error *bundle_write_payload(struct bundle *bundle, const struct action_list *actions, const char *path,
				   uint8_t ret_sha256[SHA256_SIZE], uint64_t *ret_size)
{
	_cleanup_(close_fd) int fd = -1;
	uint8_t sha256[SHA256_SIZE];
	struct writer w = {.path = path, .actions = actions};
	struct error *error;
	uint64_t size = 0;

	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_system(errno, path, "cannot create the payload");
	w.fd = fd;
	w.checksum = checksum_create();
	error = w.checksum ? write_payload(bundle, &w, sha256, &size) : error_no_memory();
	checksum_destroy(w.checksum);
	free(w.entries);
	free(w.entry_of);
	free(w.carriers);
	if (error) {
		unlink(path);
		/* What is wrong with the bundle's bytes: another attempt finds the same. */
		return error->code == ERROR_FORMAT && !error->remedy ? error_remedy(error, "run the update again")
								     : error;
	}
	memcpy(ret_sha256, sha256, sizeof(sha256));
	*ret_size = size;
	return NULL;
}
