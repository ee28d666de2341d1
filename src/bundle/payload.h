/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload: what travels to the guest helper. Derived from a bundle by the host, read by the
 * helper in one forward pass, so that it can come from a disk or from a pipe. All numbers are
 * little-endian; doc/bundle-format.md holds the same grammar for people.
 *
 *   payload  = header index padding content*
 *   header   = "OUAPAYL\1" u32 version(3) u32 flags(0) u64 index_size u64 content_size
 *              u32 n_entries u32 n_actions u8[32] sha256(index) u64 0    (80 bytes)
 *   index    = entry{n_entries} action{n_actions}                        (index_size bytes)
 *   padding  = zero bytes up to a multiple of 4096
 *   content  = bytes of one WRITE, in the order of their entries, each padded with zeros to 4096; none of one that
 *              is SHARED
 *
 *   entry    = u8 kind u8 flags u16 0 string path string target attributes u64 size u64 rdev
 *              u8[32] sha256 u64 content u64 checksum preimage
 *   string   = u32 length bytes u8 0             (no NUL inside; at most PAYLOAD_STRING_MAX without the one behind)
 *   attributes = u32 mode u32 uid u32 gid i64 mtime_s u32 mtime_ns u32 n_xattrs
 *              (string name u32 size bytes){n_xattrs}
 *   preimage = u8 exists [attributes u64 inode u64 size u32 nlink i64 ctime_s u32 ctime_ns
 *              u64 rdev u8[32] sha256 string target]
 *   action   = u8 kind u8 phase u8 queued u8 0 u32 order u32 pid u64 start_ns u32 signal u32 value u64 flags
 *              string package string script string verb string unit string path
 *              u32 size bytes u32 argc string{argc}     (an empty string, no word: the member is absent)
 *
 * A WRITE whose content is what the pre-image already has travels as ATTRIBUTES with the flag
 * PAYLOAD_ENTRY_REWRITTEN: the package manager wrote the same bytes again.
 * `content` of a WRITE is the offset of its bytes, counted from the first content byte. Identical content travels once:
 * of a WRITE with PAYLOAD_ENTRY_SHARED it is the number of the earlier entry that carries the bytes (same size, same
 * hash, not SHARED itself; payload_may_share() of both). Of other entries it is 0. Of a pre-image that does not exist
 * only the zero byte travels.
 * `checksum` of a WRITE is XXH64 of its content (base/checksum.h), of other entries 0: what the helper compares with
 * what it got and with what it reads back. That the bytes are those of the bundle is proved by their SHA-256 on the
 * host, where the payload is made. Holes are not kept in the payload, the helper makes runs of 4096 zero bytes holes
 * again where PAYLOAD_ENTRY_SPARSE is set.
 */
#ifndef BUNDLE_PAYLOAD_H
#define BUNDLE_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "changes/changes.h"

#define PAYLOAD_MAGIC       "OUAPAYL\1"
#define PAYLOAD_VERSION     3 /* 1 had actions without phase and origin, 2 carried every content */
#define PAYLOAD_HEADER_SIZE 80
#define PAYLOAD_ALIGNMENT   4096
#define PAYLOAD_STRING_MAX  4096         /* PATH_MAX of Linux */
#define PAYLOAD_XATTR_MAX   65536        /* XATTR_SIZE_MAX of Linux */
#define PAYLOAD_INDEX_MAX   (256u << 20) /* about 100 times a full upgrade's */
#define PAYLOAD_ENTRIES_MAX 2000000u
#define PAYLOAD_ARGC_MAX    4096 /* words of one action; keeps it small */

enum payload_entry_flags {
	PAYLOAD_ENTRY_REWRITTEN = 1 << 0,
	PAYLOAD_ENTRY_SPARSE = 1 << 1,
	PAYLOAD_ENTRY_SHARED = 1 << 2,
};

struct payload_header {
	uint64_t index_size, content_size; /* bytes */
	uint32_t n_entries, n_actions;
	uint8_t index_sha256[SHA256_SIZE];
};

struct payload_entry {
	struct change change; /* layer is unused */
	uint8_t flags;
	uint64_t content_offset; /* WRITE, not SHARED: of its bytes, from the first content byte; otherwise 0 */
	uint32_t carrier;        /* SHARED: the earlier entry that has the bytes; otherwise 0 */
	uint64_t checksum;       /* WRITE: of its content; otherwise 0 */
};

/* Where the parser gets memory that it does not give back: it outlives the payload. */
struct payload_memory {
	/* Zeroed bytes, aligned to 16; NULL: there are none. */
	void *(*get)(void *data, size_t size);
	void *data;
};

struct payload {
	struct payload_header header;
	struct payload_entry *entries; /* their strings, and values of extended attributes, lie in the index */
	bool is_borrowed;              /* what grows with them is somebody's payload_memory */
	struct action_list actions;
};

/* Offset of the first content byte from the payload's start. */
uint64_t payload_content_start(const struct payload_header *header);

struct error *payload_parse_header(const uint8_t bytes[PAYLOAD_HEADER_SIZE], struct payload_header *ret) _must_check_;

/*
 * Parses the index (header->index_size bytes) after its hash was compared with the header.
 * Refuses bad paths (absolute, empty components, "." and ".."), unknown kinds, numbers out of range,
 * contents that do not follow one another. Strings of a change are never NULL; actions have passed
 * action_problem(). The index must outlive the payload. `memory`: for entries and extended attributes, if not NULL.
 */
struct error *payload_parse_index(const struct payload_header *header, const uint8_t *index,
				  const struct payload_memory *memory, struct payload *ret) _must_check_;
void payload_deinit(struct payload *payload);

/* Whether it is a path as in struct change: relative, no empty, "." or ".." component; "" is the root. */
bool payload_path_valid(const char *path);

/*
 * Whether a change may take its content from another, or give it: a WRITE with bytes that is no log. A log that has
 * grown in the guest meanwhile gets another content than the payload says.
 */
bool payload_may_share(const struct change *change);

/* What is wrong with a change that came from outside, as a short text; NULL if nothing. `path` is not NULL. */
const char *payload_change_problem(const struct change *change);

#endif
