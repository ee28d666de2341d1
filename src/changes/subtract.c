/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second of two chained updates, out of what the layers held after the first and after both: both lists say what
 * differs from the guest's own tree, the second has to say what differs from the tree that the first one leaves.
 *
 * For each path it is compared what is there after the first and after both. What is the same by then is left out, what
 * differs stays where it stands in the list, whose order is right for it, and gets what the first left as its
 * pre-image. Inode and change time of that are not known: whoever compares it has to look at all of it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "changes/inode.h"

#define NONE SIZE_MAX

/* What a list says of one path: its entries are one run of `order`. */
struct path_state {
	const char *path;                /* borrowed; NULL: the list does not touch it */
	size_t run, n;                   /* where its entries are in `order` */
	const struct change *first;      /* which has the pre-image */
	const struct change *maker;      /* what made that which is there afterwards; NULL: it was there before */
	const struct change *attributes; /* which has the attributes it has afterwards; NULL: it is gone */
	bool exists;
};

/* A list by paths. */
struct by_path {
	const struct change_list *list;
	size_t *order;             /* indices of the list by path, those of one path in the list's own order */
	struct path_state *states; /* sorted by path */
	size_t n;
};

enum verdict {
	VERDICT_LEAVE = 1, /* as the list has it */
	VERDICT_DROP,
	VERDICT_BEFORE, /* with what the first left as pre-image */
	VERDICT_ABSENT, /* with nothing as pre-image */
};

struct subtraction {
	struct by_path first, total;
	enum verdict *verdicts;      /* of each entry of the total */
	struct change_list unmade;   /* deletions of what the first alone has, deepest first */
	struct change_list restored; /* attributes that the first alone has, back */
	bool possible;
};

static void by_path_deinit(struct by_path *by)
{
	free(by->order);
	free(by->states);
}

static void subtraction_deinit(struct subtraction *s)
{
	by_path_deinit(&s->first);
	by_path_deinit(&s->total);
	free(s->verdicts);
	change_list_deinit(&s->unmade);
	change_list_deinit(&s->restored);
}

static int compare_indices(const void *a, const void *b, void *data)
{
	const struct change_list *list = data;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	int order = strcmp(list->items[x].path, list->items[y].path);

	return order ? order : (x > y) - (x < y);
}

static void follow(struct path_state *state, const struct change *change)
{
	if (change->kind == CHANGE_DELETE) {
		state->exists = false;
		state->maker = state->attributes = NULL;
		return;
	}
	state->exists = true;
	state->attributes = change;
	if (change->kind != CHANGE_ATTRIBUTES)
		state->maker = change;
}

static struct error *by_path_init(const struct change_list *list, struct by_path *ret)
{
	ret->list = list;
	ret->order = calloc(list->n + 1, sizeof(*ret->order));
	ret->states = calloc(list->n + 1, sizeof(*ret->states));
	if (!ret->order || !ret->states)
		return error_no_memory();
	for (size_t i = 0; i < list->n; i++)
		ret->order[i] = i;
	qsort_r(ret->order, list->n, sizeof(*ret->order), compare_indices, (void *)list);
	for (size_t i = 0; i < list->n; i++) {
		const struct change *change = &list->items[ret->order[i]];
		struct path_state *state = ret->n ? &ret->states[ret->n - 1] : NULL;

		if (!state || strcmp(state->path, change->path) != 0) {
			state = &ret->states[ret->n++];
			*state = (struct path_state){.path = change->path, .run = i, .first = change};
		}
		state->n++;
		follow(state, change);
	}
	return NULL;
}

static int compare_state(const void *key, const void *item)
{
	return strcmp(key, ((const struct path_state *)item)->path);
}

/* NULL: the list does not touch it. */
static const struct path_state *find(const struct by_path *by, const char *path)
{
	return by->n ? bsearch(path, by->states, by->n, sizeof(*by->states), compare_state) : NULL;
}

/* --- what the first leaves, as a pre-image --- */

static struct error *copy_attributes(const struct change_attributes *from, struct change_attributes *ret)
{
	struct change_attributes copy = *from;

