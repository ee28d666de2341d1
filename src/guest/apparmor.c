/* SPDX-License-Identifier: Apache-2.0 */
/* The features that AppArmor's kernel part announces (security/apparmor/apparmorfs.c). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/io.h"
#include "guest/internal.h"

struct feature_walk {
	struct guest_apparmor_features *list;
	struct member name, dentry, type, value;
	uint32_t size;                            /* bytes of an entry */
	uint64_t boolean, string, u64, directory; /* enum aa_sfs_type */
};

/* One entry of a table. */
struct entry {
	char name[64]; /* "": behind the last one */
	uint64_t dentry, type, value;
};

static struct error *load_layout(struct guest *guest, struct feature_walk *ret)
{
	const struct member_need needs[] = {
		{"aa_sfs_entry", "name", &ret->name},
		{"aa_sfs_entry", "dentry", &ret->dentry},
		{"aa_sfs_entry", "v_type", &ret->type},
		{"aa_sfs_entry", "v.u64", &ret->value},
	};
	const struct {
		const char *name;
		uint64_t *ret;
	} kinds[] = {
		{"AA_SFS_TYPE_BOOLEAN", &ret->boolean},
		{"AA_SFS_TYPE_STRING", &ret->string},
		{"AA_SFS_TYPE_U64", &ret->u64},
		{"AA_SFS_TYPE_DIR", &ret->directory},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	ret->size = types_size(guest->types, "aa_sfs_entry");
	for (size_t i = 0; !error && i < ARRAY_SIZE(kinds); i++)
		error = types_get_enum(guest->types, "aa_sfs_type", kinds[i].name, kinds[i].ret);
	return error;
}

static struct error *read_entry(struct guest *guest, const struct feature_walk *walk, struct gva address,
				struct entry *ret)
{
	uint64_t name;
	const struct member_read reads[] = {
		{&walk->name, &name},
		{&walk->dentry, &ret->dentry},
		{&walk->type, &ret->type},
		{&walk->value, &ret->value},
	};
	struct error *error = guest_read_members(guest, address, reads, ARRAY_SIZE(reads));

	ret->name[0] = '\0';
	if (error || !name)
		return error;
	error = memory_read_string(&guest->memory, (struct gva){name}, ret->name, sizeof(ret->name));
	if (!error && (!ret->name[0] || strlen(ret->name) == sizeof(ret->name) - 1 || strchr(ret->name, '/') ||
		       strcmp(ret->name, ".") == 0 || strcmp(ret->name, "..") == 0))
		error = error_format(NULL, address.v, "an entry of AppArmor's has no name that a file can have");
	return error;
}

/* As aa_sfs_seq_show() writes it. */
static struct error *show(struct guest *guest, const struct feature_walk *walk, const struct entry *entry, char **ret)
{
	char text[GUEST_APPARMOR_TEXT_MAX];
	struct error *error;

	if (entry->type == walk->boolean) {
		*ret = strdup(entry->value & 0xff ? "yes\n" : "no\n");
	} else if (entry->type == walk->u64) {
		*ret = string_format("%#08" PRIx64 "\n", entry->value);
	} else if (entry->type == walk->string) {
		error = memory_read_string(&guest->memory, (struct gva){entry->value}, text, sizeof(text));
		if (error)
			return error;
		if (strlen(text) == sizeof(text) - 1)
			return error_format(NULL, entry->value, "AppArmor's feature %s is too long", entry->name);
		*ret = string_format("%s\n", text);
	} else {
		return error_create(ERROR_UNSUPPORTED, "AppArmor's feature %s is of a kind that is not known",
				    entry->name);
	}
	return *ret ? NULL : error_no_memory();
}

static struct error *add(struct guest *guest, const struct feature_walk *walk, const char *above,
			 const struct entry *entry)
{
	struct guest_apparmor_features *list = walk->list;
	struct guest_apparmor_feature *item;
	struct error *error = NULL;

	if (list->n >= GUEST_APPARMOR_FEATURES_MAX)
		error = error_create(ERROR_FORMAT, "more than %u features of AppArmor", GUEST_APPARMOR_FEATURES_MAX);
	if (!error)
		error = array_room(&list->items, list->n, sizeof(*list->items));
	if (error)
		return error;
	item = &list->items[list->n++];
	*item = (struct guest_apparmor_feature){.path = string_format("%s%s%s", above, *above ? "/" : "", entry->name)};
	if (!item->path)
		return error_no_memory();
	return entry->type == walk->directory ? NULL : show(guest, walk, entry, &item->text);
}

static struct error *walk_table(struct guest *guest, const struct feature_walk *walk, uint64_t table, const char *above,
				unsigned depth)
{
	struct entry entry;

	if (depth > GUEST_APPARMOR_DEPTH_MAX)
		return error_format(NULL, table, "AppArmor's features are too deep");
	for (;; table += walk->size) {
		struct error *error = read_entry(guest, walk, (struct gva){table}, &entry);

		if (!error && !entry.name[0])
			return NULL;
		if (!error)
			error = add(guest, walk, above, &entry);
		if (!error && entry.type == walk->directory) {
			_cleanup_(free_ptr) char *path = strdup(walk->list->items[walk->list->n - 1].path);

			error = path ? walk_table(guest, walk, entry.value, path, depth + 1) : error_no_memory();
		}
		if (error)
			return error;
	}
}

/* The entry of that name; its dentry is only there once the file has been made: AppArmor is on. */
static struct error *find_entry(struct guest *guest, const struct feature_walk *walk, uint64_t table, const char *name,
				uint64_t *ret)
{
	struct entry entry;

	for (unsigned i = 0; i < GUEST_APPARMOR_FEATURES_MAX; i++, table += walk->size) {
		struct error *error = read_entry(guest, walk, (struct gva){table}, &entry);

		if (error)
			return error;
		if (!entry.name[0])
			break;
		if (strcmp(entry.name, name) != 0)
			continue;
		if (!entry.dentry || entry.type != walk->directory)
			break;
		*ret = entry.value;
		return NULL;
	}
	return error_create(ERROR_NOT_FOUND, "the guest's kernel shows no %s of AppArmor", name);
}

struct error *guest_apparmor_features(struct guest *guest, struct guest_apparmor_features *ret)
{
	_cleanup_(guest_apparmor_features_deinit) struct guest_apparmor_features list = {0};
	struct feature_walk walk = {.list = &list};
	struct gva root;
	uint64_t table = 0;
	struct error *error;

	if (!symbols_find(guest->symbols, "aa_sfs_entry_apparmor", &root))
		return error_create(ERROR_NOT_FOUND, "the guest's kernel has no AppArmor");
	error = load_layout(guest, &walk);
	if (!error)
		error = find_entry(guest, &walk, root.v, "features", &table);
	if (!error)
		error = walk_table(guest, &walk, table, "", 0);
	if (error)
		return error_wrap(error, "what AppArmor of the guest can do");
	*ret = list;
	list = (struct guest_apparmor_features){0};
	return NULL;
}

void guest_apparmor_features_deinit(struct guest_apparmor_features *features)
{
	for (size_t i = 0; i < features->n; i++) {
		free(features->items[i].path);
		free(features->items[i].text);
	}
	free(features->items);
	*features = (struct guest_apparmor_features){0};
}
