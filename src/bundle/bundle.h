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

/*
 * Writes the bundle to `path` atomically and durably, 0600: a failure leaves an older one as it was.
 * A guest name that begins with ".wh." is refused (ERROR_UNSUPPORTED).
 */
struct error *bundle_write(const char *path, const struct bundle_manifest *manifest, const struct change_layer *layers,
			   size_t n_layers) _must_check_;

struct bundle;

/* Opens and checks the frame structure and the manifest, not the content. */
struct error *bundle_open(const char *path, struct bundle **ret) _must_check_;
const struct bundle_manifest *bundle_manifest(const struct bundle *bundle);
/* SHA-256 of the manifest's bytes: the bundle's name. */
const uint8_t *bundle_id(const struct bundle *bundle);
/* Reads all of the layer and compares every entry with the manifest. */
struct error *bundle_verify(struct bundle *bundle) _must_check_;
void bundle_close(struct bundle *bundle);
DEFINE_CLEANUP(struct bundle *, bundle_close)

/*
 * Writes what the guest helper reads (bundle/payload.h) to `path`: only what must travel. Every
 * content is checked against the manifest on the way. *ret_sha256 is what the helper is told to expect.
 */
struct error *bundle_write_payload(struct bundle *bundle, const struct action_list *actions, const char *path,
				   uint8_t ret_sha256[SHA256_SIZE], uint64_t *ret_size) _must_check_;

#endif