	copy.n_xattrs = 0;
	copy.xattrs = calloc(from->n_xattrs + 1, sizeof(*copy.xattrs));
	if (!copy.xattrs)
		return error_no_memory();
	for (size_t i = 0; i < from->n_xattrs; i++) {
		struct change_xattr *xattr = &copy.xattrs[copy.n_xattrs++];

		*xattr = (struct change_xattr){.name = strdup(from->xattrs[i].name),
					       .value = malloc(from->xattrs[i].size + 1),
					       .size = from->xattrs[i].size};
		if (!xattr->name || !xattr->value) {
			change_attributes_deinit(&copy);
			return error_no_memory();
		}
		memcpy(xattr->value, from->xattrs[i].value, xattr->size);
	}
	*ret = copy;
	return NULL;
}

/* Where content, link text or device number of what the first leaves at the path stand; false: nowhere. */
static bool find_content(const struct subtraction *s, const struct path_state *state, const struct change **ret_maker,
			 const struct change_preimage **ret_before)
{
	/* A link names what has other names itself at most once: links come after the name they refer to. */
	for (unsigned links = 0; state && links < 2; links++) {
		const struct path_state *total;

		if (!state->maker) {
			*ret_maker = NULL;
			*ret_before = &state->first->before;
			return state->first->before.exists;
		}
		if (state->maker->kind != CHANGE_LINK) {
			*ret_maker = state->maker;
			return true;
		}
		total = find(&s->total, state->maker->target);
		state = find(&s->first, state->maker->target);
		if (!state && total && total->first->before.exists) {
			*ret_maker = NULL;
			*ret_before = &total->first->before;
			return true;
		}
	}
	return false;
}

/* *ret_known: false if the lists do not tell. */
static struct error *leaves(const struct subtraction *s, const struct path_state *state, bool *ret_known,
			    struct change_preimage *ret)
{
	const struct change_preimage *old = NULL;
	const struct change *maker = NULL;
	struct change_preimage before = {.exists = true, .nlink = 1};
	const char *target;
	struct error *error;

	*ret_known = find_content(s, state, &maker, &old);
	if (!*ret_known)
		return NULL;
	target = maker ? maker->target : old->target;
	before.size = maker ? maker->size : old->size;
	before.rdev = maker ? maker->rdev : old->rdev;
	memcpy(before.sha256, maker ? maker->sha256 : old->sha256, SHA256_SIZE);
	/* Who holds the file open is known by its number. */
	before.inode = state->first->before.exists ? state->first->before.inode : 0;
	if (maker && maker->kind == CHANGE_SYMLINK)
		before.size = strlen(target);
	error = copy_attributes(&state->attributes->attributes, &before.attributes);
	if (!error && target && !(before.target = strdup(target)))
		error = error_no_memory();
	if (error)
		change_preimage_deinit(&before);
	else
		*ret = before;
	return error;
}

/* --- one path --- */

static mode_t type_of(const struct path_state *state)
{
	return state->attributes->attributes.mode & S_IFMT;
}

static bool same_content(const struct change *a, const struct change *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case CHANGE_WRITE:
		return a->size == b->size && !memcmp(a->sha256, b->sha256, SHA256_SIZE);
	case CHANGE_SYMLINK:
	case CHANGE_LINK:
		return !strcmp(a->target, b->target);
	case CHANGE_DEVICE:
		return a->rdev == b->rdev;
	default:
		return true;
	}
}

/* Whether the first leaves the content that was there before, which the total keeps. */
static bool keeps_content(const struct path_state *first, const struct path_state *total)
{
	const struct change_preimage *before = &total->first->before;

	return first->maker->kind == CHANGE_WRITE && before->exists && S_ISREG(before->attributes.mode) &&
	       first->maker->size == before->size && !memcmp(first->maker->sha256, before->sha256, SHA256_SIZE);
}

static bool is_equal(const struct path_state *first, const struct path_state *total)
{
	if (!first->exists || !total->exists)
		return first->exists == total->exists;
	if (!attributes_equal(&first->attributes->attributes, &total->attributes->attributes))
		return false;
	if (first->maker && total->maker)
		return same_content(first->maker, total->maker);
	return !total->maker && (!first->maker || keeps_content(first, total));
}

static void judge_all(struct subtraction *s, const struct path_state *total, enum verdict verdict)
{
	for (size_t i = 0; i < total->n; i++)
		s->verdicts[s->total.order[total->run + i]] = verdict;
}

static void judge_one(struct subtraction *s, const struct change *change, enum verdict verdict)
{
	s->verdicts[change - s->total.list->items] = verdict;
}

