/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes payloads for the helper's tests, good ones and bad ones, and carries the same changes
 * out in the plainest way, as the standard to compare the helper with.
 */
#ifndef TEST_APPLY_BUILDER_H
#define TEST_APPLY_BUILDER_H

#include <stdbool.h>

#include "bundle/payload.h"
#include "changes/changes.h"

/* Of one builder: entries do not move, so their room is taken when it begins. */
extern size_t builder_entries_max;

struct builder_entry {
	struct change change;
	uint8_t flags;
	uint32_t carrier; /* SHARED: the entry that has the content */
	void *content;
};

struct builder {
	const char *root; /* the tree pre-images are taken from */
	struct builder_entry *entries;
	size_t n_entries;
	struct action_list actions;
	uint8_t sha256[SHA256_SIZE]; /* of the header, after builder_write() */
	char hex[SHA256_HEX_SIZE];
	char *bytes; /* the payload, after builder_write() */
	size_t size, content_start;
};

void builder_init(struct builder *b, const char *root);
void builder_deinit(struct builder *b);

/* Adds a change with its pre-image; the result may be altered before builder_write(). */
struct builder_entry *builder_add(struct builder *b, enum change_kind kind, const char *path, uint32_t mode);
/* The same for a path that an earlier entry deletes: no pre-image. */
struct builder_entry *builder_add_fresh(struct builder *b, enum change_kind kind, const char *path, uint32_t mode);
void builder_content(struct builder_entry *e, const void *content, size_t size);
/* The content of an earlier WRITE, which alone carries it. */
void builder_share(const struct builder *b, struct builder_entry *e, const struct builder_entry *carrier);
void builder_target(struct builder_entry *e, const char *target);
void builder_xattr(struct builder_entry *e, const char *name, const void *value, size_t size);

/* Makes bytes, hashes, and, unless `path` is NULL, the file. */
void builder_write(struct builder *b, const char *path);

/* unlink, open, write, chmod …: no staging, no safety. */
void builder_reference(const struct builder *b, const char *root);

#endif
