/* SPDX-License-Identifier: Apache-2.0 */
/* The words of an action below /run, and which of them go together. Linked into the guest helper, as action.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "changes/changes.h"

#define NAME_BYTES_MAX 255u

/* A number up to its space or the end, without signs or leading zeros (of base 8: of four digits); false: none. */
static bool take_number(const char **text, int base, uint64_t max, uint64_t *ret)
{
	const char *p = *text;
	uint64_t value = 0;
	size_t n = 0;

	for (; p[n] >= '0' && p[n] < '0' + base; n++) {
		value = value * (uint64_t)base + (uint64_t)(p[n] - '0');
		if (value > max)
			return false;
	}
	if (n == 0 || (p[n] && p[n] != ' ') || (base == 8 ? n != 4 : n > 1 && p[0] == '0'))
		return false;
	*ret = value;
	*text = p + n + (p[n] == ' ');
	/* A space at the end is one too many. */
	return !p[n] || **text;
}

static bool take_word(const char **text, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*text, word, n) != 0 || (*text)[n] != ' ' || !(*text)[n + 1])
		return false;
	*text += n + 1;
	return true;
}

static bool take_owner(const char **text, struct runtime_state *state)
{
	uint64_t uid, gid;

	/* The last number means nobody at all. */
	if (!take_number(text, 10, UINT32_MAX - 1, &uid) || !**text || !take_number(text, 10, UINT32_MAX - 1, &gid))
		return false;
	state->uid = (uint32_t)uid;
	state->gid = (uint32_t)gid;
	return true;
}

static bool take_attributes(const char **text, struct runtime_state *state)
{
	uint64_t mode;

	if (!take_number(text, 8, 07777, &mode) || !**text)
		return false;
	state->mode = (uint32_t)mode;
	return take_owner(text, state);
}

bool runtime_state_parse(const char *text, struct runtime_state *ret)
{
	struct runtime_state state = {.type = RUNTIME_ABSENT};

	if (strcmp(text, "absent") == 0) {
		*ret = state;
		return true;
	}
	if (take_word(&text, "symlink")) {
		state.type = RUNTIME_SYMLINK;
		if (!take_owner(&text, &state) || !*text)
			return false;
		state.target = text;
		*ret = state;
		return true;
	}
	state.type = take_word(&text, "directory") ? RUNTIME_DIRECTORY : RUNTIME_FILE;
	if (state.type == RUNTIME_FILE && !take_word(&text, "file"))
		return false;
	if (!take_attributes(&text, &state))
		return false;
	if (*text) {
		state.has_content = true;
		if (state.type != RUNTIME_FILE || !take_number(&text, 10, ACTION_RUNTIME_MAX, &state.size) ||
		    !sha256_from_hex(text, state.sha256))
			return false;
	}
	*ret = state;
	return true;
}

char *runtime_state_text(const struct runtime_state *state)
{
	char *text = NULL, hex[SHA256_HEX_SIZE];
	int n = -1;

	if (state->type == RUNTIME_ABSENT)
		return strdup("absent");
	if (state->type == RUNTIME_DIRECTORY)
		n = asprintf(&text, "directory %04o %u %u", state->mode, state->uid, state->gid);
	else if (state->type == RUNTIME_SYMLINK)
		n = asprintf(&text, "symlink %u %u %s", state->uid, state->gid, state->target);
	else if (state->type == RUNTIME_FILE && !state->has_content)
		n = asprintf(&text, "file %04o %u %u", state->mode, state->uid, state->gid);
	if (state->type == RUNTIME_FILE && state->has_content) {
		sha256_to_hex(state->sha256, hex);
		n = asprintf(&text, "file %04o %u %u %llu %s", state->mode, state->uid, state->gid,
			     (unsigned long long)state->size, hex);
	}
	return n < 0 ? NULL : text;
}

bool runtime_state_equal(const struct runtime_state *is, const struct runtime_state *meant)
{
	if (is->type != meant->type || is->type == RUNTIME_OTHER)
		return false;
	if (is->type == RUNTIME_ABSENT)
		return true;
	if (is->uid != meant->uid || is->gid != meant->gid)
		return false;
	if (is->type == RUNTIME_SYMLINK)
		return strcmp(is->target, meant->target) == 0;
	if (is->mode != meant->mode)
		return false;
	return !meant->has_content || (is->has_content && is->size == meant->size &&
				       memcmp(is->sha256, meant->sha256, sizeof(is->sha256)) == 0);
}

/* --- actions --- */

/* Below /run, without a component that leads out of it. */
static bool is_below_run(const char *path)
{
	if (!path || strncmp(path, "/run/", 5) != 0)
		return false;
	for (const char *name = path; *name; name += strcspn(name, "/")) {
		size_t n = strcspn(++name, "/");

		if (n == 0 || n > NAME_BYTES_MAX || (n == 1 && name[0] == '.') ||
		    (n == 2 && name[0] == '.' && name[1] == '.'))
			return false;
	}
	return true;
}

/* What can be removed and replaced: of a file it is known what it held. */
static bool is_known(const struct runtime_state *state)
{
	return state->type != RUNTIME_FILE || state->has_content;
}

static bool fits_append(const struct runtime_state *before, const struct runtime_state *after, size_t size)
{
	return before->type == RUNTIME_FILE && before->has_content && after->type == RUNTIME_FILE &&
	       after->has_content && size > 0 && after->size == before->size + size && after->mode == before->mode &&
	       after->uid == before->uid && after->gid == before->gid;
}

static bool fits(const char *verb, const struct runtime_state *before, const struct runtime_state *after, size_t size)
{
	bool replaces = before->type != RUNTIME_DIRECTORY && is_known(before);

	if (strcmp(verb, "append") == 0)
		return fits_append(before, after, size);
	if (strcmp(verb, "write") == 0)
		return replaces && after->type == RUNTIME_FILE && after->has_content && after->size == size;
	if (size > 0)
		return false;
	if (strcmp(verb, "symlink") == 0)
		return replaces && after->type == RUNTIME_SYMLINK;
	if (strcmp(verb, "mkdir") == 0)
		return before->type == RUNTIME_ABSENT && after->type == RUNTIME_DIRECTORY;
	if (strcmp(verb, "remove") == 0)
		return before->type != RUNTIME_ABSENT && is_known(before) && after->type == RUNTIME_ABSENT;
	return strcmp(verb, "attributes") == 0 && before->type == after->type &&
	       (before->type == RUNTIME_FILE || before->type == RUNTIME_DIRECTORY) && !before->has_content &&
	       !after->has_content;
}

const char *runtime_problem(const struct action *action)
{
	struct runtime_state before, after;

	if (!is_below_run(action->path))
		return "file of a path not below /run";
	if (action->phase != ACTION_AFTER)
		return "file below /run that comes before the files";
	if (action->size > ACTION_RUNTIME_MAX || (action->size && !action->data))
		return "file below /run of too many bytes";
	if (!action->verb || !action->argv || !action->argv[0] || !action->argv[1] || action->argv[2] ||
	    !runtime_state_parse(action->argv[0], &before) || !runtime_state_parse(action->argv[1], &after))
		return "file below /run without what it was and what it is to be";
	return fits(action->verb, &before, &after, action->size) ? NULL : "file below /run with an unknown verb";
}
