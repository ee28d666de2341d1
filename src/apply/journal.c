/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/journal.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "apply/fault.h"
#include "apply/room.h"
#include "apply/source.h"
#include "base/cursor.h"
#include "base/io.h"

#define JOURNAL_MAGIC     "OUAJRNL\2"
#define SLOTS_MAGIC       "OUASLOT\2"
#define MAGIC_SIZE        8
#define NAME_SIZE         7 /* of the journal's magic, without its version */
#define JOURNAL_VERSION   2 /* the magic's last byte */
#define SLOTS_HEADER_SIZE 16
#define MOUNTS_START      (2 * JOURNAL_BLOCK)
#define JOURNAL_MAX       (MOUNTS_START + 2 * 1024 * 1024) /* FILE_SYSTEMS_MAX mounts of PATH_MAX bytes */
#define FLAG_DEFERRED     1
#define TORN_SIZE         80

/* As it lies in the file. */
struct record {
	uint8_t magic[MAGIC_SIZE];
	uint64_t sequence;
	uint32_t phase, flags;
	uint8_t id[SHA256_SIZE];
	int64_t switched_ns;
	uint8_t slots_sha256[SHA256_SIZE], mounts_sha256[SHA256_SIZE];
	uint8_t sha256[SHA256_SIZE]; /* of what is before it */
};

_Static_assert(sizeof(struct record) == 160, "a record has no padding and is within one sector of 512 bytes");
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

static struct error *read_whole(const char *directory, const char *name, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, name);

	return path ? io_read_file(path, max, ret, ret_size) : error_no_memory();
}

static struct error *open_as(const char *directory, const char *name, int flags, int *ret)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, name);
	int fd;

	if (!path)
		return error_no_memory();
	fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, path, "cannot open");
	*ret = fd;
	return NULL;
}

/* --- records --- */

static struct error *make_record(const struct journal *journal, struct record *ret)
{
	struct record record = {
		.sequence = journal->sequence,
		.phase = journal->phase,
		.flags = journal->deferred ? FLAG_DEFERRED : 0,
		.switched_ns = journal->switched_ns,
	};
	struct error *error;

	memcpy(record.magic, JOURNAL_MAGIC, MAGIC_SIZE);
	memcpy(record.id, journal->id, SHA256_SIZE);
	memcpy(record.slots_sha256, journal->slots_sha256, SHA256_SIZE);
	memcpy(record.mounts_sha256, journal->mounts_sha256, SHA256_SIZE);
	error = digest_of(&record, offsetof(struct record, sha256), record.sha256);
	if (!error)
		*ret = record;
	return error;
}

/* Into the block of that number, durably: its length and its place on the disk stay, so the data are all there is to
 * write. */
static struct error *put_record(const struct journal *journal, unsigned number)
{
	uint8_t block[JOURNAL_BLOCK] = {};
	uint64_t offset = (uint64_t)number * JOURNAL_BLOCK;
	struct record record;
	struct error *error;

	error = make_record(journal, &record);
	if (error)
		return error;
	memcpy(block, &record, sizeof(record));
	if (fault_tears()) {
		error = io_pwrite(journal->fd, block, TORN_SIZE, offset, "journal");
		fault_point();
	}
	if (!error)
		error = io_pwrite(journal->fd, block, sizeof(block), offset, "journal");
	if (!error && fdatasync(journal->fd) < 0)
		error = error_system(errno, "journal", "cannot sync");
	return error;
}

struct error *journal_write(struct journal *journal)
{
	struct error *error;

	if (journal->sequence == UINT64_MAX)
		return error_create(ERROR_FAILED, "the journal has no numbers left");
	/* Also after a failure: what was written then may be there, and must not be taken for the newer one. */
	journal->sequence++;
	error = put_record(journal, journal->next);
	if (!error)
		journal->next = !journal->next;
	return error;
}

/* Whether it was written by this program, and whole. */
static struct error *is_whole(const struct record *record, bool *ret)
{
	uint8_t digest[SHA256_SIZE];
	struct error *error;

	*ret = false;
	if (memcmp(record->magic, JOURNAL_MAGIC, MAGIC_SIZE) != 0)
		return NULL;
	error = digest_of(record, offsetof(struct record, sha256), digest);
	if (!error)
		*ret = !memcmp(digest, record->sha256, SHA256_SIZE);
	return error;
}

