/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What survives a power loss, in HELPER_DIRECTORY:
 *
 *   index     header and index of the payload, as they came
 *   slots     for each entry the inode that was made for it and the one it stands for
 *   journal   whose transaction it is, how far it came, and on which mounts
 *
 * All three are made, in their full size and durably, before anything else is touched; from then on records and slots
 * are written in place, which needs neither a free block nor a free inode: a full disk cannot come between two phases.
 * Records are written alternately, the next one when the last one is durable, so that one whole record is there at
 * every moment; the whole one with the higher sequence counts. Little-endian.
 *
 *   journal = record{2} mounts        the second record begins at JOURNAL_BLOCK, the mounts at twice that
 *   record  = "OUAJRNL\2" u64 sequence u32 phase u32 flags u8[32] id u64 switched_ns u8[32] sha256(slots)
 *             u8[32] sha256(mounts) u8[32] sha256(all before it), zeros up to JOURNAL_BLOCK
 *   mounts  = u32 n (u32 length bytes){n}
 *   slots   = "OUASLOT\2" u32 n u32 0 slot{n}
 *   slot    = u64 staged u64 old u64 mtime_s u32 mtime_ns u32 file_system u64 log_end
 */
#ifndef APPLY_JOURNAL_H
#define APPLY_JOURNAL_H

#include "apply/source.h"
#include "apply/tree.h"
#include "base/sha256.h"
#include "bundle/payload.h"

enum phase {
	PHASE_NONE,      /* no journal */
	PHASE_STAGING,   /* slots may exist; no path has been touched */
	PHASE_SWITCHING, /* slots are complete and durable; any path may or may not have been switched */
	PHASE_COMMITTED, /* every path is switched and durable; services may not have been restarted */
	PHASE_APPLIED,   /* verified; old inodes are kept in the slots */
	PHASE_UNDOING,   /* decided to go back; any path may or may not be back */
	PHASE_MAX,
};

struct slot {
	uint64_t staged; /* inode made for this entry, or linked; 0 if none */
	uint64_t old;    /* inode at the path when it was checked; 0 if there was none */
	int64_t mtime_s; /* of the old inode, then */
	uint32_t mtime_ns;
	uint32_t file_system; /* index into the mounts */
	uint64_t log_end;     /* bytes; of a log (logs.h): where the update's lines end in the new file; otherwise 0 */
};

/* The block of a disk or of a file system that is written as one; a record needs one sector of it. */
#define JOURNAL_BLOCK 4096

struct journal {
	enum phase phase;
	bool deferred;           /* deferred actions may have begun: what they did is not undone */
	uint8_t id[SHA256_SIZE]; /* the payload's */
	int64_t switched_ns;     /* CLOCK_REALTIME at the commit, 0 before */
	uint8_t slots_sha256[SHA256_SIZE];

	/* Private to journal.c. */
	uint8_t mounts_sha256[SHA256_SIZE];
	uint64_t sequence; /* of the last attempt to write, from 1 */
	unsigned next;     /* the record to write: the other one is the last that is known to stand */
	int fd;            /* -1 until it may be written */
};

#define JOURNAL_INIT                                                                                                   \
	{                                                                                                              \
		.fd = -1                                                                                               \
	}

/*
 * Makes index (`size` bytes), slots for `n` entries and the journal, which says journal->phase; all durable. The mounts
 * are the tree's. `directory` is HELPER_DIRECTORY below the root, and holds no other transaction. After a failure
 * journal_remove() clears away what there is.
 */
struct error *journal_create(const char *directory, struct journal *journal, const struct tree *tree,
			     const uint8_t *index, size_t size, uint32_t n) _must_check_;

/* An absent journal is PHASE_NONE. Adds its mounts to `tree`, which has none yet. It can be read, not yet written. */
struct error *journal_read(const char *directory, struct journal *ret, struct tree *tree) _must_check_;

/*
 * Before anything is done that the record read is the reason for: writes it once more, so that it is durable. A process
 * whose disk failed may have left one that only the page cache has. Nothing for PHASE_NONE.
 */
struct error *journal_confirm(const char *directory, struct journal *journal) _must_check_;

/*
 * Phase and all, durably. After a failure it is not known which of the two records stands; the one before stays whole
 * whatever is written next.
 */
struct error *journal_write(struct journal *journal) _must_check_;

/* Of a journal that was created; durable. Sets journal->slots_sha256, which the next record has. */
struct error *journal_write_slots(const char *directory, struct journal *journal, const struct slot *slots, uint32_t n)
	_must_check_;
/* *ret is a room (room.h). Their number and file systems are checked. */
struct error *journal_read_slots(const char *directory, const struct journal *journal, uint32_t n,
				 size_t n_file_systems, struct slot **ret) _must_check_;

/* As source_read_index(). */
struct error *journal_read_index(const char *directory, const struct journal *journal, struct index_room *ret_room,
				 struct payload *ret) _must_check_;

/* Removes all files. The journal says by now that no path depends on anything. */
struct error *journal_remove(const char *directory) _must_check_;
/* Of what journal_create() or journal_confirm() opened; the files stay. */
void journal_close(struct journal *journal);

#endif
