/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's types, out of its BTF. libbpf parses the blob; an index of names of our own stands
 * beside it, because its search is linear and a kernel has 100,000 types. The blob is hostile:
 * ids and depths are checked here, since this libbpf does not.
 */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/io.h"
#include "guest/internal.h"

/* BTF nests typedefs, qualifiers and anonymous structures a few deep. */
#define DEPTH_MAX  32u
/* Members looked at for one name: the largest structure has under 1000, a hostile one contains itself. */
#define SEARCH_MAX 100000u
/* Names that fall on one another in the index: a few by chance, all of them by intent. */
#define PROBES_MAX 512u

struct types {
	struct btf *btf;
	const struct types *base;
	uint32_t *index; /* structures by hash of their name: type ids; 0: empty */
	uint32_t mask;   /* slots of the index - 1 */
};

static uint32_t hash_name(const char *name, size_t size)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (uint8_t)name[i]) * 16777619u;
	return hash;
}

static bool is_structure(const struct btf_type *type)
{
	return btf_is_struct(type) || btf_is_union(type);
}

static const char *type_name(const struct btf *btf, const struct btf_type *type)
{
	const char *name = btf__name_by_offset(btf, type->name_off);

	return name ? name : "";
}

static struct error *index_type(struct types *types, uint32_t id, const char *name)
{
	uint32_t slot = hash_name(name, strlen(name)) & types->mask;

	for (unsigned probes = 0; types->index[slot]; probes++, slot = (slot + 1) & types->mask) {
		const struct btf_type *other = btf__type_by_id(types->btf, types->index[slot]);

		if (other && strcmp(type_name(types->btf, other), name) == 0)
			return NULL; /* the first one counts */
		if (probes >= PROBES_MAX)
			return error_create(ERROR_FORMAT, "the guest's type information (BTF) has colliding names");
	}
	types->index[slot] = id;
	return NULL;
}

static struct error *build_index(struct types *types)
{
	uint32_t n = btf__type_cnt(types->btf);
	uint32_t first = types->base ? btf__type_cnt(types->base->btf) : 1;
	uint32_t slots = 64;

	while (slots / 2 < n - first)
		slots *= 2;
	types->index = calloc(slots, sizeof(*types->index));
	if (!types->index)
		return error_no_memory();
	types->mask = slots - 1;
	for (uint32_t id = first; id < n; id++) {
		const struct btf_type *type = btf__type_by_id(types->btf, id);
		struct error *error = NULL;

		if (type && is_structure(type) && *type_name(types->btf, type))
			error = index_type(types, id, type_name(types->btf, type));
		if (error)
			return error;
	}
	return NULL;
}

/* Before libbpf 1.6 the library does not export btf__new_split(): give it a file. NULL with errno. */
static struct btf *new_split(const void *blob, size_t size, struct btf *base)
{
	_cleanup_(close_fd) int fd = memfd_create("btf", MFD_CLOEXEC);
	_cleanup_(error_destroy_ptr) struct error *error = NULL;
	char path[64];

	if (fd < 0)
		return NULL;
	error = io_write(fd, blob, size, "BTF");
	if (error) {
		errno = error->errnum ? error->errnum : EIO;
		return NULL;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return btf__parse_raw_split(path, base);
}

/* libbpf adds the header's own size to its offsets without looking at it: all sections must lie inside. */
static bool sections_inside(const void *blob, size_t size)
{
	struct btf_header header;
	uint64_t left;

	if (size < sizeof(header))
		return false;
	memcpy(&header, blob, sizeof(header));
	if (header.magic != BTF_MAGIC || header.hdr_len < sizeof(header) || header.hdr_len > size)
		return false;
	left = size - header.hdr_len;
	return (uint64_t)header.type_off + header.type_len <= left && (uint64_t)header.str_off + header.str_len <= left;
}

struct error *types_create(const void *blob, size_t size, const struct types *base, struct types **ret)
{
	_cleanup_(types_destroy_ptr) struct types *types = calloc(1, sizeof(*types));
	struct error *error;

