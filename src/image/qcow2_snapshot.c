/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory in an internal snapshot of a qcow2 disk image (`savevm`, `virsh snapshot-create`).
 *
 * It is a QEMU migration stream at a virtual offset above the end of the disk, through the
 * snapshot's own L1 table. It is read where it lies: QEMU writes it in large pieces, so a few
 * extents describe it, and nothing is copied or takes room. Only where its clusters are
 * compressed, or lie in more pieces than memory allows for, it is copied into a spool.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/qcow2.h"
#include "image/ops.h"
#include "image/qcow2_clusters.h"
#include "image/spool.h"

/* QEMU's own bounds (QCOW_MAX_SNAPSHOTS, QCOW_MAX_SNAPSHOT_EXTRA_DATA). */
#define SNAPSHOTS_MAX       65536u
#define SNAPSHOT_EXTRA_MAX  1024u

#define SNAPSHOT_ENTRY_SIZE 40u

/* 64 MiB of extents. */
#define EXTENTS_MAX         (UINT64_C(4) << 20)

/* As much of names as an error lists. */
#define LISTED_NAMES_SIZE   512u
#define NAME_SIZE           128u

struct snapshot {
	uint64_t l1_offset;
	uint32_t l1_entries;
	uint64_t memory_size; /* bytes; 0: it has none */
	uint64_t disk_size;   /* bytes */
	/* Cut and with '?' for what cannot be printed, for errors only. */
	char id[NAME_SIZE], name[NAME_SIZE];
	bool matches; /* the one that was asked for */
};

/* The snapshots of a file, gone through one after the other. */
struct snapshots {
	const struct image_file *file;
	const struct qcow2_header *header;
	uint64_t position; /* of the next entry */
};

static bool qcow2_probe(const uint8_t *head, size_t size)
{
	return size >= 4 && memcmp(head, "QFI\xfb", 4) == 0;
}

/* Reads a string of the table; *matches becomes true if it is the one wanted. */
static struct error *read_name(struct snapshots *s, uint16_t size, char printable[NAME_SIZE], bool *matches)
{
	const char *wanted = s->file->options->snapshot;
	char bytes[UINT16_MAX];
	size_t n = size < NAME_SIZE ? size : NAME_SIZE - 1;
	struct error *error = image_file_read(s->file, bytes, size, s->position);

	if (error)
		return error;
	s->position += size;
	if (wanted && strlen(wanted) == size && memcmp(wanted, bytes, size) == 0)
		*matches = true;
	for (size_t i = 0; i < n; i++)
		printable[i] = bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '?';
	printable[n] = '\0';
	return NULL;
}

/* The 64-bit fields that follow an entry since QEMU 0.15; without them the old ones count. */
static struct error *read_extra(struct snapshots *s, uint32_t size, struct snapshot *snapshot)
{
	uint8_t extra[16];
	size_t n = size < sizeof(extra) ? size : sizeof(extra);
	struct error *error;

	if (size > SNAPSHOT_EXTRA_MAX)
		return error_format(s->file->path, s->position, "a snapshot with %u bytes of further data", size);
	error = image_file_read(s->file, extra, n, s->position);
	if (error)
		return error;
	s->position += size;
	if (size >= 8)
		snapshot->memory_size = be64_at(extra);
	if (size >= 16)
		snapshot->disk_size = be64_at(extra + 8);
	return NULL;
}

static struct error *read_snapshot(struct snapshots *s, struct snapshot *ret)
{
	uint8_t entry[SNAPSHOT_ENTRY_SIZE];
	struct snapshot snapshot = {0};
	struct error *error = image_file_read(s->file, entry, sizeof(entry), s->position);

	if (error)
		return error_wrap(error, "the table of snapshots");
	s->position += sizeof(entry);
	snapshot.l1_offset = be64_at(entry);
	snapshot.l1_entries = be32_at(entry + 8);
	snapshot.memory_size = be32_at(entry + 32);
	snapshot.disk_size = s->header->virtual_size;
	error = read_extra(s, be32_at(entry + 36), &snapshot);
	if (!error)
		error = read_name(s, (uint16_t)(entry[12] << 8 | entry[13]), snapshot.id, &snapshot.matches);
	if (!error)
		error = read_name(s, (uint16_t)(entry[14] << 8 | entry[15]), snapshot.name, &snapshot.matches);
	if (error)
		return error_wrap(error, "the table of snapshots");
	s->position = (s->position + 7) & ~UINT64_C(7);
	*ret = snapshot;
	return NULL;
}

/* Adds "'NAME' (ID)" to a list of them, as far as there is room. */
static void list_name(char list[LISTED_NAMES_SIZE], const struct snapshot *snapshot)
{
	size_t used = strlen(list);

	if (LISTED_NAMES_SIZE - used > 2 * NAME_SIZE + 16)
		snprintf(list + used, LISTED_NAMES_SIZE - used, "%s'%s' (%s)", used ? ", " : "", snapshot->name,
			 snapshot->id);
	else if (used > 0 && list[used - 1] != '.')
		snprintf(list + used, LISTED_NAMES_SIZE - used, ", ...");
}

/* Why not one could be taken; `n` snapshots, `names`, hold memory, `n_chosen` of them were asked for. */
static struct error *no_choice(const struct image_file *file, unsigned n, unsigned n_chosen, const char *names)
{
	const char *wanted = file->options->snapshot;
	struct error *error;