static struct error *nothing_whole(const struct record records[2])
{
	for (unsigned i = 0; i < 2; i++) {
		unsigned version = records[i].magic[NAME_SIZE];

		if (!memcmp(records[i].magic, JOURNAL_MAGIC, NAME_SIZE) && version && version != JOURNAL_VERSION)
			return error_create(
				ERROR_UNSUPPORTED,
				"the journal in this guest is of another version of the helper (%u, this one reads "
				"%u): the OUassister that began the update must end or undo it (helper recover)",
				version, JOURNAL_VERSION);
	}
	return error_format("journal", ERROR_NO_ADDRESS, "the journal is damaged: no record is whole");
}

/* The newest of those that are whole: its number. */
static struct error *choose_record(const struct record records[2], unsigned *ret)
{
	bool whole[2];

	for (unsigned i = 0; i < 2; i++) {
		struct error *error = is_whole(&records[i], &whole[i]);

		if (error)
			return error;
	}
	if (!whole[0] && !whole[1])
		return nothing_whole(records);
	if (whole[0] && whole[1] && records[0].sequence == records[1].sequence)
		return error_format("journal", ERROR_NO_ADDRESS, "the journal is damaged: two records of one number");
	*ret = !whole[0] || (whole[1] && records[1].sequence > records[0].sequence);
	return NULL;
}

static struct error *take_record(const struct record *record, struct journal *ret)
{
	if (record->phase == PHASE_NONE || record->phase >= PHASE_MAX || (record->flags & ~FLAG_DEFERRED))
		return error_format("journal", ERROR_NO_ADDRESS, "not a journal of this program");
	ret->phase = record->phase;
	ret->deferred = record->flags & FLAG_DEFERRED;
	ret->switched_ns = record->switched_ns;
	ret->sequence = record->sequence;
	memcpy(ret->id, record->id, SHA256_SIZE);
	memcpy(ret->slots_sha256, record->slots_sha256, SHA256_SIZE);
	memcpy(ret->mounts_sha256, record->mounts_sha256, SHA256_SIZE);
	return NULL;
}

/* --- reading --- */

static struct error *parse_mounts(struct cursor *c, struct tree *tree)
{
	struct error *error;
	uint32_t n;

	error = cursor_le32(c, &n);
	if (!error && n > FILE_SYSTEMS_MAX)
		error = cursor_error(c, "not a journal of this program");
	for (uint32_t i = 0; i < n && !error; i++) {
		_cleanup_(free_ptr) char *mount = NULL;
		const uint8_t *bytes;
		uint32_t length;

		if ((error = cursor_le32(c, &length)) || (error = cursor_bytes(c, length, &bytes)))
			return error;
		mount = strndup((const char *)bytes, length);
		if (!mount)
			return error_no_memory();
		error = error_wrap(tree_add_mount(tree, mount),
				   "a file system of the unfinished update is not mounted");
	}
	return error;
}

static struct error *read_mounts(const char *bytes, size_t size, const struct journal *journal, struct tree *tree)
{
	uint8_t digest[SHA256_SIZE];
	struct cursor c;
	struct error *error;

	error = digest_of(bytes + MOUNTS_START, size - MOUNTS_START, digest);
	if (error)
		return error;
	if (memcmp(digest, journal->mounts_sha256, SHA256_SIZE) != 0)
		return error_format("journal", MOUNTS_START, "the journal is damaged: not the mounts of its record");
	c = cursor_init(bytes + MOUNTS_START, size - MOUNTS_START, "journal");
	c.base = MOUNTS_START;
	return parse_mounts(&c, tree);
}

/* What there is of a record; one that is cut is not whole. */
static void take_bytes(const char *bytes, size_t size, size_t offset, struct record *ret)
{
	size_t left = size > offset ? size - offset : 0;

	if (left)
		memcpy(ret, bytes + offset, left < sizeof(*ret) ? left : sizeof(*ret));
}

struct error *journal_read(const char *directory, struct journal *ret, struct tree *tree)
{
	_cleanup_(free_ptr) char *bytes = NULL;
	struct journal journal = JOURNAL_INIT;
	struct record records[2] = {};
	struct error *error;
	unsigned newest;
	size_t size;

	error = read_whole(directory, "journal", JOURNAL_MAX, &bytes, &size);
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		*ret = journal;
		return NULL;
	}
	if (error)
		return error;
	for (unsigned i = 0; i < 2; i++)
		take_bytes(bytes, size, (size_t)i * JOURNAL_BLOCK, &records[i]);
	error = choose_record(records, &newest);
	if (!error && size < MOUNTS_START)
		error = error_format("journal", size, "the journal is cut");
	if (!error)
		error = take_record(&records[newest], &journal);
	if (!error)
		error = read_mounts(bytes, size, &journal, tree);
	if (error)
		return error;
	journal.next = !newest;
	*ret = journal;
	return NULL;
}

