/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload's reader. It depends on base's cursor and errors and on the plain lists of
 * changes/list.c alone: the guest helper is linked with it.
 */
#include "bundle/payload.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/cursor.h"

/* Least bytes of each element: what bounds an array before it is allocated. */
#define ENTRY_SIZE_MIN  99
#define ACTION_SIZE_MIN 69
#define XATTR_SIZE_MIN  9

#define NAME_BYTES_MAX  255 /* NAME_MAX, and XATTR_NAME_MAX */
#define INODE_MODE_MASK 07777

static uint64_t align_up(uint64_t value)
{
	return (value + PAYLOAD_ALIGNMENT - 1) / PAYLOAD_ALIGNMENT * PAYLOAD_ALIGNMENT;
}

uint64_t payload_content_start(const struct payload_header *header)
{
	return align_up(PAYLOAD_HEADER_SIZE + header->index_size);
}

struct error *payload_parse_header(const uint8_t bytes[PAYLOAD_HEADER_SIZE], struct payload_header *ret)
{
	struct cursor c = cursor_init(bytes, PAYLOAD_HEADER_SIZE, "payload");
	struct payload_header header = {};
	const uint8_t *magic;
	uint32_t version, flags;
	uint64_t reserved;
	struct error *error;

	if ((error = cursor_bytes(&c, strlen(PAYLOAD_MAGIC), &magic)) || (error = cursor_le32(&c, &version)) ||
	    (error = cursor_le32(&c, &flags)) || (error = cursor_le64(&c, &header.index_size)) ||
	    (error = cursor_le64(&c, &header.content_size)) || (error = cursor_le32(&c, &header.n_entries)) ||
	    (error = cursor_le32(&c, &header.n_actions)) ||
	    (error = cursor_copy(&c, header.index_sha256, sizeof(header.index_sha256))) ||
	    (error = cursor_le64(&c, &reserved)))
		return error;
	if (memcmp(magic, PAYLOAD_MAGIC, strlen(PAYLOAD_MAGIC)) != 0)
		return error_format("payload", 0, "not a payload: wrong magic");
	if (reserved != 0)
		return error_format("payload", 72, "reserved bytes are not zero");
	if (version != PAYLOAD_VERSION || flags != 0)
		return error_format("payload", 8, "payload version %u with flags %#x is not known", version, flags);
	if (header.index_size > PAYLOAD_INDEX_MAX)
		return error_format("payload", 16, "index of %llu bytes is too large",
				    (unsigned long long)header.index_size);
	if (header.content_size > INT64_MAX || header.content_size % PAYLOAD_ALIGNMENT != 0)
		return error_format("payload", 24, "content of %llu bytes cannot be",
				    (unsigned long long)header.content_size);
	if (header.n_entries > PAYLOAD_ENTRIES_MAX || header.n_entries > header.index_size / ENTRY_SIZE_MIN)
		return error_format("payload", 32, "%u entries do not fit the index", header.n_entries);
	if (header.n_actions > header.index_size / ACTION_SIZE_MIN)
		return error_format("payload", 36, "%u actions do not fit the index", header.n_actions);
	*ret = header;
	return NULL;
}

/* The bytes of a string, borrowed. */
static struct error *parse_bytes(struct cursor *c, uint32_t max, const uint8_t **ret, uint32_t *ret_size)
{
	struct error *error;
	uint32_t size;

	error = cursor_le32(c, &size);
	if (error)
		return error;
	if (size > max)
		return cursor_error(c, "string of %u bytes where %u are the most", size, max);
	error = cursor_bytes(c, size, ret);
	if (error)
		return error;
	*ret_size = size;
	return NULL;
}

/* Where it lies, which is nobody's to change or to free. */
static struct error *parse_string(struct cursor *c, uint32_t max, char **ret)
{
	const uint8_t *bytes;
	struct error *error;
	uint32_t size;
	uint8_t end;

	error = parse_bytes(c, max, &bytes, &size);
	if (!error)
		error = cursor_u8(c, &end);
	if (error)
		return error;
	if (end || memchr(bytes, 0, size))
		return cursor_error(c, "NUL in a string, or none behind it");
	*ret = (char *)bytes;
	return NULL;
}

static struct error *copy_string(struct cursor *c, uint32_t max, char **ret)
{
	char *string;
	struct error *error = parse_string(c, max, &string);

