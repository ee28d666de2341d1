/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which names are one file, and whether that file is the one of before or a new one.
 *
 * Names with the same inode in upper are one file. With index=on overlayfs copies up a lower
 * file of several names under the one name that was touched, marks it ("nlink") and lets the
 * others follow: those are found here ("linked below"). Names below a renamed directory may
 * still share a lower inode.
 *
 * A file is changed in place (or not at all) if it is still the lower inode: overlayfs copied it
 * up (it has "origin") and its content is the same. Attributes set in place show under every
 * name, so a lower name that shall not change forbids it. Everything else becomes a new inode
 * under its first name, and the other names become links to that.
 */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "changes/scan.h"

#define ORIGIN_MAX 256 /* header and MAX_HANDLE_SZ, rounded up */

/* Names of one file: indices into scan->entries. */
struct group {
	size_t *members;
	size_t n;
	bool below;      /* the inode is lower's (names below a renamed directory) */
	uint64_t inode;  /* in upper, or in lower */
	uint64_t origin; /* lower inode that is this file under names not copied up; 0: none */
	bool copied_up;  /* overlayfs made it out of a lower file */
};

static struct error *group_add(struct group *group, size_t index)
{
	if ((group->n & (group->n - 1)) == 0) {
		void *larger = reallocarray(group->members, group->n ? 2 * group->n : 1, sizeof(index));

		if (!larger)
			return error_no_memory();
		group->members = larger;
	}
	group->members[group->n++] = index;
	return NULL;
}

static struct scan_entry *member(struct scan *scan, const struct group *group, size_t i)
{
	return &scan->entries[group->members[i]];
}

static bool has_member(struct scan *scan, const struct group *group, const char *path)
{
	for (size_t i = 0; i < group->n; i++)
		if (strcmp(member(scan, group, i)->path, path) == 0)
			return true;
	return false;
}

/* Whether the lower name shows at its own place what it always has. */
static struct error *shows_lower(struct scan *scan, const char *path, bool *ret)
{
	struct view_node node = {};
	struct error *error;
	bool exists;

	/* What is not carried stays as it is in the guest. */
	*ret = scan_excluded(scan, path);
	if (*ret)
		return NULL;
	error = view_lookup(scan->layer, path, &exists, &node);
	if (error)
		return error;
	*ret = exists && !node.upper && strcmp(node.lower, path) == 0;
	view_node_deinit(&node);
	return NULL;
}

/* A name that overlayfs did not copy up becomes an entry of the group. */
static struct error *add_linked_below(struct scan *scan, struct group *group, const char *path)
{
	const struct view_node *node = &member(scan, group, 0)->node;
	struct scan_entry entry = {.kind = SCAN_FILE, .linked_below = true, .had = true};
	struct error *error;

	entry.path = strdup(path);
	entry.node.upper = strdup(node->upper);
	entry.node.st = node->st;
	if (!entry.path || !entry.node.upper) {
		free(entry.path);
		free(entry.node.upper);
		return error_no_memory();
	}
	bool exists;

	error = inode_stat((struct inode_place){scan->layer->lower_fd, path}, &exists, &entry.before);
	if (!error)
		error = scan_append(scan, entry);
	return error ? error : group_add(group, scan->n - 1);
}

/* Reads what overlayfs says about the upper inode, and finds its other names. */
static struct error *complete_group(struct scan *scan, struct group *group)
{
	const char *upper = member(scan, group, 0)->node.upper;
	const struct lower_name *names;
	uint8_t origin[ORIGIN_MAX];
	struct error *error;
	ssize_t size, nlink;
	size_t n;

	error = view_overlay_xattr(scan->layer, upper, "origin", origin, sizeof(origin), &size);
	if (!error)
		error = view_overlay_xattr(scan->layer, upper, "nlink", NULL, 0, &nlink);
	if (error)
		return error;
	group->copied_up = size >= 0;
	if (size < 0 || nlink < 0)
		return NULL;
	error = scan_find_origin(scan, origin, (size_t)size, &group->origin);
	if (error || group->origin == 0)
		return error;
	error = scan_lower_names(scan, group->origin, &names, &n);
	for (size_t i = 0; !error && i < n; i++) {
		bool shows;

		error = shows_lower(scan, names[i].path, &shows);
		if (!error && shows && !scan_excluded(scan, names[i].path))
			error = add_linked_below(scan, group, names[i].path);
	}
	return error;
}

