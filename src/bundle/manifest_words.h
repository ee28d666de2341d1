/* SPDX-License-Identifier: Apache-2.0 */
/* The words of the manifest. */
#ifndef BUNDLE_MANIFEST_WORDS_H
#define BUNDLE_MANIFEST_WORDS_H

#include "changes/changes.h"

#define MANIFEST_FORMAT "ouassister-bundle"

static const char *const change_words[] = {
	[CHANGE_WRITE] = "write",           [CHANGE_DIRECTORY] = "directory",
	[CHANGE_SYMLINK] = "symlink",       [CHANGE_FIFO] = "fifo",
	[CHANGE_DEVICE] = "device",         [CHANGE_LINK] = "link",
	[CHANGE_ATTRIBUTES] = "attributes", [CHANGE_DELETE] = "delete",
};

#endif