struct error *journal_confirm(const char *directory, struct journal *journal)
{
	struct error *error;

	if (journal->phase == PHASE_NONE)
		return NULL;
	error = open_as(directory, "journal", O_RDWR, &journal->fd);
	return error ? error : put_record(journal, !journal->next);
}

/* --- making --- */

/*
 * btrfs writes every block to a new place, unless told not to before the file has any. Others have no such flag and
 * need none. Where it cannot be had a record needs free room, and is as safe otherwise.
 */
static void write_in_place(int fd)
{
	struct statfs fs;
	int flags;

	if (fstatfs(fd, &fs) < 0 || (unsigned long)fs.f_type != BTRFS_SUPER_MAGIC ||
	    ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return;
	flags |= FS_NOCOW_FL;
	(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

/*
 * A new file with real bytes, not yet durable: the first write to a block that is only reserved changes the file
 * system's own books.
 */
static struct error *make_file(const char *directory, const char *name, const void *bytes, size_t size, int *ret)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, name);
	_cleanup_(close_fd) int fd = -1;
	struct error *error;

	if (!path)
		return error_no_memory();
	if (unlink(path) < 0 && errno != ENOENT)
		return error_system(errno, path, "cannot remove");
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_system(errno, path, "cannot create");
	write_in_place(fd);
	error = io_write(fd, bytes, size, path);
	if (error)
		return error;
	/* The disk writes it while the next one is made. */
	(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	*ret = take_fd(fd);
	return NULL;
}

static struct error *sync_file(int fd, const char *name)
{
	return fsync(fd) < 0 ? error_system(errno, name, "cannot sync") : NULL;
}

static void put_mounts(FILE *stream, const struct tree *tree)
{
	uint32_t n = tree->n_file_systems;

	fwrite(&n, sizeof(n), 1, stream);
	for (size_t i = 0; i < n; i++) {
		uint32_t length = strlen(tree->file_systems[i].mount);

		fwrite(&length, sizeof(length), 1, stream);
		fwrite(tree->file_systems[i].mount, length, 1, stream);
	}
}

/* The journal's bytes, the first record in its place; the caller frees. Sets journal->mounts_sha256. */
static struct error *make_bytes(struct journal *journal, const struct tree *tree, char **ret, size_t *ret_size)
{
	static const uint8_t zeros[MOUNTS_START];
	_cleanup_(free_ptr) char *bytes = NULL;
	struct record record;
	struct error *error;
	size_t size = 0;
	FILE *stream = open_memstream(&bytes, &size);

	if (!stream)
		return error_no_memory();
	fwrite(zeros, sizeof(zeros), 1, stream);
	put_mounts(stream, tree);
	if (fclose(stream))
		return error_no_memory();
	error = digest_of(bytes + MOUNTS_START, size - MOUNTS_START, journal->mounts_sha256);
	if (!error)
		error = make_record(journal, &record);
	if (error)
		return error;
	memcpy(bytes, &record, sizeof(record));
	*ret = take_ptr(bytes);
	*ret_size = size;
	return NULL;
}

static struct error *make_journal(const char *directory, struct journal *journal, const struct tree *tree)
{
	_cleanup_(free_ptr) char *bytes = NULL;
	struct error *error;
	size_t size;

	journal->sequence = 1;
	journal->next = 1;
	error = make_bytes(journal, tree, &bytes, &size);
	return error ? error : make_file(directory, "journal.new", bytes, size, &journal->fd);
}

static struct error *name_journal(const char *directory)
{
	_cleanup_(free_ptr) char *new = string_format("%s/journal.new", directory);
	_cleanup_(free_ptr) char *path = string_format("%s/journal", directory);
	struct error *error;

	if (!new || !path)
		return error_no_memory();
	fault_point();
	if (rename(new, path) < 0)
		return error_system(errno, path, "cannot replace");
	/* The directory may be as new. */
	error = io_sync_parent(path);
	return error ? error : io_sync_parent(directory);
}

struct error *journal_create(const char *directory, struct journal *journal, const struct tree *tree,
			     const uint8_t *index, size_t size, uint32_t n)
{
	size_t slots_size = SLOTS_HEADER_SIZE + (size_t)n * sizeof(struct slot);
	_cleanup_(free_ptr) uint8_t *zeros = calloc(1, slots_size);
	_cleanup_(close_fd) int index_fd = -1, slots_fd = -1;
	struct error *error;

	if (!zeros)
		return error_no_memory();
	journal_close(journal);
	error = make_file(directory, "index", index, size, &index_fd);
	if (!error)
		error = make_file(directory, "slots", zeros, slots_size, &slots_fd);
	if (!error)
		error = make_journal(directory, journal, tree);
	if (!error)
		error = sync_file(index_fd, "index");
	if (!error)
		error = sync_file(slots_fd, "slots");
	if (!error)
		error = sync_file(journal->fd, "journal");
	return error ? error : name_journal(directory);
}

/* --- index and slots --- */

static struct error *digest_of_slots(const uint8_t header[SLOTS_HEADER_SIZE], const struct slot *slots, uint32_t n,
				     uint8_t digest[SHA256_SIZE])
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *hash = sha256_create();

	if (!hash)
		return error_no_memory();
	sha256_update(hash, header, SLOTS_HEADER_SIZE);
	sha256_update(hash, slots, (size_t)n * sizeof(*slots));
	sha256_final(hash, digest);
	return NULL;
}

struct error *journal_write_slots(const char *directory, struct journal *journal, const struct slot *slots, uint32_t n)
{
	uint8_t header[SLOTS_HEADER_SIZE] = SLOTS_MAGIC;
	_cleanup_(close_fd) int fd = -1;
	struct error *error;

	memcpy(header + MAGIC_SIZE, &n, sizeof(n));
	error = digest_of_slots(header, slots, n, journal->slots_sha256);
	if (!error)
		error = open_as(directory, "slots", O_RDWR, &fd);
	if (!error)
		error = io_pwrite(fd, header, sizeof(header), 0, "slots");
	if (!error)
		error = io_pwrite(fd, slots, (size_t)n * sizeof(*slots), sizeof(header), "slots");
	if (!error && fdatasync(fd) < 0)
		error = error_system(errno, "slots", "cannot sync");
	return error;
}

static struct error *read_slots(const char *directory, uint8_t header[SLOTS_HEADER_SIZE], struct slot *slots,
				uint32_t n)
{
	size_t size = (size_t)n * sizeof(*slots);
	_cleanup_(close_fd) int fd = -1;
	struct error *error;
	struct stat s;

	error = open_as(directory, "slots", O_RDONLY, &fd);
	if (error)
		return error;
	if (fstat(fd, &s) < 0)
		return error_system(errno, "slots", "cannot read");
	if ((uint64_t)s.st_size != SLOTS_HEADER_SIZE + size)
		return error_format("slots", ERROR_NO_ADDRESS, "not those of the journal");
	error = io_pread(fd, header, SLOTS_HEADER_SIZE, 0, "slots");
	return error ? error : io_pread(fd, slots, size, SLOTS_HEADER_SIZE, "slots");
}

struct error *journal_read_slots(const char *directory, const struct journal *journal, uint32_t n,
				 size_t n_file_systems, struct slot **ret)
{
	_cleanup_(room_destroy_ptr) struct slot *slots = room_create(directory, (size_t)n * sizeof(*slots));
	uint8_t header[SLOTS_HEADER_SIZE], digest[SHA256_SIZE];
	struct error *error;

	if (!slots)
		return error_no_memory();
	error = read_slots(directory, header, slots, n);
	if (!error)
		error = digest_of_slots(header, slots, n, digest);
	if (error)
		return error;
	if (memcmp(digest, journal->slots_sha256, SHA256_SIZE))
		return error_format("slots", ERROR_NO_ADDRESS, "not those of the journal");
	for (uint32_t i = 0; i < n; i++)
		if (slots[i].file_system >= n_file_systems)
			return error_format("slots", ERROR_NO_ADDRESS, "slot %u is on no file system", i);
	*ret = take_ptr(slots);
	return NULL;
}

struct error *journal_read_index(const char *directory, const struct journal *journal, struct index_room *ret_room,
				 struct payload *ret)
{
	_cleanup_(free_ptr) char *path = string_format("%s/index", directory);
	struct source source;
	struct error *error;

	if (!path)
		return error_no_memory();
	error = source_open(path, &source);
	if (error)
		return error;
	error = source_read_index(&source, journal->id, directory, ret_room, ret);
	source_close(&source);
	return error;
}

struct error *journal_remove(const char *directory)
{
	static const char *const names[] = {"journal", "journal.new", "slots", "index"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, names[i]);

		if (!path)
			return error_no_memory();
		if (unlink(path) < 0 && errno != ENOENT)
			return error_system(errno, path, "cannot remove");
	}
	return NULL;
}

void journal_close(struct journal *journal)
{
	close_fd(&journal->fd);
}
