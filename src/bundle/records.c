/* SPDX-License-Identifier: Apache-2.0 */
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "bundle/format.h"
#include "bundle/layer.h"

/*
 * Order of a walk that visits a directory before what it holds: the end of a name sorts first,
 * then '/', then every other byte.
 */
static int compare_paths(const char *a, const char *b)
{
	for (;; a++, b++) {
		int x = *a == '\0' ? 0 : *a == '/' ? 1 : 1 + (unsigned char)*a;
		int y = *b == '\0' ? 0 : *b == '/' ? 1 : 1 + (unsigned char)*b;

		if (x != y || x == 0)
			return x - y;
	}
}

static int compare_records(const void *a, const void *b)
{
	const struct layer_record *x = a, *y = b;
	int order = (x->change->kind == CHANGE_LINK) - (y->change->kind == CHANGE_LINK);

	return order ? order : compare_paths(x->name, y->name);
}

static bool has_reserved_name(const char *path)
{
	for (const char *name = path; name; name = strchr(name, '/')) {
		name += *name == '/';
		if (strncmp(name, BUNDLE_WHITEOUT_PREFIX, strlen(BUNDLE_WHITEOUT_PREFIX)) == 0)
			return true;
	}
	return false;
}

/* "DIR/.wh.NAME" */
static char *whiteout_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return string_format("%s%s", BUNDLE_WHITEOUT_PREFIX, path);
	return string_format("%.*s/%s%s", (int)(slash - path), path, BUNDLE_WHITEOUT_PREFIX, slash + 1);
}

/* A set of paths: sorted pointers into the change list. */
struct path_set {
	const char **items;
	size_t n;
};

static int compare_items(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool path_set_has(const struct path_set *set, const char *path)
{
	return set->n && bsearch(&path, set->items, set->n, sizeof(*set->items), compare_items);
}

static struct error *path_set_init(struct path_set *set, const struct change_list *list,
				   bool (*wanted)(const struct change *))
{
	set->n = 0;
	set->items = calloc(list->n + 1, sizeof(*set->items));
	if (!set->items)
		return error_no_memory();
	for (size_t i = 0; i < list->n; i++)
		if (wanted(&list->items[i]))
			set->items[set->n++] = list->items[i].path;
	qsort(set->items, set->n, sizeof(*set->items), compare_items);
	return NULL;
}

static bool is_delete(const struct change *change)
{
	return change->kind == CHANGE_DELETE;
}

static bool creates(const struct change *change)
{
	return change->kind != CHANGE_DELETE && change->kind != CHANGE_ATTRIBUTES;
}

static bool parent_in(const struct path_set *set, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *parent;
	bool has;

	if (!slash)
		return false;
	parent = strndup(path, (size_t)(slash - path));
	/* Without memory one whiteout too many is made; the allocation after this one fails and says so. */
	has = parent && path_set_has(set, parent);
	free(parent);
	return has;
}

/*
 * Not every change has a record: one whiteout stands for a deleted tree, none is needed where
 * something else takes the place, and a new directory's late attributes are in its record already.
 */
static bool has_record(const struct change *change, const struct path_set *deleted, const struct path_set *created)
{
	if (change->kind == CHANGE_DELETE)
		return !path_set_has(created, change->path) && !parent_in(deleted, change->path);
	if (change->kind == CHANGE_ATTRIBUTES)
		return !path_set_has(created, change->path);
	return true;
}

static struct error *add_record(struct layer_records *records, const struct change *change)
{
	struct layer_record record = {.change = change, .whiteout = change->kind == CHANGE_DELETE};

	if (has_reserved_name(change->path))
		return error_create(ERROR_UNSUPPORTED, "/%s: names that begin with \"%s\" cannot be in an image layer",
				    change->path, BUNDLE_WHITEOUT_PREFIX);
	/* A tar keyword ends at the first '='. */
	for (size_t i = 0; i < change->attributes.n_xattrs; i++)
		if (strchr(change->attributes.xattrs[i].name, '='))
			return error_create(ERROR_UNSUPPORTED, "/%s: an extended attribute's name holds \"=\"",
					    change->path);
	if (record.whiteout)
		record.name = whiteout_name(change->path);
	else
		record.name = strdup(*change->path ? change->path : ".");
	if (!record.name)
		return error_no_memory();
	records->items[records->n++] = record;
	return NULL;
}

static struct error *add_records(struct layer_records *records, const struct change_list *list,
				 const struct path_set *deleted, const struct path_set *created)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < list->n; i++)
		if (has_record(&list->items[i], deleted, created))
			error = add_record(records, &list->items[i]);
	if (error)
		return error;
	qsort(records->items, records->n, sizeof(*records->items), compare_records);
	for (size_t i = 1; i < records->n; i++)
		if (strcmp(records->items[i - 1].name, records->items[i].name) == 0)
			return error_create(ERROR_FORMAT, "/%s changes twice", records->items[i].change->path);
	return NULL;
}

