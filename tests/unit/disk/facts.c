/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/disk/facts.h"

#include <string.h>

struct guest *facts_guest(struct facts *facts)
{
	for (size_t i = 0; i < facts->n_inodes; i++)
		facts->inodes[i].inode.address = i + 1;
	return (struct guest *)facts;
}

int guest_descriptor(const struct guest *guest)
{
	return -1;
}

static struct facts *facts_of(struct guest *guest)
{
	return (struct facts *)guest;
}

/* The place of a piece is where the test has its bytes. */
static struct error *visit_pieces(struct guest *guest, const struct fact_piece *pieces, size_t n,
				  guest_piece_visit visit, void *context)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < n; i++) {
		const struct guest_piece piece = {.offset = pieces[i].offset,
						  .size = pieces[i].size,
						  .newer = pieces[i].newer,
						  .place = {(uintptr_t)pieces[i].bytes}};

		error = visit(guest, &piece, context);
	}
	return error;
}

struct error *guest_device_blocks(struct guest *guest, const struct guest_file_system *fs, guest_piece_visit visit,
				  void *context)
{
	return visit_pieces(guest, facts_of(guest)->blocks, facts_of(guest)->n_blocks, visit, context);
}

struct error *guest_piece_read(struct guest *guest, const struct guest_piece *piece, void *buffer)
{
	if (!piece->place.v)
		return error_create(ERROR_NOT_FOUND, "not in the image");
	memcpy(buffer, (const void *)(uintptr_t)piece->place.v, piece->size);
	return NULL;
}

struct error *guest_cached_inodes(struct guest *guest, const struct guest_file_system *fs, guest_inode_visit visit,
				  void *context)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < facts_of(guest)->n_inodes; i++)
		error = visit(guest, &facts_of(guest)->inodes[i].inode, context);
	return error;
}

struct error *guest_inode_data(struct guest *guest, const struct guest_cached_inode *inode, guest_piece_visit visit,
			       void *context)
{
	const struct fact_inode *found = &facts_of(guest)->inodes[inode->address - 1];

	return visit_pieces(guest, found->pieces, found->n, visit, context);
}

struct error *guest_inode_path(struct guest *guest, uint64_t address, char **ret)
{
	return error_create(ERROR_NOT_FOUND, "no path");
}

struct error *guest_journal(struct guest *guest, const struct guest_file_system *fs, struct guest_journal *ret)
{
	*ret = facts_of(guest)->journal;
	return NULL;
}

struct error *guest_open_changes(struct guest *guest, uint64_t *ret)
{
	*ret = facts_of(guest)->open_changes;
	return NULL;
}