	if (!types)
		return error_no_memory();
	if (size > UINT32_MAX || !sections_inside(blob, size))
		return error_create(ERROR_FORMAT, "the guest's type information (BTF) of %zu bytes has no valid header",
				    size);
	/* Its complaints would go to standard error; what failed is said by our own error. */
	libbpf_set_print(NULL);
	types->base = base;
	types->btf = base ? new_split(blob, size, base->btf) : btf__new(blob, (uint32_t)size);
	if (!types->btf)
		return error_create(ERROR_FORMAT, "the guest's type information (BTF) of %zu bytes is malformed: %s",
				    size, strerror(errno));
	error = build_index(types);
	if (error)
		return error;
	*ret = take_ptr(types);
	return NULL;
}

void types_destroy(struct types *types)
{
	if (!types)
		return;
	btf__free(types->btf);
	free(types->index);
	free(types);
}

static const struct btf_type *find_structure(const struct types *types, const char *name)
{
	uint32_t slot = hash_name(name, strlen(name)) & types->mask;

	for (; types->index[slot]; slot = (slot + 1) & types->mask) {
		const struct btf_type *type = btf__type_by_id(types->btf, types->index[slot]);

		if (type && strcmp(type_name(types->btf, type), name) == 0)
			return type;
	}
	return types->base ? find_structure(types->base, name) : NULL;
}

/* Through typedefs and qualifiers to what it is; NULL if that never ends. */
static const struct btf_type *strip(const struct btf *btf, uint32_t id)
{
	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		if (!type)
			return NULL;
		if (!btf_is_mod(type) && !btf_is_typedef(type) && !btf_is_type_tag(type))
			return type;
		id = type->type;
	}
	return NULL;
}

/* A search for one member name, with what it found. */
struct search {
	const struct btf *btf;
	const char *name;
	size_t size;
	uint32_t steps;
	uint64_t offset; /* bits from the outermost structure */
	uint32_t id;     /* the member's type */
};

/* Finds the member of that name, also inside anonymous members. `offset`: bits, of `type` itself. */
static bool find_member(struct search *s, const struct btf_type *type, uint64_t offset, unsigned depth)
{
	const struct btf_member *members = btf_members(type);

	for (uint32_t i = 0; i < btf_vlen(type); i++) {
		const char *name = btf__name_by_offset(s->btf, members[i].name_off);
		uint64_t inner = offset + btf_member_bit_offset(type, i);
		const struct btf_type *anonymous;

		if (!name || s->steps++ > SEARCH_MAX)
			return false;
		if (strlen(name) == s->size && memcmp(name, s->name, s->size) == 0) {
			s->offset = inner;
			s->id = members[i].type;
			return true;
		}
		anonymous = *name ? NULL : strip(s->btf, members[i].type);
		if (anonymous && is_structure(anonymous) && depth < DEPTH_MAX &&
		    find_member(s, anonymous, inner, depth + 1))
			return true;
	}
	return false;
}

struct member types_find(const struct types *types, const char *structure, const char *path)
{
	const struct btf_type *type = find_structure(types, structure);
	struct search search = {.btf = types->btf};
	int64_t size;

	for (const char *part = path;; part += search.size + 1) {
		search.name = part;
		search.size = strcspn(part, ".");
		if (!type || !is_structure(type) || search.size == 0 || !find_member(&search, type, search.offset, 0))
			return (struct member){0};
		if (!part[search.size])
			break;
		type = strip(types->btf, search.id);
	}
	size = btf__resolve_size(types->btf, search.id);
	if (search.offset % 8 || search.offset / 8 > UINT32_MAX || size < 0 || size > UINT32_MAX)
		return (struct member){0};
	return (struct member){.present = true, .offset = (uint32_t)(search.offset / 8), .size = (uint32_t)size};
}

uint32_t types_size(const struct types *types, const char *structure)
{
	const struct btf_type *type = find_structure(types, structure);

	return type ? type->size : 0;
}

struct error *types_need(const struct types *types, const struct member_need *needs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct member member = types_find(types, needs[i].type, needs[i].path);

		if (!member.present && !needs[i].optional)
			return error_create(ERROR_UNSUPPORTED, "the guest's kernel has no member '%s' in struct %s",
					    needs[i].path, needs[i].type);
		*needs[i].ret = member;
	}
	return NULL;
}
