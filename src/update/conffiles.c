/* SPDX-License-Identifier: Apache-2.0 */
/* The answers: their file, and dpkg's question. */
#include "update/conffiles.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

#define FILE_MAX    (1024 * 1024)
#define ANSWERS_MAX 10000

static bool is_clean_path(const char *path)
{
	return *path == '/' && strlen(path) < PATH_MAX && !strstr(path, "//") && !strstr(path, "/../") &&
	       !strstr(path, "/./");
}

static struct error *add_answer(struct conffiles *conffiles, const char *path, bool take_new)
{
	struct conffiles_answer *answers = reallocarray(conffiles->answers, conffiles->n_answers + 1, sizeof(*answers));

	if (!answers)
		return error_no_memory();
	conffiles->answers = answers;
	answers[conffiles->n_answers].path = strdup(path);
	if (!answers[conffiles->n_answers].path)
		return error_no_memory();
	answers[conffiles->n_answers++].take_new = take_new;
	return NULL;
}

/* "keep PATH" or "new PATH": a path may have spaces, but none at its end. */
static struct error *parse_line(char *line, const char *name, size_t number, struct conffiles *ret)
{
	size_t word = strcspn(line, " \t"), n = strlen(line);
	bool take_new = word == 3 && !strncmp(line, "new", 3);
	char *path = line + word + strspn(line + word, " \t");

	while (n && strchr(" \t\r", line[n - 1]))
		line[--n] = '\0';
	if (n == 0 || *line == '#')
		return NULL;
	if (!take_new && (word != 4 || strncmp(line, "keep", 4) != 0))
		return error_create(ERROR_USAGE, "%s: line %zu: \"keep PATH\" or \"new PATH\" expected", name, number);
	if (!is_clean_path(path))
		return error_create(ERROR_USAGE, "%s: line %zu: \"%.200s\" is not an absolute path", name, number,
				    path);
	if (conffiles_find(ret, path))
		return error_create(ERROR_USAGE, "%s: line %zu: a second answer about %s", name, number, path);
	if (ret->n_answers == ANSWERS_MAX)
		return error_create(ERROR_USAGE, "%s: more than %d answers", name, ANSWERS_MAX);
	return add_answer(ret, path, take_new);
}

struct error *conffiles_parse(const char *text, const char *name, struct conffiles *ret)
{
	_cleanup_(free_ptr) char *copy = strdup(text);
	struct conffiles conffiles = {.mode = CONFFILES_FILE};
	struct error *error = copy ? NULL : error_no_memory();
	size_t number = 0;

	for (char *line = copy, *next; !error && line && *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		error = parse_line(line, name, ++number, &conffiles);
	}
	if (error) {
		conffiles_deinit(&conffiles);
		return error;
	}
	*ret = conffiles;
	return NULL;
}

static struct error *load_file(const char *path, struct conffiles *ret)
{
	_cleanup_(free_ptr) char *text = NULL;
	size_t size;
	struct error *error = io_read_file(path, FILE_MAX, &text, &size);

	if (error)
		return error_remedy(error_recode(error, ERROR_USAGE),
				    "--conffiles takes keep, new, ask, or a file with answers");
	if (strlen(text) != size)
		return error_create(ERROR_USAGE, "%s: not a text", path);
	error = conffiles_parse(text, path, ret);
	if (error)
		return error;
	ret->file = strdup(path);
	return ret->file ? NULL : error_no_memory();
}

struct error *conffiles_load(const char *value, struct conffiles *ret)
{
	static const char *const words[] = {
		[CONFFILES_KEEP] = "keep", [CONFFILES_NEW] = "new", [CONFFILES_ASK] = "ask"};

	for (size_t i = 0; value && i < ARRAY_SIZE(words); i++)
		if (!strcmp(value, words[i])) {
			*ret = (struct conffiles){.mode = (enum conffiles_mode)i};
			return NULL;
		}
	if (value)
		return load_file(value, ret);
	*ret = (struct conffiles){.mode = CONFFILES_KEEP};
	return NULL;
}

void conffiles_deinit(struct conffiles *conffiles)
{
	for (size_t i = 0; i < conffiles->n_answers; i++)
		free(conffiles->answers[i].path);
	free(conffiles->answers);
	free(conffiles->file);
	*conffiles = (struct conffiles){0};
}

const struct conffiles_answer *conffiles_find(const struct conffiles *conffiles, const char *path)
{
	for (size_t i = 0; i < conffiles->n_answers; i++)
		if (!strcmp(conffiles->answers[i].path, path))
			return &conffiles->answers[i];
	return NULL;
}

/* The last place of `what` in the text; NULL: nowhere. */
static const char *find_last(const char *text, const char *what)
{
	const char *found = NULL;

	for (const char *p = strstr(text, what); p; p = strstr(p + 1, what))
		found = p;
	return found;
}

/* "Configuration file '/etc/x'"; dpkg before 1.17 wrote `/etc/x'. The question ends with "[default=N] ? ". */
const char *conffiles_reply(const struct conffiles *conffiles, const char *output)
{
	static const char title[] = "\nConfiguration file ", question[] = " (Y/I/N/O/D/Z) ";
	const char *begin = find_last(output, title), *asked = find_last(output, question), *end;
	_cleanup_(free_ptr) char *path = NULL;
	const struct conffiles_answer *answer;

	if (!begin || !asked || asked < begin || strchr(asked, '\n'))
		return NULL;
	begin += strlen(title) + 1;
	end = begin + strcspn(begin, "\n");
	if (end == begin || end[-1] != '\'')
		return NULL;
	path = strndup(begin, (size_t)(end - begin) - 1);
	answer = path ? conffiles_find(conffiles, path) : NULL;
	/* What is not decided stays as it is, and is told at the end. */
	return answer ? answer->take_new ? "y\n" : "n\n" : conffiles->mode == CONFFILES_NEW ? "y\n" : "n\n";
}
