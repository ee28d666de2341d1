/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/journal.h"

#include <string.h>

#include "apply/source.h"
#include "base/cursor.h"
#include "base/io.h"

#define JOURNAL_MAGIC     "OUAJRNL\1"
#define SLOTS_MAGIC       "OUASLOT\2"
#define MAGIC_SIZE        8
#define SLOTS_HEADER_SIZE 16
#define JOURNAL_MAX       (2 * 1024 * 1024) /* FILE_SYSTEMS_MAX mounts of PATH_MAX bytes */

/* Both are written as they lie in memory. */
_Static_assert(sizeof(struct slot) == 40, "a slot has no padding");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the journal is little-endian");

static struct error *digest_of(const void *bytes, size_t size, uint8_t digest[SHA256_SIZE])
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *hash = sha256_create();

	if (!hash)
		return error_no_memory();
	sha256_update(hash, bytes, size);
	sha256_final(hash, digest);
	return NULL;
}

static struct error *replace(const char *directory, const char *name, const void *bytes, size_t size)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, name);

	return path ? io_replace_file(path, bytes, size, 0600) : error_no_memory();
}

static struct error *read_whole(const char *directory, const char *name, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, name);

	return path ? io_read_file(path, max, ret, ret_size) : error_no_memory();
}

static void put_journal(FILE *stream, const struct journal *journal, const struct tree *tree)
{
	uint32_t numbers[2] = {journal->phase, tree->n_file_systems};

	fwrite(JOURNAL_MAGIC, MAGIC_SIZE, 1, stream);
	fwrite(numbers, sizeof(numbers), 1, stream);
	fwrite(journal->id, sizeof(journal->id), 1, stream);
	fwrite(&journal->switched_ns, sizeof(journal->switched_ns), 1, stream);
	fwrite(journal->slots_sha256, sizeof(journal->slots_sha256), 1, stream);
	for (size_t i = 0; i < tree->n_file_systems; i++) {
		uint32_t length = strlen(tree->file_systems[i].mount);

		fwrite(&length, sizeof(length), 1, stream);
		fwrite(tree->file_systems[i].mount, length, 1, stream);
	}
}

struct error *journal_write(const char *directory, const struct journal *journal, const struct tree *tree)
{
	_cleanup_(free_ptr) char *bytes = NULL;
	uint8_t digest[SHA256_SIZE];
	struct error *error;
	size_t size = 0;
	char *larger;
	FILE *stream = open_memstream(&bytes, &size);

	if (!stream)
		return error_no_memory();
	put_journal(stream, journal, tree);
	if (fclose(stream))
		return error_no_memory();
	error = digest_of(bytes, size, digest);
	if (error)
		return error;
	larger = realloc(bytes, size + sizeof(digest));
	if (!larger)
		return error_no_memory();
	bytes = larger;
	memcpy(bytes + size, digest, sizeof(digest));
	return replace(directory, "journal", bytes, size + sizeof(digest));
}

static struct error *parse_mounts(struct cursor *c, uint32_t n, struct tree *tree)
{
	for (uint32_t i = 0; i < n; i++) {
		_cleanup_(free_ptr) char *mount = NULL;
		const uint8_t *bytes;
		struct error *error;
		uint32_t length;

		if ((error = cursor_le32(c, &length)) || (error = cursor_bytes(c, length, &bytes)))
			return error;
		mount = strndup((const char *)bytes, length);
		if (!mount)
			return error_no_memory();
		error = tree_add_mount(tree, mount);
		if (error)
			return error_wrap(error, "a file system of the unfinished update is not mounted");
	}
	return NULL;
}

static struct error *parse_journal(struct cursor *c, struct journal *journal, struct tree *tree)
{
	const uint8_t *magic;
	uint32_t phase, n_mounts;
	uint64_t switched;
	struct error *error;

	if ((error = cursor_bytes(c, MAGIC_SIZE, &magic)) || (error = cursor_le32(c, &phase)) ||
	    (error = cursor_le32(c, &n_mounts)) || (error = cursor_copy(c, journal->id, sizeof(journal->id))) ||
	    (error = cursor_le64(c, &switched)) ||
	    (error = cursor_copy(c, journal->slots_sha256, sizeof(journal->slots_sha256))))
		return error;
	if (memcmp(magic, JOURNAL_MAGIC, MAGIC_SIZE) || phase == PHASE_NONE || phase >= PHASE_MAX ||
	    n_mounts > FILE_SYSTEMS_MAX)
		return cursor_error(c, "not a journal of this program");
	journal->phase = phase;
	journal->switched_ns = switched;
	return parse_mounts(c, n_mounts, tree);
}

