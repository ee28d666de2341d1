/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "cli/escape.h"
#include "cli/json_out.h"
#include "cli/mount_tree.h"
#include "cli/print.h"
#include "cli/table.h"

/* Deeper mounts are indented no further: a chain of them must not make lines of any length. */
#define INDENT_MAX 24

struct view {
	const struct guest_mount_list *list;
	const struct mount_row *rows; /* NULL: the list as it is */
};

/* "│ └─" for a row; malloc'd. */
static char *indentation(const struct mount_row *rows, size_t row)
{
	const char *parts[INDENT_MAX];
	char text[INDENT_MAX * sizeof("│ ") + 1] = "";
	size_t n = 0;

	if (rows[row].parent == MOUNT_TREE_ROOT)
		return strdup("");
	parts[n++] = rows[row].last ? "└─" : "├─";
	for (row = rows[row].parent; rows[row].parent != MOUNT_TREE_ROOT && n < INDENT_MAX; row = rows[row].parent)
		parts[n++] = rows[row].last ? "  " : "│ ";
	for (char *out = text; n > 0; out += strlen(out))
		strcpy(out, parts[--n]);
	return strdup(text);
}

static char *target_cell(const struct view *view, size_t row, const struct guest_mount *mount)
{
	_cleanup_(free_ptr) char *indent = view->rows ? indentation(view->rows, row) : strdup("");
	_cleanup_(free_ptr) char *target = escape_text(mount->target, strlen(mount->target), ESCAPE_TEXT);

	return indent && target ? string_format("%s%s", indent, target) : NULL;
}

/* Behind the source which directory of it, if not the whole: a bind mount. */
static char *source_cell(const struct guest_mount *mount)
{
	bool whole = !strcmp(mount->root, "/");
	_cleanup_(free_ptr) char *text =
		string_format("%s%s%s%s", mount->source, whole ? "" : "[", whole ? "" : mount->root, whole ? "" : "]");

	return text ? escape_text(text, strlen(text), ESCAPE_TEXT) : NULL;
}

static char *cell(const void *data, size_t row, size_t column)
{
	const struct view *view = data;
	const struct guest_mount *mount = &view->list->items[view->rows ? view->rows[row].mount : row];

	switch (column) {
	case 0:
		return target_cell(view, row, mount);
	case 1:
		return source_cell(mount);
	case 2:
		return escape_text(mount->fstype, strlen(mount->fstype), ESCAPE_TEXT);
	default:
		return escape_text(mount->options, strlen(mount->options), ESCAPE_TEXT);
	}
}

struct error *print_mounts(FILE *stream, const struct guest_mount_list *list, bool tree)
{
	static const char *const titles[] = {"TARGET", "SOURCE", "FSTYPE", "OPTIONS"};
	_cleanup_(free_ptr) struct mount_row *rows = NULL;
	struct error *error = tree ? mount_tree(list, &rows) : NULL;
	struct view view = {list, rows};
	struct table table = {
		.titles = titles,
		.n_columns = ARRAY_SIZE(titles),
		.n_rows = list->n,
		.gap = 1,
		.cell = cell,
		.data = &view,
	};

	return error ? error : table_print(stream, &table);
}

void print_mounts_json(FILE *stream, const struct guest_mount_list *list)
{
	struct json_out out = json_out_begin(stream);

	json_out_list_begin(&out, "mounts");
	for (size_t i = 0; i < list->n && !ferror(stream); i++) {
		const struct guest_mount *mount = &list->items[i];

		json_out_entry_begin(&out);
		json_out_text(&out, "source", mount->source);
		json_out_text(&out, "target", mount->target);
		json_out_text(&out, "fstype", mount->fstype);
		json_out_text(&out, "options", mount->options);
		json_out_object_end(&out);
	}
	json_out_list_end(&out);
	json_out_end(&out, list->incomplete ? list->incomplete->message : NULL);
}
