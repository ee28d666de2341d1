/* SPDX-License-Identifier: Apache-2.0 */
#include "builder.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/io.h"
#include "tests/unit/test.h"

#define CHECKED(call)                                                                                                  \
	do {                                                                                                           \
		if ((call) < 0)                                                                                        \
			fail_msg("%s: %s", #call, strerror(errno));                                                    \
	} while (0)

size_t builder_entries_max = 100000;

void builder_init(struct builder *b, const char *root)
{
	*b = (struct builder){.root = root};
	b->entries = calloc(builder_entries_max, sizeof(*b->entries));
	assert_non_null(b->entries);
}

static void attributes_free(struct change_attributes *a)
{
	for (size_t i = 0; i < a->n_xattrs; i++) {
		free(a->xattrs[i].name);
		free(a->xattrs[i].value);
	}
	free(a->xattrs);
}

void builder_deinit(struct builder *b)
{
	for (size_t i = 0; i < b->n_entries; i++) {
		struct change *c = &b->entries[i].change;

		attributes_free(&c->attributes);
		attributes_free(&c->before.attributes);
		free(c->before.target);
		free(c->path);
		free(c->target);
		free(b->entries[i].content);
	}
	free(b->entries);
	free(b->bytes);
	action_list_deinit(&b->actions);
}

static void digest(const void *bytes, size_t size, uint8_t ret[SHA256_SIZE])
{
	struct sha256 *hash = sha256_create();

	assert_non_null(hash);
	sha256_update(hash, bytes, size);
	sha256_final(hash, ret);
	sha256_destroy(hash);
}

static int compare_xattrs(const void *a, const void *b)
{
	return strcmp(((const struct change_xattr *)a)->name, ((const struct change_xattr *)b)->name);
}

static void add_xattr(struct change_attributes *a, const char *name, const void *value, size_t size)
{
	a->xattrs = reallocarray(a->xattrs, a->n_xattrs + 1, sizeof(*a->xattrs));
	assert_non_null(a->xattrs);
	a->xattrs[a->n_xattrs].name = strdup(name);
	a->xattrs[a->n_xattrs].value = memcpy(malloc(size + 1), value, size);
	a->xattrs[a->n_xattrs++].size = size;
	qsort(a->xattrs, a->n_xattrs, sizeof(*a->xattrs), compare_xattrs);
}

static void read_xattrs(const char *path, struct change_attributes *a)
{
	char names[4096], value[4096];
	ssize_t n = llistxattr(path, names, sizeof(names));

	for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
		ssize_t size = lgetxattr(path, p, value, sizeof(value));

		CHECKED(size);
		add_xattr(a, p, value, size);
	}
}

static void read_preimage(const struct builder *b, const char *name, struct change_preimage *before)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", b->root, name);
	_cleanup_(close_fd) int fd = -1;
	char target[4096] = "";
	struct stat s;

	if (lstat(path, &s) < 0)
		return;
	*before = (struct change_preimage){
		.exists = true,
		.attributes = {.mode = s.st_mode,
			       .uid = s.st_uid,
			       .gid = s.st_gid,
			       .mtime_s = s.st_mtim.tv_sec,
			       .mtime_ns = s.st_mtim.tv_nsec},
		.inode = s.st_ino,
		.size = S_ISDIR(s.st_mode) ? 0 : s.st_size,
		.nlink = s.st_nlink,
		.ctime_s = s.st_ctim.tv_sec,
		.ctime_ns = s.st_ctim.tv_nsec,
		.rdev = s.st_rdev,
	};
	read_xattrs(path, &before->attributes);
	if (S_ISLNK(s.st_mode))
		CHECKED(readlink(path, target, sizeof(target) - 1));
	before->target = strdup(target);
	if (S_ISREG(s.st_mode)) {
		CHECKED(fd = open(path, O_RDONLY));
		assert_null(sha256_fd(fd, path, before->sha256));
	}
}

struct builder_entry *builder_add_fresh(struct builder *b, enum change_kind kind, const char *path, uint32_t mode)
{
	struct builder_entry *e = &b->entries[b->n_entries++];

	assert_true(b->n_entries <= builder_entries_max);
	e->change = (struct change){
		.kind = kind,
		.path = strdup(path),
		.target = strdup(""),
		.attributes = {.mode = mode, .mtime_s = 1700000000 + b->n_entries, .mtime_ns = 123456789},
	};
	return e;
}

