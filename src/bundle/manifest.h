/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUNDLE_MANIFEST_H
#define BUNDLE_MANIFEST_H

#include "bundle/bundle.h"

/* The manifest as JSON: malloc'd, not NUL-terminated. */
struct error *manifest_to_json(const struct bundle_manifest *manifest, char **ret, size_t *ret_size) _must_check_;

/* The reverse, with every member checked as a payload's would be. `path` is for errors. */
struct error *manifest_from_json(const char *text, size_t size, const char *path, struct bundle_manifest *ret)
	_must_check_;

#endif