struct error *journal_read(const char *directory, struct journal *ret, struct tree *tree)
{
	_cleanup_(free_ptr) char *bytes = NULL;
	struct journal journal = {};
	uint8_t digest[SHA256_SIZE];
	struct error *error;
	struct cursor c;
	size_t size;

	error = read_whole(directory, "journal", JOURNAL_MAX, &bytes, &size);
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		*ret = journal;
		return NULL;
	}
	if (error)
		return error;
	if (size < SHA256_SIZE)
		return error_format("journal", size, "the journal is cut");
	size -= SHA256_SIZE;
	error = digest_of(bytes, size, digest);
	if (error)
		return error;
	if (memcmp(digest, bytes + size, SHA256_SIZE))
		return error_format("journal", ERROR_NO_ADDRESS, "the journal is damaged");
	c = cursor_init(bytes, size, "journal");
	error = parse_journal(&c, &journal, tree);
	if (error)
		return error;
	*ret = journal;
	return NULL;
}

struct error *journal_write_slots(const char *directory, struct journal *journal, const struct slot *slots, uint32_t n)
{
	size_t size = SLOTS_HEADER_SIZE + (size_t)n * sizeof(*slots);
	_cleanup_(free_ptr) uint8_t *bytes = calloc(1, size);
	struct error *error;

	if (!bytes)
		return error_no_memory();
	memcpy(bytes, SLOTS_MAGIC, MAGIC_SIZE);
	memcpy(bytes + MAGIC_SIZE, &n, sizeof(n));
	if (n)
		memcpy(bytes + SLOTS_HEADER_SIZE, slots, (size_t)n * sizeof(*slots));
	error = digest_of(bytes, size, journal->slots_sha256);
	if (error)
		return error;
	return replace(directory, "slots", bytes, size);
}

struct error *journal_read_slots(const char *directory, const struct journal *journal, uint32_t n,
				 size_t n_file_systems, struct slot **ret)
{
	_cleanup_(free_ptr) char *bytes = NULL;
	_cleanup_(free_ptr) struct slot *slots = calloc(n ? n : 1, sizeof(*slots));
	uint8_t digest[SHA256_SIZE];
	struct error *error;
	size_t size;

	if (!slots)
		return error_no_memory();
	error = read_whole(directory, "slots", SLOTS_HEADER_SIZE + (size_t)n * sizeof(*slots), &bytes, &size);
	if (error)
		return error;
	error = digest_of(bytes, size, digest);
	if (error)
		return error;
	if (memcmp(digest, journal->slots_sha256, SHA256_SIZE) ||
	    size != SLOTS_HEADER_SIZE + (size_t)n * sizeof(*slots))
		return error_format("slots", ERROR_NO_ADDRESS, "not those of the journal");
	memcpy(slots, bytes + SLOTS_HEADER_SIZE, (size_t)n * sizeof(*slots));
	for (uint32_t i = 0; i < n; i++)
		if (slots[i].file_system >= n_file_systems)
			return error_format("slots", ERROR_NO_ADDRESS, "slot %u is on no file system", i);
	*ret = take_ptr(slots);
	return NULL;
}

struct error *journal_write_index(const char *directory, const uint8_t *bytes, size_t size)
{
	return replace(directory, "index", bytes, size);
}

struct error *journal_read_index(const char *directory, const struct journal *journal, struct payload *ret)
{
	_cleanup_(free_ptr) char *bytes = NULL;
	struct error *error;
	size_t size;

	error = read_whole(directory, "index", PAYLOAD_HEADER_SIZE + PAYLOAD_INDEX_MAX, &bytes, &size);
	if (error)
		return error;
	return source_parse((const uint8_t *)bytes, size, journal->id, ret);
}

struct error *journal_begin_deferred(const char *directory, const struct journal *journal)
{
	return replace(directory, "deferred", journal->id, sizeof(journal->id));
}

bool journal_deferred_begun(const char *directory, const struct journal *journal)
{
	_cleanup_(free_ptr) char *id = NULL;
	size_t size = 0;
	struct error *error = read_whole(directory, "deferred", SHA256_SIZE, &id, &size);
	bool absent = error && error->code == ERROR_NOT_FOUND;

	if (error) {
		error_destroy(error);
		return !absent;
	}
	return size == SHA256_SIZE && !memcmp(id, journal->id, SHA256_SIZE);
}

struct error *journal_remove(const char *directory)
{
	static const char *const names[] = {"deferred", "journal", "slots", "index"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, names[i]);

		if (!path)
			return error_no_memory();
		if (unlink(path) < 0 && errno != ENOENT)
			return error_system(errno, path, "cannot remove");
	}
	return NULL;
}
