/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a memory and a disk belong together: inodes that nobody changed are the same in both. */
#include "disk/coherent_private.h"

#define LINE_SIZE      160u
/* A change that was cut may leave some inodes in between. */
#define TOLERATED      2u
#define TOLERATED_EACH 4u /* for each change that was in progress */

static bool is_equal(const struct guest_cached_inode *memory, const struct ext2_inode *disk)
{
	return memory->mode == disk->i_mode && memory->links == disk->i_links_count &&
	       memory->uid == inode_uid(*disk) && memory->gid == inode_gid(*disk) &&
	       memory->generation == disk->i_generation && memory->size == EXT2_I_SIZE(disk) &&
	       (uint32_t)memory->ctime.s == disk->i_ctime;
}

static struct error *refuse(struct builder *builder, const struct guest_cached_inode *first, uint64_t different,
			    uint64_t compared)
{
	_cleanup_(free_ptr) char *path = NULL;
	struct error *error = guest_inode_path(builder->guest, first->address, &path);

	error_destroy(error);
	return error_create(ERROR_CONFLICT,
			    "%llu of %llu inodes that memory has as the disk had them are others on the disk (first: "
			    "%llu, %s): the disk has changed since the suspend",
			    (unsigned long long)different, (unsigned long long)compared,
			    (unsigned long long)first->number, path ? path : "without a path in memory");
}

struct error *coherent_compare(struct builder *builder)
{
	uint64_t n = builder->n_seen < SAMPLES ? builder->n_seen : SAMPLES, different = 0;
	const struct guest_cached_inode *first = NULL;

	for (uint64_t i = 0; i < n; i++) {
		const struct guest_cached_inode *sample = &builder->samples[i];
		struct ext2_inode inode;
		errcode_t code = EXT2_ET_BAD_INODE_NUM;

		if (sample->number <= builder->fs->super->s_inodes_count)
			code = ext2fs_read_inode(builder->fs, (ext2_ino_t)sample->number, &inode);
		if (!code && is_equal(sample, &inode))
			continue;
		different++;
		first = first ? first : sample;
	}
	builder->newer.compared = n;
	if (different > TOLERATED + TOLERATED_EACH * builder->newer.open_changes)
		return refuse(builder, first, different, n);
	return NULL;
}
