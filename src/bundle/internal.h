/* SPDX-License-Identifier: Apache-2.0 */
/* An open bundle, for the files of this room. */
#ifndef BUNDLE_INTERNAL_H
#define BUNDLE_INTERNAL_H

#include "bundle/bundle.h"
#include "bundle/format.h"
#include "bundle/layer.h"

struct bundle {
	char *path;
	int fd;
	struct bundle_trailer trailer;
	bool is_signed;
	uint8_t signer[BUNDLE_KEY_SIZE];
	struct bundle_manifest manifest;
	struct layer_records records; /* of manifest.changes */
};

struct error *bundle_read_layer(struct bundle *bundle, const struct layer_consumer *consumer) _must_check_;

#endif