/* It is there after both, differently. */
static void judge_changed(struct subtraction *s, const struct path_state *first, const struct path_state *total)
{
	bool was_directory = S_ISDIR(type_of(first)), is_directory = S_ISDIR(type_of(total));

	if (was_directory != is_directory ||
	    (!total->maker && first->maker && !is_directory && !keeps_content(first, total))) {
		/* What is in the way, or the old content, stands in neither list. */
		s->possible = false;
		return;
	}
	judge_all(s, total, VERDICT_DROP);
	if (is_directory && total->attributes->kind != CHANGE_ATTRIBUTES)
		s->possible = false;
	judge_one(s, is_directory || !total->maker ? total->attributes : total->maker, VERDICT_BEFORE);
}

/* It is there after both, and was not after the first. */
static void judge_new(struct subtraction *s, const struct path_state *total)
{
	if (!total->maker) {
		s->possible = false;
		return;
	}
	judge_all(s, total, VERDICT_DROP);
	if (total->attributes != total->maker)
		judge_one(s, total->attributes, VERDICT_LEAVE);
	judge_one(s, total->maker, VERDICT_ABSENT);
}

static void judge_path(struct subtraction *s, const struct path_state *total)
{
	const struct path_state *first = find(&s->first, total->path);

	if (!first) {
		judge_all(s, total, VERDICT_LEAVE);
	} else if (is_equal(first, total)) {
		judge_all(s, total, VERDICT_DROP);
	} else if (!first->exists) {
		judge_new(s, total);
	} else if (!total->exists) {
		/* Of several deletions the last comes when everything below it is gone. */
		judge_all(s, total, VERDICT_DROP);
		judge_one(s, &s->total.list->items[s->total.order[total->run + total->n - 1]], VERDICT_BEFORE);
	} else {
		judge_changed(s, first, total);
	}
}

/* Another name of what becomes another inode has to follow it. */
static void judge_links(struct subtraction *s)
{
	for (size_t i = 0; i < s->total.n; i++) {
		const struct path_state *state = &s->total.states[i], *target, *first;

		if (!state->maker || state->maker->kind != CHANGE_LINK ||
		    s->verdicts[state->maker - s->total.list->items] != VERDICT_DROP)
			continue;
		target = find(&s->total, state->maker->target);
		if (!target || !target->maker || s->verdicts[target->maker - s->total.list->items] == VERDICT_DROP)
			continue;
		first = find(&s->first, state->path);
		judge_one(s, state->maker, first->exists ? VERDICT_BEFORE : VERDICT_ABSENT);
	}
}

/* What comes and goes in a directory changes its times: they are set again at the end, although they stay the same. */
static struct error *judge_parent(struct subtraction *s, const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_(free_ptr) char *parent = strndup(path, slash ? (size_t)(slash - path) : 0);
	const struct path_state *total = parent ? find(&s->total, parent) : NULL;
	enum verdict *verdict;

	if (!parent)
		return error_no_memory();
	if (!total || !total->exists || total->attributes->kind != CHANGE_ATTRIBUTES)
		return NULL;
	verdict = &s->verdicts[total->attributes - s->total.list->items];
	if (*verdict == VERDICT_DROP)
		*verdict = VERDICT_BEFORE;
	return NULL;
}

static struct error *judge_parents(struct subtraction *s)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < s->total.list->n; i++)
		if (s->verdicts[i] != VERDICT_DROP && s->total.list->items[i].kind != CHANGE_ATTRIBUTES)
			error = judge_parent(s, s->total.list->items[i].path);
	for (size_t i = 0; !error && i < s->unmade.n; i++)
		error = judge_parent(s, s->unmade.items[i].path);
	return error;
}

/* --- what the first alone touches --- */

/* A deletion before what takes the place of something above it: the list has no such place. */
static bool is_below_other(const struct subtraction *s, const char *path)
{
	_cleanup_(free_ptr) char *above = strdup(path);
	char *slash;

	while (above && (slash = strrchr(above, '/'))) {
		const struct path_state *total;

		*slash = '\0';
		total = find(&s->total, above);
		if (total && total->exists && !S_ISDIR(type_of(total)))
			return true;
	}
	return !above;
}

static struct error *synthesize(struct subtraction *s, const struct path_state *first, enum change_kind kind)
{
	struct change change = {.kind = kind, .layer = first->first->layer};
	struct error *error;
	bool known;

