/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/guest.h"

#include <stdlib.h>
#include <string.h>

#include "guest/details.h"
#include "guest/internal.h"
#include "guest/task.h"

void guest_close(struct guest *guest)
{
	if (!guest)
		return;
	while (guest->n_modules > 0)
		types_destroy(guest->modules[--guest->n_modules].types);
	free(guest->processes);
	free(guest->vfs);
	free(guest->page_cache);
	free(guest->paths);
	free(guest->vmas);
	free(guest->spaces);
	free(guest->details);
	free(guest->fds);
	free(guest->locks);
	free(guest->acls);
	free(guest->stacks);
	free(guest->sysfs);
	types_destroy(guest->types);
	symbols_destroy(guest->symbols);
	free(guest);
}

struct error *guest_read_member(struct guest *guest, struct gva object, const struct member *member, uint64_t *ret)
{
	uint64_t value = 0;
	struct error *error;

	if (!member->present || member->size == 0 || member->size > sizeof(value))
		return error_create(ERROR_UNSUPPORTED, "a number of %u bytes in a structure of the guest",
				    member->size);
	error = memory_read(&guest->memory, (struct gva){object.v + member->offset}, &value, member->size);
	if (error)
		return error;
	if (member->bits)
		value = value >> member->shift & (UINT64_MAX >> (64 - member->bits));
	*ret = value;
	return NULL;
}

struct error *guest_read_members(struct guest *guest, struct gva object, const struct member_read *reads, size_t n)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < n; i++)
		error = guest_read_member(guest, object, reads[i].member, reads[i].ret);
	return error;
}

bool loop_guard_step(struct loop_guard *guard, uint64_t place)
{
	if (guard->steps++ > WALK_MAX || (guard->steps > 1 && place == guard->remembered))
		return false;
	if (guard->distance++ == guard->power) {
		guard->remembered = place;
		guard->power = guard->power ? guard->power * 2 : 1;
		guard->distance = 0;
	}
	return true;
}

struct error *walk_note(struct error **incomplete, struct error *error)
{
	if (!error || error->code == ERROR_NO_MEMORY)
		return error;
	if (*incomplete)
		error_destroy(error);
	else
		*incomplete = error;
	return NULL;
}

void guest_effort_begin(struct guest *guest)
{
	if (!guest->effort_shared)
		guest->effort = 0;
}

int guest_descriptor(const struct guest *guest)
{
	return image_descriptor(guest->memory.image);
}

uint64_t guest_work(const struct guest *guest)
{
	return image_work(guest->memory.image);
}

void guest_share_effort(struct guest *guest, bool on)
{
	guest->effort = 0;
	guest->effort_shared = on;
}

bool guest_effort_spent(const struct guest *guest)
{
	return guest->effort > EFFORT_MAX;
}

struct error *guest_effort(struct guest *guest, uint64_t steps, uint64_t place)
{
	if (!guest_effort_spent(guest))
		guest->effort += steps;
	if (guest_effort_spent(guest))
		return error_format(NULL, place, "paths or tables in the guest's memory that are too long in all");
	return NULL;
}
