/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bundle: one file that holds an update. bundle/format.h and doc/bundle-format.md say what
 * is in it; in short, a zstd-compressed OCI image layer with the manifest in a skippable frame,
 * so that `zstd -dc BUNDLE | tar t` lists it.
 *
 * The reader takes bundles for hostile bytes.
 */
#ifndef BUNDLE_BUNDLE_H
#define BUNDLE_BUNDLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "changes/changes.h"

/* Everything a bundle says besides the files' content. */
struct bundle_manifest {
	struct change_list changes;
	struct action_list actions;
	/*
	 * The update room's own members, carried verbatim: "vm", "fingerprint", "packages", "guest",
	 * "emulation_s" … An object; owned.
	 */
	json_t *info;
};
void bundle_manifest_deinit(struct bundle_manifest *manifest);

#define BUNDLE_KEY_SIZE 32 /* an Ed25519 public key, RFC 8032 5.1.5 */

/* A private Ed25519 key, which signs bundles. */
struct bundle_signing_key;
/* From a PEM file without a passphrase. Anything else is ERROR_USAGE. */
struct error *bundle_signing_key_load(const char *path, struct bundle_signing_key **ret) _must_check_;
void bundle_signing_key_destroy(struct bundle_signing_key *key);
DEFINE_CLEANUP(struct bundle_signing_key *, bundle_signing_key_destroy)
/* Its public half, BUNDLE_KEY_SIZE bytes. */
const uint8_t *bundle_signing_key_public(const struct bundle_signing_key *key);

/*
 * Writes the bundle to `path` atomically and durably, 0600: a failure leaves an older one as it was.
 * A guest name that begins with ".wh." is refused (ERROR_UNSUPPORTED). `key` may be NULL: it is not signed.
 */
struct error *bundle_write(const char *path, const struct bundle_manifest *manifest, const struct change_layer *layers,
			   size_t n_layers, const struct bundle_signing_key *key) _must_check_;

struct bundle;

/*
 * Opens and checks the frame structure, the signature if there is one, and the manifest, not the content. A damaged
 * bundle is ERROR_FORMAT, one that was altered after it was signed ERROR_CONFLICT. That somebody signed it does not
 * mean that he was to be trusted.
 */
struct error *bundle_open(const char *path, struct bundle **ret) _must_check_;
const struct bundle_manifest *bundle_manifest(const struct bundle *bundle);
/* SHA-256 of the manifest's bytes: the bundle's name. */
const uint8_t *bundle_id(const struct bundle *bundle);
/* The key that signed it (BUNDLE_KEY_SIZE bytes); NULL: it is not signed. */
const uint8_t *bundle_signer(const struct bundle *bundle);
/* Reads all of the layer and compares every entry with the manifest. */
struct error *bundle_verify(struct bundle *bundle) _must_check_;
void bundle_close(struct bundle *bundle);
DEFINE_CLEANUP(struct bundle *, bundle_close)

/* Public keys whose bundles are trusted. */
struct bundle_trusted_key {
	uint8_t key[BUNDLE_KEY_SIZE];
	char *path; /* of its file */
};
struct bundle_trust {
	struct bundle_trusted_key *keys; /* owned */
	size_t n;
};
/*
 * From a PEM file with one public key or several, or from a directory of such files, NAME.pem. What holds no key, or
 * one that is not for Ed25519, is ERROR_USAGE: to trust fewer keys than the user meant, or none, is no way out.
 */
struct error *bundle_trust_load(const char *path, struct bundle_trust *ret) _must_check_;
void bundle_trust_deinit(struct bundle_trust *trust);
bool bundle_trust_has(const struct bundle_trust *trust, const uint8_t key[BUNDLE_KEY_SIZE]);
/* The key among them that signed the bundle; NULL: none did. Borrowed. */
const struct bundle_trusted_key *bundle_trust_find(const struct bundle_trust *trust, const struct bundle *bundle);
/* SHA-256 of the key in DER, as of `openssl pkey -pubin -outform DER`, in hexadecimal digits. */
struct error *bundle_key_fingerprint(const uint8_t key[BUNDLE_KEY_SIZE], char ret[SHA256_HEX_SIZE]) _must_check_;

/*
 * Writes what the guest helper reads (bundle/payload.h) to `path`: only what must travel. Every
 * content is checked against the manifest on the way. *ret_sha256 is what the helper is told to expect.
 */
struct error *bundle_write_payload(struct bundle *bundle, const struct action_list *actions, const char *path,
				   uint8_t ret_sha256[SHA256_SIZE], uint64_t *ret_size) _must_check_;

struct pack_totals {
	uint64_t size, packed_size; /* bytes of the payload, and of what was written */
	uint64_t delta_size;        /* of `size`: what went as a difference to what the guest has */
};

/*
 * Writes a payload file to `out` in the form of bundle/packed.h, for a channel that is slower than the guest unpacks.
 * `deltas_path`: what deltas_write() has made; NULL, an absent or a damaged file, or one of another update: without
 * differences. `out` may be a pipe whose reader has gone: ERROR_SYSTEM with EPIPE, if the signal is blocked or ignored.
 * *ret_totals may be NULL.
 */
struct error *payload_pack(const char *payload_path, const char *deltas_path, int out, struct pack_totals *ret_totals)
	_must_check_;

/*
 * While the layers are there: writes the differences of large changed files to what they were, as far as they save a
 * fifth. There is no file in the end if there are none, or on failure.
 */
struct error *deltas_write(const char *path, const struct change_list *changes, const struct change_layer *layers,
			   size_t n_layers) _must_check_;

#endif