	error = leaves(s, first, &known, &change.before);
	if (!error && known && kind == CHANGE_ATTRIBUTES)
		error = copy_attributes(&first->first->before.attributes, &change.attributes);
	if (!error && known && !(change.path = strdup(first->path)))
		error = error_no_memory();
	if (!error && known)
		return change_list_append(kind == CHANGE_DELETE ? &s->unmade : &s->restored, change);
	if (!error)
		s->possible = false;
	change_deinit(&change);
	return error;
}

static struct error *judge_first_alone(struct subtraction *s, const struct path_state *first)
{
	if (find(&s->total, first->path))
		return NULL;
	if (first->exists && !first->maker)
		return synthesize(s, first, CHANGE_ATTRIBUTES);
	if (!first->exists && !first->first->before.exists)
		return NULL;
	if (!first->exists || first->first->before.exists || is_below_other(s, first->path)) {
		/* It is back as it was: its content is in no layer. */
		s->possible = false;
		return NULL;
	}
	return synthesize(s, first, CHANGE_DELETE);
}

/* --- the result --- */

static struct error *judge(struct subtraction *s)
{
	struct error *error = NULL;

	for (size_t i = 0; i < s->total.n; i++)
		judge_path(s, &s->total.states[i]);
	judge_links(s);
	/* By path a directory comes before what is in it: backwards. */
	for (size_t i = s->first.n; !error && i > 0; i--)
		error = judge_first_alone(s, &s->first.states[i - 1]);
	return error ? error : judge_parents(s);
}

/* The pre-images of what stays, found before anything is altered. */
static struct error *find_befores(struct subtraction *s, struct change_preimage *befores)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < s->total.list->n; i++) {
		bool known = true;

		if (s->verdicts[i] == VERDICT_BEFORE)
			error = leaves(s, find(&s->first, s->total.list->items[i].path), &known, &befores[i]);
		s->possible &= known;
	}
	return error;
}

static struct error *append_all(struct change_list *from, struct change_list *to)
{
	struct error *error = NULL;

	for (size_t i = 0; i < from->n; i++) {
		if (!error)
			error = change_list_append(to, from->items[i]);
		else
			change_deinit(&from->items[i]);
	}
	from->n = 0;
	return error;
}

/* Where the deletions begin that make room for nothing: behind the last entry that makes something. */
static size_t end_of_makers(const struct change_list *list)
{
	size_t end = 0;

	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].kind != CHANGE_DELETE && list->items[i].kind != CHANGE_ATTRIBUTES)
			end = i + 1;
	return end;
}

/* Takes the total apart; what of it is not appended goes. */
static struct error *build(struct subtraction *s, struct change_list *total, struct change_preimage *befores,
			   struct change_list *ret)
{
	size_t end = end_of_makers(total);
	struct error *error = NULL;

	for (size_t i = 0; i <= total->n; i++) {
		struct change *change = &total->items[i];

		if (i == end && !error)
			error = append_all(&s->unmade, ret);
		if (i == total->n)
			break;
		if (error || s->verdicts[i] == VERDICT_DROP) {
			change_deinit(change);
			continue;
		}
		if (s->verdicts[i] != VERDICT_LEAVE) {
			change_preimage_deinit(&change->before);
			change->before = befores[i];
			befores[i] = (struct change_preimage){0};
		}
		error = change_list_append(ret, *change);
	}
	total->n = 0;
	return error ? error : append_all(&s->restored, ret);
}

struct error *changes_subtract(const struct change_list *first, struct change_list *total, bool *ret_possible)
{
	_cleanup_(subtraction_deinit) struct subtraction s = {.possible = true};
	struct change_list result = {0};
	struct change_preimage *befores = calloc(total->n + 1, sizeof(*befores));
	size_t n = total->n;
	struct error *error = befores ? by_path_init(first, &s.first) : error_no_memory();

	if (!error)
		error = by_path_init(total, &s.total);
	s.verdicts = error ? NULL : calloc(n + 1, sizeof(*s.verdicts));
	if (!error && !s.verdicts)
		error = error_no_memory();
	if (!error)
		error = judge(&s);
	if (!error)
		error = find_befores(&s, befores);
	if (!error && s.possible)
		error = build(&s, total, befores, &result);
	for (size_t i = 0; befores && i < n; i++)
		change_preimage_deinit(&befores[i]);
	free(befores);
	if (error) {
		change_list_deinit(&result);
		return error;
	}
	*ret_possible = s.possible;
	if (s.possible) {
		change_list_deinit(total);
		*total = result;
	}
	return NULL;
}
