/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/object.h"

#include <string.h>

struct error *object_need(const struct types *types, const struct member_need *needs, size_t n,
			  struct object_span *span)
{
	struct error *error = types_need(types, needs, n);

	if (error)
		return error;
	for (size_t i = 0; i < n; i++) {
		uint64_t end = (uint64_t)needs[i].ret->offset + needs[i].ret->size;

		if (end > OBJECT_MAX)
			return error_create(ERROR_UNSUPPORTED,
					    "member '%s' lies %llu bytes into struct %s of the guest", needs[i].path,
					    (unsigned long long)end, needs[i].type);
		if (span->size < end)
			span->size = (uint32_t)end;
	}
	return NULL;
}

struct error *object_read(struct guest *guest, struct gva address, struct object_span span, uint8_t buffer[OBJECT_MAX])
{
	return memory_read(&guest->memory, address, buffer, span.size);
}

uint64_t object_field(const uint8_t *object, const struct member *member)
{
	uint64_t value = 0;

	if (!member->present || member->size > sizeof(value))
		return 0;
	memcpy(&value, object + member->offset, member->size);
	if (!member->bits)
		return value;
	return value >> member->shift & (UINT64_MAX >> (64 - member->bits));
}

struct error *object_load(struct guest *guest, struct object_span span, uint64_t address, struct object *ret)
{
	if (!address)
		return error_format(NULL, 0, "a pointer to nothing");
	ret->address = (struct gva){address};
	return object_read(guest, ret->address, span, ret->bytes);
}
