/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "image/xen.h"

#define CONFIG_MAX (1u << 20) /* some kilobytes are usual */

/* Whoever only looks what a file is must not wait for a fifo's writer. */
static struct error *open_save(const char *path, struct image_file *ret)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_system(errno, path, "cannot open the save file");
	if (!S_ISREG(st.st_mode))
		return error_format(path, ERROR_NO_ADDRESS, "the save file is not a regular file");
	ret->path = strdup(path);
	if (!ret->path)
		return error_no_memory();
	ret->size = (uint64_t)st.st_size;
	ret->fd = take_fd(fd);
	return NULL;
}

static struct error *read_config(const struct image_file *file, char **ret)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct xen_layout layout = {0};
	struct error *error = xen_layout_read(file, &layout);

	if (error)
		return error;
	if (layout.config_size > CONFIG_MAX)
		return error_format(file->path, layout.config, "a configuration of %u bytes", layout.config_size);
	text = malloc((size_t)layout.config_size + 1);
	if (!text)
		return error_no_memory();
	error = image_file_read(file, text, layout.config_size, layout.config);
	text[layout.config_size] = '\0';
	if (!error)
		*ret = take_ptr(text);
	return error;
}

struct error *image_xen_config(const char *path, char **ret)
{
	struct image_file file = {.fd = -1};
	struct error *error = open_save(path, &file);

	if (!error)
		error = read_config(&file, ret);
	image_file_deinit(&file);
	return error;
}

bool image_is_xen_save(const char *path)
{
	struct image_file file = {.fd = -1};
	uint8_t head[IMAGE_PROBE_SIZE];
	struct error *error = open_save(path, &file);
	size_t size = file.size < sizeof(head) ? file.size : sizeof(head);
	bool is_save;

	if (!error)
		error = image_file_read(&file, head, size, 0);
	is_save = !error && xen_save_ops.probe(head, size);
	error_destroy(error);
	image_file_deinit(&file);
	return is_save;
}
