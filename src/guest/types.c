/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's types, out of its BTF. libbpf parses the blob; an index of names of our own stands
 * beside it, because its search is linear and a kernel has 100,000 types. The blob is hostile:
 * ids and depths are checked here, since this libbpf does not.
 */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/io.h"
#include "guest/internal.h"

/* BTF nests typedefs, qualifiers and anonymous structures a few deep. */
#define DEPTH_MAX   32u
/* Members looked at for one name: the largest structure has under 1000, a hostile one contains itself. */
#define SEARCH_MAX  100000u
/* Names that fall on one another in the index: a few by chance, all of them by intent. */
#define PROBES_MAX  512u
#define FILE_MAX    (64u * 1024 * 1024)

/* Constants that were looked for in every enumeration, which takes 0.2 ms; a few hundred names are known to us. */
#define ASKED_SLOTS 512u /* a power of 2 */

struct asked {
	char *constant; /* owned; NULL: an empty slot */
	bool found;
	uint64_t value;
};

struct types {
	struct btf *btf;
	const struct types *base;
	uint32_t *index;     /* structures, their aliases and enumerations by hash of their name: type ids; 0: empty */
	uint32_t mask;       /* slots of the index - 1 */
	struct asked *asked; /* ASKED_SLOTS, by hash of the name */
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

static bool is_enumeration(const struct btf_type *type)
{
	return btf_is_enum(type) || btf_is_enum64(type);
}

/* A structure and an enumeration may have the same name. */
static bool same_kind(const struct btf_type *a, const struct btf_type *b)
{
	return is_enumeration(a) == is_enumeration(b);
}

static const char *type_name(const struct btf *btf, const struct btf_type *type)
{
	const char *name = btf__name_by_offset(btf, type->name_off);

	return name ? name : "";
}

/* The name of a structure that has none of its own (irq_cpustat_t, nodemask_t). */
static bool is_alias(const struct btf *btf, const struct btf_type *type)
{
	const struct btf_type *target = btf_is_typedef(type) ? btf__type_by_id(btf, type->type) : NULL;

	return target && is_structure(target) && !*type_name(btf, target);
}

static struct error *index_type(struct types *types, uint32_t id, const struct btf_type *type, const char *name)
{
	uint32_t slot = hash_name(name, strlen(name)) & types->mask;