struct builder_entry *builder_add(struct builder *b, enum change_kind kind, const char *path, uint32_t mode)
{
	struct builder_entry *e = builder_add_fresh(b, kind, path, mode);

	read_preimage(b, path, &e->change.before);
	return e;
}

void builder_content(struct builder_entry *e, const void *content, size_t size)
{
	e->content = memcpy(malloc(size + 1), content, size);
	e->change.size = size;
	digest(content, size, e->change.sha256);
}

void builder_share(const struct builder *b, struct builder_entry *e, const struct builder_entry *carrier)
{
	builder_content(e, carrier->content, carrier->change.size);
	e->flags |= PAYLOAD_ENTRY_SHARED;
	e->carrier = carrier - b->entries;
}

void builder_target(struct builder_entry *e, const char *target)
{
	free(e->change.target);
	e->change.target = strdup(target);
}

void builder_xattr(struct builder_entry *e, const char *name, const void *value, size_t size)
{
	add_xattr(&e->change.attributes, name, value, size);
}

/* --- the bytes --- */

static void put(FILE *f, const void *bytes, size_t size)
{
	assert_true(size == 0 || fwrite(bytes, size, 1, f) == 1);
}

static void put8(FILE *f, uint8_t x)
{
	put(f, &x, 1);
}

static void put32(FILE *f, uint32_t x)
{
	put(f, (uint8_t[]){x, x >> 8, x >> 16, x >> 24}, 4);
}

static void put64(FILE *f, uint64_t x)
{
	put32(f, x);
	put32(f, x >> 32);
}

static void put_string(FILE *f, const char *s)
{
	put32(f, strlen(s));
	put(f, s, strlen(s) + 1);
}

static void put_attributes(FILE *f, const struct change_attributes *a)
{
	put32(f, a->mode);
	put32(f, a->uid);
	put32(f, a->gid);
	put64(f, a->mtime_s);
	put32(f, a->mtime_ns);
	put32(f, a->n_xattrs);
	for (size_t i = 0; i < a->n_xattrs; i++) {
		put_string(f, a->xattrs[i].name);
		put32(f, a->xattrs[i].size);
		put(f, a->xattrs[i].value, a->xattrs[i].size);
	}
}

static void put_preimage(FILE *f, const struct change_preimage *p)
{
	put8(f, p->exists);
	if (!p->exists)
		return;
	put_attributes(f, &p->attributes);
	put64(f, p->inode);
	put64(f, p->size);
	put32(f, p->nlink);
	put64(f, p->ctime_s);
	put32(f, p->ctime_ns);
	put64(f, p->rdev);
	put(f, p->sha256, SHA256_SIZE);
	put_string(f, p->target ? p->target : "");
}

static void put_entry(FILE *f, const struct builder_entry *e, uint64_t *offset)
{
	const struct change *c = &e->change;
	bool carries = c->kind == CHANGE_WRITE && !(e->flags & PAYLOAD_ENTRY_SHARED);

	put8(f, c->kind);
	put8(f, e->flags);
	put(f, "\0", 2);
	put_string(f, c->path);
	put_string(f, c->target);
	put_attributes(f, &c->attributes);
	put64(f, c->size);
	put64(f, c->rdev);
	put(f, c->sha256, SHA256_SIZE);
	put64(f, carries ? *offset : e->carrier);
	put64(f, c->kind == CHANGE_WRITE ? checksum_of(e->content, c->size) : 0);
	put_preimage(f, &c->before);
	if (carries)
		*offset += (c->size + PAYLOAD_ALIGNMENT - 1) / PAYLOAD_ALIGNMENT * PAYLOAD_ALIGNMENT;
}

static void put_optional(FILE *f, const char *text)
{
	put_string(f, text ? text : "");
}

static void put_action(FILE *f, const struct action *a)
{
	uint32_t argc = 0;

	while (a->argv && a->argv[argc])
		argc++;
	put(f, (uint8_t[]){a->kind, a->phase, a->queued, 0}, 4);
	put32(f, a->order);
	put32(f, a->pid);
	put64(f, a->start_ns);
	put32(f, (uint32_t)a->signal);
	put32(f, (uint32_t)a->value);
	put64(f, a->flags);
	put_optional(f, a->package);
	put_optional(f, a->script);
	put_optional(f, a->verb);
	put_optional(f, a->unit);
	put_optional(f, a->path);
	put32(f, (uint32_t)a->size);
	put(f, a->data, a->size);
	put32(f, argc);
	for (uint32_t i = 0; i < argc; i++)
		put_string(f, a->argv[i]);
}