static struct error *same_content(struct scan *scan, const struct group *group, const struct scan_entry *entry,
				  bool *ret)
{
	struct inode_place now = view_place(scan->layer, &entry->node);
	struct inode_place then = {scan->layer->lower_fd, entry->path};
	const struct stat *a = &entry->node.st, *b = &entry->before;
	uint8_t x[SHA256_SIZE], y[SHA256_SIZE];
	_cleanup_(free_ptr) char *p = NULL;
	_cleanup_(free_ptr) char *q = NULL;
	struct error *error;

	*ret = false;
	if ((a->st_mode & S_IFMT) != (b->st_mode & S_IFMT))
		return NULL;
	if (!S_ISREG(a->st_mode) && !S_ISLNK(a->st_mode)) {
		*ret = a->st_rdev == b->st_rdev;
		return NULL;
	}
	if (a->st_size != b->st_size || (S_ISREG(a->st_mode) && !group->copied_up))
		return NULL;
	if (S_ISLNK(a->st_mode)) {
		error = inode_target(now, a, &p);
		if (!error)
			error = inode_target(then, b, &q);
		if (!error)
			*ret = strcmp(p, q) == 0;
		return error;
	}
	error = inode_sha256(now, (uint64_t)a->st_size, x);
	if (!error)
		error = inode_sha256(then, (uint64_t)b->st_size, y);
	if (!error)
		*ret = memcmp(x, y, sizeof(x)) == 0;
	return error;
}

/* Every name of the lower inode is in the group, or gone, or something else by now. */
static struct error *nothing_else_shows(struct scan *scan, const struct group *group, const struct stat *before,
					bool *ret)
{
	const struct lower_name *names;
	struct error *error;
	size_t n;

	*ret = true;
	if (before->st_nlink < 2)
		return NULL;
	error = scan_lower_names(scan, before->st_ino, &names, &n);
	for (size_t i = 0; !error && *ret && i < n; i++) {
		bool shows = false;

		if (has_member(scan, group, names[i].path))
			continue;
		error = shows_lower(scan, names[i].path, &shows);
		*ret = !shows;
	}
	return error;
}

static struct error *can_stay(struct scan *scan, const struct group *group, const struct scan_entry *entry, bool *ret)
{
	struct error *error;

	*ret = false;
	if (!entry->had)
		return NULL;
	error = same_content(scan, group, entry, ret);
	if (error || !*ret)
		return error;
	return nothing_else_shows(scan, group, &entry->before, ret);
}

static struct error *set_link(struct scan_entry *entry, const char *leader)
{
	entry->verdict = VERDICT_LINK;
	entry->link_to = strdup(leader);
	return entry->link_to ? NULL : error_no_memory();
}

/* The lower inodes that some file goes on being: no second file can. */
struct claims {
	uint64_t *inodes;
	size_t n;
};

static bool claimed(const struct claims *claims, uint64_t inode)
{
	for (size_t i = 0; i < claims->n; i++)
		if (claims->inodes[i] == inode)
			return true;
	return false;
}

/* Only inodes of several names can be claimed twice. */
static struct error *claim(struct claims *claims, const struct stat *before)
{
	void *larger;

	if (before->st_nlink < 2)
		return NULL;
	larger = reallocarray(claims->inodes, claims->n + 1, sizeof(*claims->inodes));
	if (!larger)
		return error_no_memory();
	claims->inodes = larger;
	claims->inodes[claims->n++] = before->st_ino;
	return NULL;
}

static struct error *decide_upper(struct scan *scan, struct group *group, struct claims *claims)
{
	size_t leader = 0;
	bool stays = false;
	struct error *error;

	for (size_t i = 0; i < group->n && !stays; i++) {
		const struct scan_entry *entry = member(scan, group, i);

		if (entry->had && claimed(claims, entry->before.st_ino))
			continue;
		error = can_stay(scan, group, entry, &stays);
		if (error)
			return error;
		leader = i;
	}
	if (!stays)
		leader = 0;
	struct scan_entry *first = member(scan, group, leader);

