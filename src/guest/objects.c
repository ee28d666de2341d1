/* SPDX-License-Identifier: Apache-2.0 */
/* Structures of the guest, read whole as far as a walk needs them. */
#include <string.h>

#include "guest/internal.h"

struct error *span_need(const struct types *types, const struct member_need *needs, size_t n, struct span *ret)
{
	uint64_t start = UINT64_MAX, end = 0;
	struct error *error = types_need(types, needs, n);

	if (error)
		return error;
	for (size_t i = 0; i < n; i++) {
		const struct member *member = needs[i].ret;

		if (!member->present)
			continue;
		if (member->offset < start)
			start = member->offset;
		if ((uint64_t)member->offset + member->size > end)
			end = (uint64_t)member->offset + member->size;
	}
	if (end <= start || end - start > OBJECT_MAX)
		return error_create(ERROR_UNSUPPORTED, "struct %s of the guest's kernel has an unlikely size",
				    needs[0].type);
	*ret = (struct span){.start = (uint32_t)start, .size = (uint32_t)(end - start)};
	return NULL;
}

struct error *object_read(struct guest *guest, const struct span *span, uint64_t address, struct object *ret)
{
	struct error *error;

	if (!address)
		return error_format(NULL, 0, "a pointer to nothing");
	error = memory_read(&guest->memory, (struct gva){address + span->start}, ret->bytes, span->size);
	if (error)
		return error;
	ret->address = (struct gva){address};
	ret->span = span;
	return NULL;
}

const void *object_bytes(const struct object *object, const struct member *member)
{
	const struct span *span = object->span;

	if (!member->present || member->offset < span->start || member->offset - span->start > span->size ||
	    member->size > span->size - (member->offset - span->start))
		return NULL;
	return object->bytes + (member->offset - span->start);
}

uint64_t object_get(const struct object *object, const struct member *member)
{
	const void *bytes = object_bytes(object, member);
	uint64_t value = 0;

	if (!bytes || member->size > sizeof(value))
		return 0;
	memcpy(&value, bytes, member->size);
	return member->bits ? value >> member->shift & (UINT64_MAX >> (64 - member->bits)) : value;
}
