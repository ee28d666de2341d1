/* SPDX-License-Identifier: Apache-2.0 */
#include "update/kept.h"

#include "base/io.h"

static struct error *carry(const json_t *from, const char *const *keys, json_t *to)
{
	for (; *keys; keys++) {
		json_t *value = json_object_get(from, *keys);

		if (value && json_object_set(to, *keys, value) < 0)
			return error_no_memory();
	}
	return NULL;
}

struct error *kept_carry(const json_t *before, json_t *report)
{
	static const char *const of_report[] = {"keep_until_s", "not_kept", NULL};
	/* Not when it was applied and what was done then: that is told by the `resume` that did it. */
	static const char *const of_late[] = {"applied", "error", NULL};
	const json_t *late = json_object_get(before, "late");
	json_t *copy = json_is_object(late) ? json_object() : NULL;
	struct error *error = carry(before, of_report, report);

	if (!error && copy)
		error = carry(late, of_late, copy);
	if (!error && copy && json_object_set(report, "late", copy) < 0)
		error = error_no_memory();
	json_decref(copy);
	return error;
}

struct error *kept_note_cut(struct state *state)
{
	json_t *late;

	if (state->state != STATE_OPEN_LATE || json_object_get(state->report, "late"))
		return NULL;
	late = json_pack("{s:b, s:s}", "applied", 0, "error", "the VM was suspended before it was applied");
	if (!state->report)
		state->report = json_object();
	return !late || json_object_set_new(state->report, "late", late) < 0 ? error_no_memory() : NULL;
}

/* A guest that has been rolled back, or sleeps, is at another place. */
struct error *kept_describe(const struct state *state, json_t *document)
{
	json_int_t until_s = json_integer_value(json_object_get(state->report, "keep_until_s"));
	bool can = state->state == STATE_APPLIED || state->state == STATE_OPEN_LATE || state->state == STATE_OPEN;

	if (!can || until_s <= clock_realtime_ns() / 1000000000)
		return NULL;
	return json_object_set_new(document, "keep_until_s", json_integer(until_s)) < 0 ? error_no_memory() : NULL;
}