	first->verdict = stays ? VERDICT_IN_PLACE : VERDICT_NEW;
	error = stays ? claim(claims, &first->before) : NULL;
	for (size_t i = 0; !error && i < group->n; i++) {
		struct scan_entry *entry = member(scan, group, i);

		if (i == leader)
			continue;
		error = set_link(entry, first->path);
		if (stays && entry->had && entry->before.st_ino == first->before.st_ino) {
			entry->verdict = VERDICT_STAYS;
			entry->leader = group->members[leader];
		}
	}
	return error;
}

/* Names of a lower inode in other places: links to a name that is as it was, if there is one. */
static struct error *decide_lower(struct scan *scan, struct group *group)
{
	_cleanup_(free_ptr) char *leader = NULL;
	const struct lower_name *names = NULL;
	struct error *error = NULL;
	size_t n = 0;

	if (member(scan, group, 0)->node.st.st_nlink > 1)
		error = scan_lower_names(scan, group->inode, &names, &n);
	for (size_t i = 0; !error && !leader && i < n; i++) {
		bool shows;

		error = shows_lower(scan, names[i].path, &shows);
		if (!error && shows)
			leader = strdup(names[i].path);
	}
	for (size_t i = 0; !error && i < group->n; i++) {
		struct scan_entry *entry = member(scan, group, i);

		entry->verdict = VERDICT_NEW;
		if (leader)
			error = set_link(entry, leader);
		else
			leader = strdup(entry->path);
		if (!leader)
			return error_no_memory();
	}
	return error;
}

struct key {
	bool below;
	uint64_t inode;
	size_t index;
};

static int compare_keys(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	if (x->below != y->below)
		return x->below ? 1 : -1;
	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

static struct error *collect_keys(const struct scan *scan, struct key **ret, size_t *ret_n)
{
	struct key *keys = calloc(scan->n + 1, sizeof(*keys));
	size_t n = 0;

	if (!keys)
		return error_no_memory();
	for (size_t i = 0; i < scan->n; i++) {
		const struct scan_entry *entry = &scan->entries[i];

		if (entry->kind == SCAN_FILE)
			keys[n++] = (struct key){!entry->node.upper, entry->node.st.st_ino, i};
	}
	qsort(keys, n, sizeof(*keys), compare_keys);
	*ret = keys;
	*ret_n = n;
	return NULL;
}

/* Names below a renamed directory whose lower inode was copied up under another name belong to that file. */
static struct error *adopt(struct scan *scan, struct group *group, const struct key *keys, bool *used, size_t n)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && group->origin && i < n; i++) {
		if (!keys[i].below || keys[i].inode != group->origin)
			continue;
		used[i] = true;
		struct scan_entry *entry = &scan->entries[keys[i].index];
		char *upper = strdup(member(scan, group, 0)->node.upper);

		if (!upper)
			return error_no_memory();
		entry->node.upper = upper;
		entry->node.st = member(scan, group, 0)->node.st;
		error = group_add(group, keys[i].index);
	}
	return error;
}

/* One run of equal keys from keys[i]; returns where the next begins. */
static struct error *resolve_run(struct scan *scan, const struct key *keys, bool *used, size_t n, size_t *i,
				 struct claims *claims)
{
	struct group group = {.below = keys[*i].below, .inode = keys[*i].inode};
	struct error *error = NULL;

	for (; !error && *i < n && keys[*i].below == group.below && keys[*i].inode == group.inode; ++*i)
		if (!used[*i])
			error = group_add(&group, keys[*i].index);
	if (!error && group.n && group.below)
		error = decide_lower(scan, &group);
	if (!error && group.n && !group.below) {
		error = complete_group(scan, &group);
		if (!error)
			error = adopt(scan, &group, keys, used, n);
		if (!error)
			error = decide_upper(scan, &group, claims);
	}
	free(group.members);
	return error;
}

struct error *scan_links(struct scan *scan)
{
	_cleanup_(free_ptr) struct key *keys = NULL;
	_cleanup_(free_ptr) bool *used = NULL;
	struct claims claims = {};
	struct error *error;
	size_t n = 0;

	error = collect_keys(scan, &keys, &n);
	if (error)
		return error;
	used = calloc(n + 1, sizeof(*used));
	if (!used)
		return error_no_memory();
	/* Upper inodes sort first, so that what they adopt is known when lower's turn comes. */
	for (size_t i = 0; !error && i < n;)
		error = resolve_run(scan, keys, used, n, &i, &claims);
	free(claims.inodes);
	return error;
}