	if (error)
		return error;
	string = strdup(string);
	if (!string)
		return error_no_memory();
	*ret = string;
	return NULL;
}

bool payload_path_valid(const char *path)
{
	if (!*path)
		return true;
	for (;;) {
		size_t length = strcspn(path, "/");

		if (length == 0 || length > NAME_BYTES_MAX || (length == 1 && path[0] == '.') ||
		    (length == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (!path[length])
			return true;
		path += length + 1;
	}
}

static struct error *parse_path(struct cursor *c, char **ret)
{
	struct error *error = parse_string(c, PAYLOAD_STRING_MAX, ret);

	if (error)
		return error;
	return payload_path_valid(*ret) ? NULL : cursor_error(c, "bad path in the payload");
}

static struct error *parse_xattr(struct cursor *c, struct change_xattr *xattr)
{
	const uint8_t *bytes;
	struct error *error;
	uint32_t size;

	error = parse_string(c, NAME_BYTES_MAX, &xattr->name);
	if (error)
		return error;
	if (!*xattr->name)
		return cursor_error(c, "extended attribute without a name");
	error = parse_bytes(c, PAYLOAD_XATTR_MAX, &bytes, &size);
	if (error)
		return error;
	xattr->value = (void *)bytes;
	xattr->size = size;
	return NULL;
}

/* What grows with the entries. */
static void *get_memory(const struct payload_memory *memory, size_t n, size_t size)
{
	return memory ? memory->get(memory->data, n * size) : calloc(n, size);
}

static struct error *parse_xattrs(struct cursor *c, uint32_t n, const struct payload_memory *memory,
				  struct change_attributes *attributes)
{
	if (n == 0)
		return NULL;
	if (n > cursor_left(c) / XATTR_SIZE_MIN)
		return cursor_error(c, "%u extended attributes do not fit the index", n);
	attributes->xattrs = get_memory(memory, n, sizeof(*attributes->xattrs));
	if (!attributes->xattrs)
		return error_no_memory();
	for (uint32_t i = 0; i < n; i++) {
		struct error *error;

		attributes->n_xattrs = i + 1;
		error = parse_xattr(c, &attributes->xattrs[i]);
		if (error)
			return error;
		/* Sorted, which also refuses the same name twice. */
		if (i > 0 && strcmp(attributes->xattrs[i - 1].name, attributes->xattrs[i].name) >= 0)
			return cursor_error(c, "extended attributes are not sorted");
	}
	return NULL;
}

static struct error *parse_attributes(struct cursor *c, const struct payload_memory *memory,
				      struct change_attributes *attributes)
{
	struct error *error;
	uint64_t mtime_s;
	uint32_t n;

	if ((error = cursor_le32(c, &attributes->mode)) || (error = cursor_le32(c, &attributes->uid)) ||
	    (error = cursor_le32(c, &attributes->gid)) || (error = cursor_le64(c, &mtime_s)) ||
	    (error = cursor_le32(c, &attributes->mtime_ns)) || (error = cursor_le32(c, &n)))
		return error;
	attributes->mtime_s = (int64_t)mtime_s;
	if (attributes->mode & ~(uint32_t)(S_IFMT | INODE_MODE_MASK))
		return cursor_error(c, "mode %#o cannot be", attributes->mode);
	if (attributes->mtime_ns >= 1000000000)
		return cursor_error(c, "time with %u nanoseconds", attributes->mtime_ns);
	return parse_xattrs(c, n, memory, attributes);
}

static struct error *parse_preimage(struct cursor *c, const struct payload_memory *memory,
				    struct change_preimage *before)
{
	struct error *error;
	uint64_t ctime_s;
	uint8_t exists;

	error = cursor_u8(c, &exists);
	if (error)
		return error;
	if (exists > 1)
		return cursor_error(c, "pre-image marked %u, neither there nor absent", exists);
	if (!exists)
		return NULL;
	before->exists = true;
	if ((error = parse_attributes(c, memory, &before->attributes)) || (error = cursor_le64(c, &before->inode)) ||
	    (error = cursor_le64(c, &before->size)) || (error = cursor_le32(c, &before->nlink)) ||
	    (error = cursor_le64(c, &ctime_s)) || (error = cursor_le32(c, &before->ctime_ns)) ||
	    (error = cursor_le64(c, &before->rdev)) ||
	    (error = cursor_copy(c, before->sha256, sizeof(before->sha256))) ||
	    (error = parse_string(c, PAYLOAD_STRING_MAX, &before->target)))
		return error;
	before->ctime_s = (int64_t)ctime_s;
	if (before->ctime_ns >= 1000000000)
		return cursor_error(c, "time with %u nanoseconds", before->ctime_ns);
	return NULL;
}

/* The file type a kind leaves behind agrees with the mode it carries. */
static bool mode_fits(const struct change *change)
{
	uint32_t type = change->attributes.mode & S_IFMT;

	switch (change->kind) {
	case CHANGE_WRITE:
		return type == S_IFREG;
	case CHANGE_DIRECTORY:
		return type == S_IFDIR;
	case CHANGE_SYMLINK:
		return type == S_IFLNK;
	case CHANGE_FIFO:
		return type == S_IFIFO;
	case CHANGE_DEVICE:
		return type == S_IFCHR || type == S_IFBLK;
	case CHANGE_LINK:
		return type != S_IFDIR;
	case CHANGE_ATTRIBUTES:
		return !change->before.exists || type == (change->before.attributes.mode & S_IFMT);
	case CHANGE_DELETE:
		return change->before.exists;
	}
	return false;
}

static bool empty(const char *text)
{
	return !text || !*text;
}

static bool target_fits(const struct change *change)
{
	switch (change->kind) {
	case CHANGE_SYMLINK:
		return !empty(change->target) && strlen(change->target) < PATH_MAX;
	case CHANGE_LINK:
		return !empty(change->target) && payload_path_valid(change->target);
	default:
		return empty(change->target);
	}
}

static bool attributes_fit(const struct change_attributes *attributes)
{
	return !(attributes->mode & ~(uint32_t)(S_IFMT | INODE_MODE_MASK)) && attributes->mtime_ns < 1000000000;
}

const char *payload_change_problem(const struct change *change)
{
	if (change->kind < CHANGE_WRITE || change->kind > CHANGE_DELETE)
		return "unknown kind of change";
	if (!payload_path_valid(change->path) || strlen(change->path) >= PAYLOAD_STRING_MAX)
		return "bad path";
	/* Everything else would replace or remove the root. */
	if (!*change->path && change->kind != CHANGE_ATTRIBUTES)
		return "change of the root directory";
	if (!attributes_fit(&change->attributes) || !attributes_fit(&change->before.attributes))
		return "mode or time that cannot be";
	if (!mode_fits(change))
		return "mode that does not belong to the kind of change";
	if (!target_fits(change))
		return "bad target";
	if (change->size > INT64_MAX)
		return "bad size";
	return NULL;
}

bool payload_may_share(const struct change *change)
{
	static const char logs[] = "var/log/";

	return change->kind == CHANGE_WRITE && change->size > 0 && strncmp(change->path, logs, strlen(logs)) != 0;
}

static bool flags_fit(const struct payload_entry *entry)
{
	switch (entry->flags) {
	case 0:
		return true;
	case PAYLOAD_ENTRY_REWRITTEN:
		return entry->change.kind == CHANGE_ATTRIBUTES && entry->change.before.exists &&
		       S_ISREG(entry->change.attributes.mode);
	case PAYLOAD_ENTRY_SPARSE:
		return entry->change.kind == CHANGE_WRITE;
	case PAYLOAD_ENTRY_SHARED:
	case PAYLOAD_ENTRY_SHARED | PAYLOAD_ENTRY_SPARSE:
		return payload_may_share(&entry->change);
	default:
		return false;
	}
}

static struct error *check_entry(const struct cursor *c, const struct payload_entry *entry)
{
	const char *problem = payload_change_problem(&entry->change);

	if (problem)
		return cursor_error(c, "%s: %s", problem, entry->change.path);
	if (!flags_fit(entry))
		return cursor_error(c, "flags %#x do not belong on %s", entry->flags, entry->change.path);
	return NULL;
}

static struct error *check_carrier(const struct cursor *c, const struct payload *payload, uint32_t i)
{
	const struct payload_entry *entry = &payload->entries[i], *carrier;

	if (entry->carrier >= i)
		return cursor_error(c, "content of %s is that of no earlier entry", entry->change.path);
	carrier = &payload->entries[entry->carrier];
	if (!payload_may_share(&carrier->change) || carrier->flags & PAYLOAD_ENTRY_SHARED ||
	    carrier->change.size != entry->change.size ||
	    memcmp(carrier->change.sha256, entry->change.sha256, SHA256_SIZE) != 0 ||
	    carrier->checksum != entry->checksum)
		return cursor_error(c, "content of %s is not that of %s", entry->change.path, carrier->change.path);
	return NULL;
}

/* Contents follow one another in the order of their entries, without gaps: one forward pass reads them all. */
static struct error *check_content(const struct cursor *c, const struct payload *payload, uint32_t i,
				   uint64_t content_size, uint64_t *position)
{
	const struct payload_entry *entry = &payload->entries[i];

	if (entry->flags & PAYLOAD_ENTRY_SHARED)
		return check_carrier(c, payload, i);
	if (entry->change.kind != CHANGE_WRITE)
		return entry->content_offset == 0 && entry->checksum == 0
			       ? NULL
			       : cursor_error(c, "content where none belongs");
	if (entry->content_offset != *position)
		return cursor_error(c, "content of %s is out of order", entry->change.path);
	if (entry->change.size > content_size - *position)
		return cursor_error(c, "content of %s lies beyond the end", entry->change.path);
	*position += align_up(entry->change.size);
	return NULL;
}

/* `content` has two meanings. A number that is none is one of no earlier entry. */
static void set_content(struct payload_entry *entry, uint64_t content)
{
	if (entry->flags & PAYLOAD_ENTRY_SHARED)
		entry->carrier = content < UINT32_MAX ? (uint32_t)content : UINT32_MAX;
	else
		entry->content_offset = content;
}

static struct error *parse_entry(struct cursor *c, const struct payload_memory *memory, struct payload_entry *entry)
{
	struct change *change = &entry->change;
	uint16_t reserved;
	uint64_t content;
	struct error *error;
	uint8_t kind;

	if ((error = cursor_u8(c, &kind)) || (error = cursor_u8(c, &entry->flags)) ||
	    (error = cursor_le16(c, &reserved)) || (error = parse_path(c, &change->path)) ||
	    (error = parse_string(c, PAYLOAD_STRING_MAX, &change->target)) ||
	    (error = parse_attributes(c, memory, &change->attributes)) || (error = cursor_le64(c, &change->size)) ||
	    (error = cursor_le64(c, &change->rdev)) || (error = cursor_copy(c, change->sha256, SHA256_SIZE)) ||
	    (error = cursor_le64(c, &content)) || (error = cursor_le64(c, &entry->checksum)) ||
	    (error = parse_preimage(c, memory, &change->before)))
		return error;
	if (reserved != 0)
		return cursor_error(c, "reserved bytes are not zero");
	change->kind = kind;
	set_content(entry, content);
	return check_entry(c, entry);
}

static struct error *parse_entries(struct cursor *c, const struct payload_header *header,
				   const struct payload_memory *memory, struct payload *payload)
{
	uint64_t position = 0;

	if (header->n_entries > 0)
		payload->entries = get_memory(memory, header->n_entries, sizeof(*payload->entries));
	if (header->n_entries > 0 && !payload->entries)
		return error_no_memory();
	for (uint32_t i = 0; i < header->n_entries; i++) {
		struct error *error = parse_entry(c, memory, &payload->entries[i]);

		/* The half-parsed entry counts as well, so that what it holds is freed. */
		payload->header.n_entries = i + 1;
		if (!error)
			error = check_content(c, payload, i, header->content_size, &position);
		if (error)
			return error_wrap(error, "entry %u", i);
	}
	if (position != header->content_size)
		return cursor_error(c, "entries have %llu bytes of content, the header says %llu",
				    (unsigned long long)position, (unsigned long long)header->content_size);
	return NULL;
}

static struct error *parse_argv(struct cursor *c, uint16_t argc, char ***ret)
{
	char **argv = calloc((size_t)argc + 1, sizeof(*argv));

	if (!argv)
		return error_no_memory();
	*ret = argv;
	for (uint16_t i = 0; i < argc; i++) {
		struct error *error = copy_string(c, PAYLOAD_XATTR_MAX, &argv[i]);

		if (error)
			return error;
	}
	return NULL;
}

/* An empty string is one that is not there. */
static struct error *parse_optional(struct cursor *c, char **ret)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = copy_string(c, PAYLOAD_STRING_MAX, &text);

	if (!error && *text)
		*ret = take_ptr(text);
	return error;
}

static struct error *parse_numbers(struct cursor *c, struct action *action)
{
	uint8_t kind, phase, queued, reserved;
	uint32_t signal, value;
	struct error *error;

	if ((error = cursor_u8(c, &kind)) || (error = cursor_u8(c, &phase)) || (error = cursor_u8(c, &queued)) ||
	    (error = cursor_u8(c, &reserved)))
		return error;
	if (reserved != 0 || queued > 1)
		return cursor_error(c, "reserved bits are not zero");
	action->kind = kind;
	action->phase = phase;
	action->queued = queued;
	if ((error = cursor_le32(c, &action->order)) || (error = cursor_le32(c, &action->pid)) ||
	    (error = cursor_le64(c, &action->start_ns)) || (error = cursor_le32(c, &signal)) ||
	    (error = cursor_le32(c, &value)))
		return error;
	action->signal = (int32_t)signal;
	action->value = (int32_t)value;
	return cursor_le64(c, &action->flags);
}

static struct error *parse_data(struct cursor *c, struct action *action)
{
	const uint8_t *bytes = NULL;
	struct error *error;
	uint32_t size = 0;

	error = parse_bytes(c, action->kind == ACTION_RUNTIME ? ACTION_RUNTIME_MAX : ACTION_DATA_MAX, &bytes, &size);
	if (error || (size == 0 && action->kind != ACTION_WRITE))
		return error;
	action->data = malloc(size + 1);
	if (!action->data)
		return error_no_memory();
	memcpy(action->data, bytes, size);
	action->size = size;
	return NULL;
}

/* On failure `action` owns what it holds so far. */
static struct error *parse_action(struct cursor *c, struct action *action)
{
	const char *problem;
	struct error *error;
	uint32_t argc;

	if ((error = parse_numbers(c, action)) || (error = parse_optional(c, &action->package)) ||
	    (error = parse_optional(c, &action->script)) || (error = parse_optional(c, &action->verb)) ||
	    (error = parse_optional(c, &action->unit)) || (error = parse_optional(c, &action->path)) ||
	    (error = parse_data(c, action)) || (error = cursor_le32(c, &argc)))
		return error;
	if (argc > PAYLOAD_ARGC_MAX)
		return cursor_error(c, "action with %u words", argc);
	error = argc ? parse_argv(c, argc, &action->argv) : NULL;
	if (error)
		return error;
	problem = action_problem(action);
	return problem ? cursor_error(c, "%s", problem) : NULL;
}

static struct error *parse_actions(struct cursor *c, uint32_t n, struct action_list *list)
{
	for (uint32_t i = 0; i < n; i++) {
		struct action action = {};
		struct error *error = parse_action(c, &action);

		if (error) {
			action_deinit(&action);
			return error_wrap(error, "action %u", i);
		}
		error = action_list_append(list, action);
		if (error)
			return error;
	}
	return NULL;
}

struct error *payload_parse_index(const struct payload_header *header, const uint8_t *index,
				  const struct payload_memory *memory, struct payload *ret)
{
	_cleanup_(payload_deinit) struct payload payload = {.header = *header, .is_borrowed = memory != NULL};
	struct cursor c = cursor_init(index, header->index_size, "payload");
	struct error *error;

	c.base = PAYLOAD_HEADER_SIZE;
	payload.header.n_entries = 0;
	error = parse_entries(&c, header, memory, &payload);
	if (error)
		return error;
	error = parse_actions(&c, header->n_actions, &payload.actions);
	if (error)
		return error;
	if (cursor_left(&c) != 0)
		return cursor_error(&c, "bytes after the last action");
	*ret = payload;
	payload = (struct payload){};
	return NULL;
}

void payload_deinit(struct payload *payload)
{
	for (uint32_t i = 0; payload->entries && !payload->is_borrowed && i < payload->header.n_entries; i++) {
		free(payload->entries[i].change.attributes.xattrs);
		free(payload->entries[i].change.before.attributes.xattrs);
	}
	if (!payload->is_borrowed)
		free(payload->entries);
	action_list_deinit(&payload->actions);
	*payload = (struct payload){};
}