struct error *layer_records_create(const struct change_list *list, struct layer_records *ret)
{
	struct path_set deleted = {}, created = {};
	struct layer_records records = {};
	struct error *error;

	records.items = calloc(list->n + 1, sizeof(*records.items));
	error = records.items ? path_set_init(&deleted, list, is_delete) : error_no_memory();
	if (!error)
		error = path_set_init(&created, list, creates);
	if (!error)
		error = add_records(&records, list, &deleted, &created);
	free(deleted.items);
	free(created.items);
	if (error)
		layer_records_deinit(&records);
	else
		*ret = records;
	return error;
}

void layer_records_deinit(struct layer_records *records)
{
	for (size_t i = 0; i < records->n; i++)
		free(records->items[i].name);
	free(records->items);
	*records = (struct layer_records){};
}

bool layer_record_content(const struct layer_record *record, uint64_t *ret_size, const uint8_t **ret_sha256)
{
	const struct change *change = record->change;

	if (change->kind == CHANGE_WRITE) {
		*ret_size = change->size;
		*ret_sha256 = change->sha256;
		return true;
	}
	if (change->kind == CHANGE_ATTRIBUTES && S_ISREG(change->attributes.mode)) {
		*ret_size = change->before.size;
		*ret_sha256 = change->before.sha256;
		return true;
	}
	return false;
}

static void set_attributes(struct archive_entry *entry, const struct change_attributes *attributes)
{
	archive_entry_set_mode(entry, attributes->mode);
	archive_entry_set_uid(entry, attributes->uid);
	archive_entry_set_gid(entry, attributes->gid);
	archive_entry_set_mtime(entry, attributes->mtime_s, (long)attributes->mtime_ns);
	for (size_t i = 0; i < attributes->n_xattrs; i++)
		archive_entry_xattr_add_entry(entry, attributes->xattrs[i].name, attributes->xattrs[i].value,
					      attributes->xattrs[i].size);
}

struct archive_entry *layer_record_entry(const struct layer_record *record)
{
	const struct change *change = record->change;
	struct archive_entry *entry = archive_entry_new();
	const uint8_t *sha256;
	uint64_t size = 0;

	if (!entry)
		return NULL;
	archive_entry_set_pathname(entry, record->name);
	if (record->whiteout) {
		archive_entry_set_mode(entry, S_IFREG | 0600);
		archive_entry_set_size(entry, 0);
		return entry;
	}
	set_attributes(entry, &change->attributes);
	if (change->kind == CHANGE_LINK)
		archive_entry_set_hardlink(entry, change->target);
	else if (S_ISLNK(change->attributes.mode))
		archive_entry_set_symlink(entry,
					  change->kind == CHANGE_SYMLINK ? change->target : change->before.target);
	else if (S_ISCHR(change->attributes.mode) || S_ISBLK(change->attributes.mode))
		archive_entry_set_rdev(entry, change->kind == CHANGE_DEVICE ? change->rdev : change->before.rdev);
	layer_record_content(record, &size, &sha256);
	archive_entry_set_size(entry, (int64_t)size);
	return entry;
}

struct error *layer_locale_enter(struct layer_locale *ret)
{
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);

	if (!utf8)
		return error_remedy(error_system(errno, NULL, "the locale C.UTF-8 is not there"), "install libc-bin");
	ret->utf8 = utf8;
	ret->before = uselocale(utf8);
	return NULL;
}

void layer_locale_leave(struct layer_locale *locale)
{
	uselocale(locale->before);
	freelocale(locale->utf8);
}
