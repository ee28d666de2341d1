/* SPDX-License-Identifier: Apache-2.0 */
#include "update/kernel.h"

#include <string.h>
#include <unistd.h>

#include "base/io.h"

#define IMAGE_PREFIX   "boot/vmlinuz"

/* The boot protocol of x86, Documentation/arch/x86/boot.rst: "HdrS", and where the version is, less 0x200. */
#define MAGIC_OFFSET   0x202
#define VERSION_OFFSET 0x20e
#define VERSION_BASE   0x200
#define VERSION_MAX    512

void kernel_names_deinit(struct kernel_names *names)
{
	free(names->release);
	free(names->build);
	*names = (struct kernel_names){0};
}

static bool printable(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return size > 0;
}

/* "RELEASE (who@where) #BUILD", as arch/x86/boot/version.c has it since 2.6; only the whole of it is taken. */
static struct error *split(const char *text, size_t size, struct kernel_names *ret)
{
	const char *end = memchr(text, ' ', size), *build = memmem(text, size, " #", 2);
	struct kernel_names names = {0};

	if (!printable(text, size) || !end || end == text || !build)
		return NULL;
	names.release = strndup(text, (size_t)(end - text));
	names.build = strndup(build + 1, size - (size_t)(build + 1 - text));
	if (!names.release || !names.build) {
		kernel_names_deinit(&names);
		return error_no_memory();
	}
	*ret = names;
	return NULL;
}

struct error *kernel_image_names(const uint8_t *head, size_t size, struct kernel_names *ret)
{
	size_t at, length;

	if (size < VERSION_OFFSET + 2 || memcmp(head + MAGIC_OFFSET, "HdrS", 4) != 0)
		return NULL;
	at = head[VERSION_OFFSET] | (size_t)head[VERSION_OFFSET + 1] << 8;
	if (at == 0 || (at += VERSION_BASE) >= size)
		return NULL;
	length = strnlen((const char *)head + at, size - at < VERSION_MAX ? size - at : VERSION_MAX);
	return split((const char *)head + at, length, ret);
}

static struct error *read_head(const struct change_layer *layers, size_t n_layers, const struct change *change,
			       struct kernel_names *ret)
{
	_cleanup_(free_ptr) uint8_t *head = malloc(KERNEL_HEAD_MAX);
	_cleanup_(close_fd) int fd = -1;
	struct error *error;
	size_t size = 0;
	ssize_t n = 1;

	if (!head)
		return error_no_memory();
	error = changes_open_content(layers, n_layers, change, &fd);
	if (error)
		return error;
	while (size < KERNEL_HEAD_MAX && n > 0) {
		n = read(fd, head + size, KERNEL_HEAD_MAX - size);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			return error_system(errno, change->path, "cannot read");
		else
			size += (size_t)n;
	}
	return kernel_image_names(head, size, ret);
}

/* Of an image that does not tell, its file name does, where that is made of the release: not "vmlinuz-linux". */
static struct error *name_of(const struct change_layer *layers, size_t n_layers, const struct change *change,
			     struct kernel_names *ret)
{
	const char *suffix = change->path + strlen(IMAGE_PREFIX);
	struct error *error = read_head(layers, n_layers, change, ret);

	if (error || ret->release || suffix[0] != '-' || suffix[1] < '0' || suffix[1] > '9' ||
	    !printable(suffix, strlen(suffix)))
		return error;
	ret->release = strdup(suffix + 1);
	return ret->release ? NULL : error_no_memory();
}

static bool is_image(const struct change *change)
{
	/* A rescue image is a copy of a kernel that is there under its own name. */
	return change->kind == CHANGE_WRITE && !strncmp(change->path, IMAGE_PREFIX, strlen(IMAGE_PREFIX)) &&
	       !strchr(change->path + strlen(IMAGE_PREFIX), '/') && !strstr(change->path, "rescue");
}

static bool goes(const struct change_list *changes, const char *release)
{
	for (size_t i = 0; i < changes->n; i++)
		if (changes->items[i].kind == CHANGE_DELETE && !strncmp(changes->items[i].path, IMAGE_PREFIX "-", 13) &&
		    !strcmp(changes->items[i].path + 13, release))
			return true;
	return false;
}

static bool runs_after_reboot(const struct change_list *changes, const struct guest_uts *running,
			      const struct kernel_names *names)
{
	int order = running ? strverscmp(names->release, running->release) : 1;

	if (order == 0)
		return names->build && strcmp(names->build, running->version) != 0;
	/* What a boot loader's menu begins with is the highest that there is. */
	return order > 0 || goes(changes, running->release);
}

struct error *kernel_pending(const struct change_layer *layers, size_t n_layers, const struct change_list *changes,
			     const struct guest_uts *running, struct kernel_names *ret)
{
	struct kernel_names found = {0};
	struct error *error = NULL;

	for (size_t i = 0; i < changes->n && !error; i++) {
		_cleanup_(kernel_names_deinit) struct kernel_names names = {0};

		if (!is_image(&changes->items[i]))
			continue;
		error = name_of(layers, n_layers, &changes->items[i], &names);
		if (error || !names.release || !runs_after_reboot(changes, running, &names) ||
		    (found.release && strverscmp(names.release, found.release) <= 0))
			continue;
		kernel_names_deinit(&found);
		found = names;
		names = (struct kernel_names){0};
	}
	if (error)
		kernel_names_deinit(&found);
	else
		*ret = found;
	return error;
}