	if (n == 0)
		error = error_format(file->path, 0, "a qcow2 disk image in which no snapshot holds memory");
	else if (wanted && n_chosen == 0)
		error = error_create(ERROR_NOT_FOUND, "%s: no snapshot '%s' holds memory, but %s", file->path, wanted,
				     names);
	else if (wanted)
		error = error_create(ERROR_USAGE, "%s: %u snapshots are '%s': %s", file->path, n_chosen, wanted, names);
	else
		error = error_create(ERROR_USAGE, "%s: %u snapshots hold memory: %s", file->path, n, names);
	if (n == 0)
		return error_remedy(error, "Name the file that the memory was saved to, or take a snapshot of the "
					   "running VM with its memory");
	return error_remedy(error, "Choose one by its name or number (in parentheses) with --snapshot");
}

/* The one snapshot that was asked for, or the only one with memory. */
static struct error *choose_snapshot(const struct image_file *file, const struct qcow2_header *header,
				     struct snapshot *ret)
{
	struct snapshots s = {.file = file, .header = header, .position = header->snapshots_offset};
	struct snapshot chosen = {0};
	char names[LISTED_NAMES_SIZE] = "";
	unsigned n = 0, n_chosen = 0;

	if (header->n_snapshots > SNAPSHOTS_MAX)
		return error_format(file->path, 60, "%u snapshots", header->n_snapshots);
	for (uint32_t i = 0; i < header->n_snapshots; i++) {
		struct snapshot snapshot = {0};
		struct error *error = read_snapshot(&s, &snapshot);

		if (error)
			return error;
		if (snapshot.memory_size == 0)
			continue;
		n++;
		list_name(names, &snapshot);
		if (file->options->snapshot && !snapshot.matches)
			continue;
		n_chosen++;
		chosen = snapshot;
	}
	if (n_chosen != 1)
		return no_choice(file, n, n_chosen, names);
	*ret = chosen;
	return NULL;
}

/* What the walks below hand to their callbacks. */
struct memory {
	struct qcow2_range range;
	struct image_file *scattered; /* gets the extents */
	bool copy;                    /* extents will not do */
	struct spool *spool;
	uint8_t *buffer; /* of a cluster */
};

static struct error *add_run(void *data, const struct qcow2_run *run)
{
	struct memory *m = data;

	if (run->kind == QCOW2_COMPRESSED || m->scattered->n_extents >= EXTENTS_MAX)
		m->copy = true;
	if (m->copy)
		return NULL;
	return image_file_add_extent(m->scattered, run->start,
				     run->kind == QCOW2_PLAIN ? run->position : FILE_EXTENT_ZERO);
}

static struct error *copy_run(void *data, const struct qcow2_run *run)
{
	struct memory *m = data;
	struct error *error;

	if (run->kind == QCOW2_ZERO)
		return spool_zeros(m->spool, run->size);
	if (run->kind == QCOW2_PLAIN)
		error = image_file_read(m->range.file, m->buffer, run->size, run->position);
	else
		error = qcow2_unpack(&m->range, run, m->buffer);
	return error ? error : spool_write(m->spool, m->buffer, run->size);
}

static struct error *copy_memory(struct memory *m, struct image_file *file)
{
	_cleanup_(spool_deinit) struct spool spool = {.fd = -1};
	_cleanup_(free_ptr) uint8_t *buffer = malloc((size_t)1 << m->range.header->cluster_bits);
	struct error *error;

	if (!buffer)
		return error_no_memory();
	m->spool = &spool;
	m->buffer = buffer;
	error = spool_init(&spool, 0);
	if (!error)
		error = qcow2_walk(&m->range, copy_run, m);
	return error ? error : spool_finish(&spool, file);
}

/* Makes the file be the snapshot's memory. */
static struct error *find_memory(struct image_file *file, const struct qcow2_header *header,
				 const struct snapshot *snapshot)
{
	uint64_t span = qcow2_table_span(header);
	_cleanup_(image_file_deinit) struct image_file scattered = {.fd = -1, .size = snapshot->memory_size};
	struct memory m = {
		.range =
			{
				.file = file,
				.header = header,
				.l1_offset = snapshot->l1_offset,
				.l1_entries = snapshot->l1_entries,
				.size = snapshot->memory_size,
			},
		.scattered = &scattered,
	};
	struct error *error;

	if (snapshot->disk_size > INT64_MAX || snapshot->memory_size > INT64_MAX)
		return error_format(file->path, header->snapshots_offset, "a snapshot of impossible size");
	m.range.start = (snapshot->disk_size + span - 1) / span * span;
	error = qcow2_walk(&m.range, add_run, &m);
	if (!error && m.copy)
		return copy_memory(&m, file);
	if (error)
		return error;
	scattered.path = string_format("%s (snapshot '%s')", file->path, snapshot->name);
	if (!scattered.path)
		return error_no_memory();
	scattered.fd = take_fd(file->fd);
	scattered.options = file->options;
	image_file_deinit(file);
	*file = scattered;
	scattered = (struct image_file){.fd = -1};
	return NULL;
}

static struct error *read_header(const struct image_file *file, struct qcow2_header *ret)
{
	size_t size = file->size < QCOW2_HEADER_MAX ? file->size : QCOW2_HEADER_MAX;
	_cleanup_(free_ptr) uint8_t *data = malloc(size);
	struct error *error;

	if (!data)
		return error_no_memory();
	error = image_file_read(file, data, size, 0);
	return error ? error : qcow2_parse_header(data, size, file->path, ret);
}

static struct error *qcow2_open(struct image_file *file, struct image_map *map)
{
	_cleanup_(qcow2_header_deinit) struct qcow2_header header = {0};
	struct snapshot snapshot = {0};
	struct error *error = read_header(file, &header);

	if (!error)
		error = choose_snapshot(file, &header, &snapshot);
	if (!error)
		error = find_memory(file, &header, &snapshot);
	return error ? error : qemu_stream_index(file, 0, map);
}

const struct image_ops qcow2_snapshot_ops = {
	.name = "qcow2-snapshot",
	.probe = qcow2_probe,
	.open = qcow2_open,
};
