/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What survives a power loss, in HELPER_DIRECTORY:
 *
 *   index     header and index of the payload, as they came
 *   journal   whose transaction it is, how far it came, and on which mounts
 *   slots     for each entry the inode that was made for it and the one it stands for
 *   deferred  the transaction's id, once a deferred action of it may have begun: what is not undone
 *
 * Each is replaced atomically and durably. Little-endian, with a SHA-256 of what is before it at
 * the end: a file that does not match was not written by us. (`deferred` is the id alone.)
 *
 *   journal = "OUAJRNL\1" u32 phase u32 n_mounts u8[32] id u64 switched_ns u8[32] sha256(slots)
 *             (u32 length bytes){n_mounts} u8[32] sha256
 *   slots   = "OUASLOT\2" u32 n u32 0 slot{n}
 *   slot    = u64 staged u64 old u64 mtime_s u32 mtime_ns u32 file_system u64 log_end
 */
#ifndef APPLY_JOURNAL_H
#define APPLY_JOURNAL_H

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

struct journal {
	enum phase phase;
	uint8_t id[SHA256_SIZE]; /* the payload's */
	int64_t switched_ns;     /* CLOCK_REALTIME at the commit, 0 before */
	uint8_t slots_sha256[SHA256_SIZE];
};

/* `directory` is HELPER_DIRECTORY below the root. The mounts are the tree's. */
struct error *journal_write(const char *directory, const struct journal *journal, const struct tree *tree) _must_check_;
/* An absent journal is PHASE_NONE. Adds its mounts to `tree`, which has none yet. */
struct error *journal_read(const char *directory, struct journal *ret, struct tree *tree) _must_check_;

/* Sets journal->slots_sha256. */
struct error *journal_write_slots(const char *directory, struct journal *journal, const struct slot *slots, uint32_t n)
	_must_check_;
/* The caller frees. Their number and file systems are checked. */
struct error *journal_read_slots(const char *directory, const struct journal *journal, uint32_t n,
				 size_t n_file_systems, struct slot **ret) _must_check_;

struct error *journal_write_index(const char *directory, const uint8_t *bytes, size_t size) _must_check_;
struct error *journal_read_index(const char *directory, const struct journal *journal, struct payload *ret)
	_must_check_;

/*
 * Says durably that deferred actions begin, and whether this was said of the journal's transaction. What cannot be read
 * counts as said: going back below scripts that ran is the worse mistake.
 */
struct error *journal_begin_deferred(const char *directory, const struct journal *journal) _must_check_;
bool journal_deferred_begun(const char *directory, const struct journal *journal);

/* Removes them all. The journal says by now that no path depends on anything: `deferred` must not outlive it. */
struct error *journal_remove(const char *directory) _must_check_;

#endif
