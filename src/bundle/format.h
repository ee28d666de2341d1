/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bundle's format; doc/bundle-format.md is the same for people. All numbers are little-endian.
 *
 *   bundle   = header layer manifest trailer [signature]
 *   header   = skippable(BUNDLE_FRAME_HEADER,   "OUABNDL\1" u32 version u32 flags)
 *   layer    = zstd frames: one tar archive in pax format, an OCI image layer
 *   manifest = skippable(BUNDLE_FRAME_MANIFEST, one zstd frame: JSON in UTF-8)
 *   trailer  = skippable(BUNDLE_FRAME_TRAILER,  "OUATRLR\1" u64 layer_offset u64 layer_size u64 tar_size
 *              u64 manifest_offset u64 manifest_size u64 json_size u8[32] sha256(JSON) u8[32] sha256(tar))
 *   signature = skippable(BUNDLE_FRAME_SIGNATURE, "OUASIGN\1" u8[32] public_key u8[64] signature)
 *
 *   skippable(M, bytes) = u32 M u32 size bytes      (RFC 8878, 3.1.2: decoders pass over it)
 *
 * So any zstd decoder yields the tar archive and nothing else. Offsets count from the start of
 * the file; manifest_offset is that of the zstd frame, behind the 8 bytes of the skippable
 * frame's head. The trailer has a fixed size and ends the file: it is read first. The frames
 * follow each other without a gap, which the reader checks.
 *
 * The SHA-256 of the JSON is the bundle's name: the JSON has the hash and all attributes of
 * every entry of the archive.
 *
 * The signature is there if BUNDLE_FLAG_SIGNED is among the header's flags. It is Ed25519 (RFC 8032) over
 * "OUASIGN\1", the header's frame and the trailer's frame: so over the hashes of everything else, and over the word
 * that says that there is a signature. The key is in it, so that damage is found by those who trust nobody yet.
 */
#ifndef BUNDLE_FORMAT_H
#define BUNDLE_FORMAT_H

#include <stdint.h>

#define BUNDLE_HEADER_MAGIC    "OUABNDL\1"
#define BUNDLE_TRAILER_MAGIC   "OUATRLR\1"
#define BUNDLE_MAGIC_SIZE      8
/* 2: actions have a phase, an order, package and script, and kinds of their own. Version 1 is refused. */
#define BUNDLE_VERSION         2

/* Of the sixteen magic numbers RFC 8878 leaves to users. */
#define BUNDLE_FRAME_HEADER    0x184d2a5au
#define BUNDLE_FRAME_MANIFEST  0x184d2a5bu
#define BUNDLE_FRAME_TRAILER   0x184d2a5cu
#define BUNDLE_FRAME_SIGNATURE 0x184d2a5du

#define BUNDLE_FRAME_HEAD_SIZE 8
#define BUNDLE_HEADER_SIZE     16
#define BUNDLE_TRAILER_SIZE    120
#define BUNDLE_SIGNATURE_SIZE  104

/* The header's flags; readers refuse those that they do not know. */
#define BUNDLE_FLAG_SIGNED     (1u << 0)

#define BUNDLE_SIGNATURE_MAGIC "OUASIGN\1"
#define BUNDLE_ED25519_SIZE    64

/* Compressed and as JSON: a full upgrade has 8,000 changes of about 700 bytes each; 50 times that, held in memory. */
#define BUNDLE_MANIFEST_MAX    (64u << 20)
#define BUNDLE_JSON_MAX        (256u << 20)
/*
 * Values in the JSON, counted by its commas and brackets: about 30 a change. Each takes memory, however short it is
 * written: without this the maximum above could stand for ten times as much.
 */
#define BUNDLE_VALUES_MAX      (BUNDLE_JSON_MAX / 16)
/* More than PAYLOAD_ENTRIES_MAX could not be applied. */
#define BUNDLE_CHANGES_MAX     2000000u
/* The decoder's memory: what level 3 to 19 of zstd need, as `zstd -dc` accepts by default. */
#define BUNDLE_WINDOW_LOG_MAX  27

/* OCI image layer: a deleted NAME is an empty file ".wh.NAME" beside it; so no real name can begin with it. */
#define BUNDLE_WHITEOUT_PREFIX ".wh."
/* Hides all of a directory below; not written (explicit whiteouts say the same) and refused when read. */
#define BUNDLE_OPAQUE_NAME     ".wh..wh..opq"

struct bundle_trailer {
	uint64_t layer_offset, layer_size; /* bytes of the zstd frames */
	uint64_t tar_size;                 /* bytes of the archive */
	uint64_t manifest_offset, manifest_size;
	uint64_t json_size;
	uint8_t json_sha256[32];
	uint8_t tar_sha256[32]; /* OCI calls it the layer's DiffID */
};

#endif
