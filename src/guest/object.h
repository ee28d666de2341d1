/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of the guest read whole: one read instead of one a member, for walks over many of them.
 * Private to guest/.
 */
#ifndef GUEST_OBJECT_H
#define GUEST_OBJECT_H

#include "guest/internal.h"

/* Bytes of an object that are read: more than the largest of them, a struct tcp6_sock, has. */
#define OBJECT_MAX 8192u

/* Part of a structure: the bytes from its beginning that hold all members looked for. */
struct object_span {
	uint32_t size; /* <= OBJECT_MAX */
};

/* types_need() that also widens *span so that it holds these members of one structure. */
struct error *object_need(const struct types *types, const struct member_need *needs, size_t n,
			  struct object_span *span) _must_check_;

struct error *object_read(struct guest *guest, struct gva address, struct object_span span, uint8_t buffer[OBJECT_MAX])
	_must_check_;

/* A member of at most 8 bytes, or a bit field, of an object that was read; 0 for one that is not present. */
uint64_t object_field(const uint8_t *object, const struct member *member);

/* A structure as read, so far as its members below need it. */
struct object {
	struct gva address;
	uint8_t bytes[OBJECT_MAX];
};
/* Reads the object at `address`; 0 is ERROR_FORMAT. */
struct error *object_load(struct guest *guest, struct object_span span, uint64_t address, struct object *ret)
	_must_check_;

static inline uint64_t object_get(const struct object *object, const struct member *member)
{
	return object_field(object->bytes, member);
}

/* Where in the guest the member lies. */
static inline struct gva object_place(const struct object *object, const struct member *member)
{
	return (struct gva){object->address.v + member->offset};
}

#endif
