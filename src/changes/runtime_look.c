/* SPDX-License-Identifier: Apache-2.0 */
/* What is at a name right now. Linked into the guest helper, as runtime.c. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "changes/changes.h"

void runtime_look_deinit(struct runtime_look *look)
{
	free(look->target);
	free(look->content);
	*look = (struct runtime_look){};
}

struct error *runtime_hash(const uint8_t *content, size_t size, uint8_t digest[SHA256_SIZE])
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *hash = sha256_create();

	if (!hash)
		return error_no_memory();
	sha256_update(hash, content, size);
	sha256_final(hash, digest);
	return NULL;
}

/* Up to one byte more than is wanted, which a file has that grows meanwhile. */
static struct error *read_some(int fd, const char *name, uint8_t *content, size_t *ret)
{
	size_t n = 0;

	while (n <= ACTION_RUNTIME_MAX) {
		ssize_t part = read(fd, content + n, ACTION_RUNTIME_MAX + 1 - n);

		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0)
			return error_system(errno, name, "cannot read");
		if (part == 0)
			break;
		n += (size_t)part;
	}
	*ret = n;
	return NULL;
}

/* Thousands are kept at once, of a few bytes each. */
static uint8_t *shrink(uint8_t *content, size_t n)
{
	uint8_t *smaller = realloc(content, n ? n : 1);

	return smaller ? smaller : content;
}

static struct error *look_at_content(int directory, const char *name, struct runtime_look *look)
{
	_cleanup_(close_fd) int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	_cleanup_(free_ptr) uint8_t *content = malloc(ACTION_RUNTIME_MAX + 1);
	struct error *error;
	struct stat st;
	size_t n = 0;

	if (!content)
		return error_no_memory();
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_system(errno, name, "cannot open");
	/* Somebody put something else there; it is not what was meant either way. */
	if (!S_ISREG(st.st_mode) || st.st_ino != look->inode) {
		look->state.type = RUNTIME_OTHER;
		return NULL;
	}
	error = read_some(fd, name, content, &n);
	if (error || n > ACTION_RUNTIME_MAX)
		return error;
	look->state.size = n;
	look->state.has_content = true;
	error = runtime_hash(content, n, look->state.sha256);
	look->content = shrink(take_ptr(content), n);
	return error;
}

static struct error *look_at_link(int directory, const char *name, struct runtime_look *look)
{
	char text[PATH_MAX];
	ssize_t n = readlinkat(directory, name, text, sizeof(text));

	if (n < 0)
		return error_system(errno, name, "cannot read the link");
	if ((size_t)n == sizeof(text))
		look->state.type = RUNTIME_OTHER;
	look->target = strndup(text, (size_t)n);
	look->state.target = look->target;
	return look->target ? NULL : error_no_memory();
}

static enum runtime_type type_of(mode_t mode)
{
	if (S_ISREG(mode))
		return RUNTIME_FILE;
	if (S_ISDIR(mode))
		return RUNTIME_DIRECTORY;
	return S_ISLNK(mode) ? RUNTIME_SYMLINK : RUNTIME_OTHER;
}

struct error *runtime_look(int directory, const char *name, bool with_content, struct runtime_look *ret)
{
	_cleanup_(runtime_look_deinit) struct runtime_look look = {};
	struct error *error = NULL;
	struct stat st;

	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			return error_system(errno, name, "cannot look at");
		*ret = (struct runtime_look){.state.type = RUNTIME_ABSENT};
		return NULL;
	}
	look.inode = st.st_ino;
	look.ctime_s = st.st_ctim.tv_sec;
	look.ctime_ns = (uint32_t)st.st_ctim.tv_nsec;
	look.size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	look.state = (struct runtime_state){
		.type = type_of(st.st_mode), .mode = st.st_mode & 07777, .uid = st.st_uid, .gid = st.st_gid};
	if (look.state.type == RUNTIME_FILE && with_content)
		error = look_at_content(directory, name, &look);
	if (look.state.type == RUNTIME_SYMLINK)
		error = look_at_link(directory, name, &look);
	if (error)
		return error;
	*ret = look;
	look = (struct runtime_look){};
	return NULL;
}