	for (unsigned probes = 0; types->index[slot]; probes++, slot = (slot + 1) & types->mask) {
		const struct btf_type *other = btf__type_by_id(types->btf, types->index[slot]);

		if (other && same_kind(other, type) && strcmp(type_name(types->btf, other), name) == 0)
			return NULL; /* the first one counts */
		if (probes >= PROBES_MAX)
			return error_create(ERROR_FORMAT, "names of types collide");
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
	/* An alias counts only where nothing has the name by itself. */
	for (unsigned aliases = 0; aliases < 2; aliases++) {
		for (uint32_t id = first; id < n; id++) {
			const struct btf_type *type = btf__type_by_id(types->btf, id);
			struct error *error = NULL;

			if (type &&
			    (aliases ? is_alias(types->btf, type) : is_structure(type) || is_enumeration(type)) &&
			    *type_name(types->btf, type))
				error = index_type(types, id, type, type_name(types->btf, type));
			if (error)
				return error;
		}
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
		return error_create(ERROR_FORMAT, "type information (BTF) of %zu bytes without a valid header", size);
	/* Its complaints would go to standard error; what failed is said by our own error. */
	libbpf_set_print(NULL);
	types->base = base;
	types->asked = calloc(ASKED_SLOTS, sizeof(*types->asked));
	if (!types->asked)
		return error_no_memory();
	types->btf = base ? new_split(blob, size, base->btf) : btf__new(blob, (uint32_t)size);
	if (!types->btf && errno == ENOMEM)
		return error_no_memory();
	if (!types->btf)
		return error_create(ERROR_FORMAT, "malformed type information (BTF) of %zu bytes: %s", size,
				    strerror(errno));
	error = build_index(types);
	if (error)
		return error;
	*ret = take_ptr(types);
	return NULL;
}

/*
 * Of types of their own, the first name is the empty one; a module's go on with the names of its kernel's. What else
 * may be wrong with them is found when they are parsed.
 */
static struct error *check_file(const void *blob, size_t size, const char *path)
{
	struct btf_header header = {0};
	char first;

	memcpy(&header, blob, size < sizeof(header) ? size : sizeof(header));
	if (size < sizeof(header) || header.hdr_len > size ||
	    size - header.hdr_len < (uint64_t)header.type_off + header.type_len ||
	    size - header.hdr_len < (uint64_t)header.str_off + header.str_len)
		return error_create(ERROR_USAGE, "%s: cut short, after %zu bytes of type information (BTF)", path,
				    size);
	if (header.str_len == 0)
		return NULL;
	memcpy(&first, (const char *)blob + header.hdr_len + header.str_off, 1);
	if (first != 0)
		return error_create(ERROR_USAGE, "%s: types of a module, not of a kernel", path);
	return NULL;
}

/* A blob of BTF in a file of its own. */
static struct error *load_raw(const char *path, struct types **ret)
{
	_cleanup_(free_ptr) char *blob = NULL;
	size_t size;
	struct error *error = io_read_file(path, FILE_MAX, &blob, &size);

	if (!error)
		error = check_file(blob, size, path);
	return error ? error : error_wrap(types_create(blob, size, NULL, ret), "%s", path);
}

/* The section .BTF of an ELF file; libbpf reads that, through libelf. */
static struct error *load_elf(const char *path, struct types **ret)
{
	struct btf *btf;
	const void *blob;
	uint32_t size;
	struct error *error;

	libbpf_set_print(NULL);
	btf = btf__parse_elf(path, NULL);
	if (!btf && (errno == ENODATA || errno == ENOENT)) /* ENOENT before libbpf 1.2 */
		return error_remedy(error_create(ERROR_USAGE,
						 "%s: an ELF file without type information (it has no section .BTF)",
						 path),
				    "`pahole -J %s` makes it from the file's debug information", path);
	if (!btf && errno == EINVAL)
		return error_create(ERROR_USAGE,
				    "%s: an ELF file whose type information (BTF) is damaged, or a module's", path);
	/* libbpf has numbers of its own, which strerror() does not know. */
	if (!btf && errno != ENOMEM)
		return error_create(ERROR_USAGE, "%s: a damaged ELF file, or one that was cut short", path);
	if (!btf)
		return error_no_memory();
	blob = btf__raw_data(btf, &size);
	error = blob ? error_wrap(types_create(blob, size, NULL, ret), "%s", path) : error_no_memory();
	btf__free(btf);
	return error;
}

struct error *types_load_file(const char *path, struct types **ret)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	uint8_t magic[4];
	struct error *error;
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_system(errno, path, "cannot open the type information");
	if (!S_ISREG(status.st_mode))
		return error_create(ERROR_USAGE, "%s: the type information is not a regular file", path);
	error = io_pread(fd, magic, sizeof(magic), 0, path);
	if (error)
		return error;
	if (memcmp(magic,
		   "\x7f"
		   "ELF",
		   4) == 0)
		return load_elf(path, ret);
	if ((magic[0] | magic[1] << 8) != BTF_MAGIC)
		return error_create(ERROR_USAGE, "%s: neither type information (BTF) nor an ELF file with it", path);
	return load_raw(path, ret);
}

void types_destroy(struct types *types)
{
	if (!types)
		return;
	for (size_t i = 0; types->asked && i < ASKED_SLOTS; i++)
		free(types->asked[i].constant);
	free(types->asked);
	btf__free(types->btf);
	free(types->index);
	free(types);
}

uint32_t types_blob_size(const struct types *types)
{
	uint32_t size = 0;

	(void)btf__raw_data(types->btf, &size);
	return size;
}

/* The structure or enumeration of that name. */
static const struct btf_type *find_type(const struct types *types, const char *name, bool structure)
{
	uint32_t slot = hash_name(name, strlen(name)) & types->mask;

	for (; types->index[slot]; slot = (slot + 1) & types->mask) {
		const struct btf_type *type = btf__type_by_id(types->btf, types->index[slot]);

		if (type && is_enumeration(type) != structure && strcmp(type_name(types->btf, type), name) == 0)
			return btf_is_typedef(type) ? btf__type_by_id(types->btf, type->type) : type;
	}
	return types->base ? find_type(types->base, name, structure) : NULL;
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
	uint32_t bits;   /* width of a bit field, or 0 */
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
			s->bits = btf_member_bitfield_size(type, i);
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

/* From an array on to its element number `index`; anything else stays, and has only number 0. */
static const struct btf_type *enter_array(struct search *s, const struct btf_type *type, uint64_t index)
{
	const struct btf_array *array;
	int64_t size;

	if (!type || !btf_is_array(type))
		return index == 0 ? type : NULL;
	array = btf_array(type);
	size = btf__resolve_size(s->btf, array->type);
	/* A flexible array, of 0 elements in the type, has a first one all the same. */
	if (size < 0 || size > UINT32_MAX || (index > 0 && index >= array->nelems))
		return NULL;
	s->offset += (uint64_t)size * 8 * index;
	s->id = array->type;
	return strip(s->btf, array->type);
}

/* Splits "name[3].rest": sets the search's name, yields the index and where the rest begins. */
static bool next_part(struct search *s, const char **path, uint64_t *ret_index)
{
	const char *rest = *path + strcspn(*path, ".[");
	char *end;

	s->name = *path;
	s->size = (size_t)(rest - *path);
	*ret_index = 0;
	if (*rest == '[') {
		*ret_index = strtoull(rest + 1, &end, 10);
		if (end == rest + 1 || *end != ']')
			return false;
		rest = end + 1;
	}
	*path = rest;
	return s->size > 0 && (*rest == '\0' || *rest == '.');
}

/* What was found, in bytes; also finishes a path that ends in "[3]". */
static struct member found_member(const struct search *s, const struct btf_type *type)
{
	int64_t size = btf__resolve_size(s->btf, s->id);
	uint64_t offset = s->offset / 8;
	struct member member = {.present = true, .offset = (uint32_t)offset, .size = (uint32_t)size};

	if (offset > UINT32_MAX || size < 0 || size > UINT32_MAX)
		return (struct member){0};
	if (s->bits || s->offset % 8) {
		if (s->bits == 0 || s->bits > 64)
			return (struct member){0};
		member.bits = (uint8_t)s->bits;
		member.shift = s->offset % 8;
		member.size = (member.shift + s->bits + 7) / 8;
	} else if (type && btf_is_array(type)) {
		member.count = btf_array(type)->nelems;
	}
	return member;
}

struct member types_find(const struct types *types, const char *structure, const char *path)
{
	const struct btf_type *type = find_type(types, structure, true);
	struct search search = {.btf = types->btf};

	for (;;) {
		uint64_t index;
		bool indexed;

		if (!type || !is_structure(type) || !next_part(&search, &path, &index) ||
		    !find_member(&search, type, search.offset, 0))
			return (struct member){0};
		type = strip(types->btf, search.id);
		indexed = path[-1] == ']';
		if (*path == '.' || indexed)
			type = enter_array(&search, type, index);
		if (!type && indexed)
			return (struct member){0};
		if (!*path++)
			return found_member(&search, type);
	}
}

uint32_t types_size(const struct types *types, const char *structure)
{
	const struct btf_type *type = find_type(types, structure, true);

	return type ? type->size : 0;
}

/* ---- Enumerations ---- */

/* Whether the constant number `i` has that name. */
static bool is_constant(const struct btf *btf, uint32_t name_offset, const char *constant)
{
	const char *name = btf__name_by_offset(btf, name_offset);

	return name && strcmp(name, constant) == 0;
}

static bool find_constant(const struct btf *btf, const struct btf_type *type, const char *constant, uint64_t *ret)
{
	for (uint32_t i = 0; i < btf_vlen(type); i++) {
		if (btf_is_enum(type) && is_constant(btf, btf_enum(type)[i].name_off, constant)) {
			*ret = (uint32_t)btf_enum(type)[i].val;
			return true;
		}
		if (btf_is_enum64(type) && is_constant(btf, btf_enum64(type)[i].name_off, constant)) {
			*ret = btf_enum64_value(&btf_enum64(type)[i]);
			return true;
		}
	}
	return false;
}

/* In any enumeration, those of the base too. */
static bool find_anywhere(const struct btf *btf, const char *constant, uint64_t *ret)
{
	uint32_t n = btf__type_cnt(btf);

	for (uint32_t id = 1; id < n; id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		if (type && is_enumeration(type) && find_constant(btf, type, constant, ret))
			return true;
	}
	return false;
}

/* The slot of the constant, or an empty one for it; NULL: there is no room. */
static struct asked *asked_slot(const struct types *types, const char *constant)
{
	uint32_t slot = hash_name(constant, strlen(constant)) % ASKED_SLOTS;

	for (unsigned probes = 0; probes < ASKED_SLOTS / 2; probes++, slot = (slot + 1) % ASKED_SLOTS) {
		struct asked *asked = &types->asked[slot];

		if (!asked->constant || strcmp(asked->constant, constant) == 0)
			return asked;
	}
	return NULL;
}

bool types_enum(const struct types *types, const char *name, const char *constant, uint64_t *ret)
{
	const struct btf_type *type = name ? find_type(types, name, false) : NULL;
	struct asked *asked = name ? NULL : asked_slot(types, constant);

	if (name)
		return type && find_constant(types->btf, type, constant, ret);
	if (!asked)
		return find_anywhere(types->btf, constant, ret);
	if (!asked->constant) {
		asked->found = find_anywhere(types->btf, constant, &asked->value);
		asked->constant = strdup(constant);
	}
	if (asked->found)
		*ret = asked->value;
	return asked->found;
}

struct error *types_get_enum(const struct types *types, const char *name, const char *constant, uint64_t *ret)
{
	if (types_enum(types, name, constant, ret))
		return NULL;
	return error_create(ERROR_UNSUPPORTED, "the guest's kernel has no constant '%s'%s%s", constant,
			    name ? " in enum " : "", name ? name : "");
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