static void pad(FILE *f)
{
	while (ftell(f) % PAYLOAD_ALIGNMENT)
		fputc(0, f);
}

void builder_write(struct builder *b, const char *path)
{
	_cleanup_(free_ptr) char *index = NULL;
	uint8_t index_digest[SHA256_SIZE];
	size_t index_size;
	uint64_t content = 0;
	FILE *f = open_memstream(&index, &index_size);

	for (size_t i = 0; i < b->n_entries; i++)
		put_entry(f, &b->entries[i], &content);
	for (size_t i = 0; i < b->actions.n; i++)
		put_action(f, &b->actions.items[i]);
	fclose(f);
	digest(index, index_size, index_digest);

	free(b->bytes);
	f = open_memstream(&b->bytes, &b->size);
	put(f, PAYLOAD_MAGIC, 8);
	put32(f, PAYLOAD_VERSION);
	put32(f, 0);
	put64(f, index_size);
	put64(f, content);
	put32(f, b->n_entries);
	put32(f, b->actions.n);
	put(f, index_digest, SHA256_SIZE);
	put64(f, 0);
	put(f, index, index_size);
	pad(f);
	b->content_start = ftell(f);
	for (size_t i = 0; i < b->n_entries; i++) {
		if (b->entries[i].content && !(b->entries[i].flags & PAYLOAD_ENTRY_SHARED))
			put(f, b->entries[i].content, b->entries[i].change.size);
		pad(f);
	}
	fclose(f);
	digest(b->bytes, PAYLOAD_HEADER_SIZE, b->sha256);
	sha256_to_hex(b->sha256, b->hex);
	if (path)
		assert_null(io_replace_file(path, b->bytes, b->size, 0600));
}

/* --- the plainest way --- */

static void remove_old(const char *path)
{
	if (unlink(path) < 0 && (errno == EISDIR || errno == EPERM))
		CHECKED(rmdir(path));
}

static void set_reference_attributes(const char *path, const struct change *c)
{
	const struct change_attributes *a = &c->attributes;
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = a->mtime_s, .tv_nsec = a->mtime_ns}};

	CHECKED(lchown(path, a->uid, a->gid));
	if (!S_ISLNK(a->mode))
		CHECKED(chmod(path, a->mode & 07777));
	for (size_t i = 0; i < c->before.attributes.n_xattrs; i++)
		lremovexattr(path, c->before.attributes.xattrs[i].name);
	for (size_t i = 0; i < a->n_xattrs; i++)
		CHECKED(lsetxattr(path, a->xattrs[i].name, a->xattrs[i].value, a->xattrs[i].size, 0));
	CHECKED(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

static void reference_entry(const struct builder_entry *e, const char *root)
{
	const struct change *c = &e->change;
	_cleanup_(free_ptr) char *path = string_format("%s/%s", root, c->path);
	_cleanup_(free_ptr) char *target = string_format("%s/%s", root, c->target);

	if (c->kind != CHANGE_ATTRIBUTES)
		remove_old(path);
	switch (c->kind) {
	case CHANGE_WRITE:
		assert_null(io_replace_file(path, e->content, c->size, 0600));
		break;
	case CHANGE_DIRECTORY:
		CHECKED(mkdir(path, 0700));
		break;
	case CHANGE_SYMLINK:
		CHECKED(symlink(c->target, path));
		break;
	case CHANGE_FIFO:
	case CHANGE_DEVICE:
		CHECKED(mknod(path, c->attributes.mode, c->rdev));
		break;
	case CHANGE_LINK:
		CHECKED(link(target, path));
		return;
	case CHANGE_DELETE:
		return;
	case CHANGE_ATTRIBUTES:
		break;
	}
	set_reference_attributes(path, c);
}

void builder_reference(const struct builder *b, const char *root)
{
	for (size_t i = 0; i < b->n_entries; i++)
		reference_entry(&b->entries[i], root);
	/* A directory's time was changed by what came into it. */
	for (size_t i = b->n_entries; i-- > 0;) {
		const struct change *c = &b->entries[i].change;
		_cleanup_(free_ptr) char *path = string_format("%s/%s", root, c->path);

		if (c->kind == CHANGE_DIRECTORY)
			set_reference_attributes(path, c);
	}
	for (size_t i = 0; i < b->n_entries; i++)
		if (b->entries[i].change.kind == CHANGE_ATTRIBUTES)
			reference_entry(&b->entries[i], root);
}
