/* SPDX-License-Identifier: Apache-2.0 */
#include "update/shut_down.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "update/kernel.h"

#define KERNELS_MAX       4096u
#define HOSTNAME_FILE_MAX 4096u

/* False: it is none that we know. */
static bool read_kernel(int root_fd, const char *name, struct guest_uts *ret)
{
	_cleanup_(kernel_names_deinit) struct kernel_names names = {0};
	_cleanup_(free_ptr) uint8_t *head = malloc(KERNEL_HEAD_MAX);
	_cleanup_(free_ptr) char *path = string_format("/boot/%s", name);
	_cleanup_(close_fd) int fd = -1;
	struct error *error = head && path ? io_open_in_root(root_fd, path, O_RDONLY, &fd) : error_no_memory();

	if (!error)
		error = io_pread(fd, head, KERNEL_HEAD_MAX, 0, path);
	if (!error)
		error = kernel_image_names(head, KERNEL_HEAD_MAX, &names);
	if (error || !names.release || strlen(names.release) >= sizeof(ret->release) ||
	    strlen(names.build) >= sizeof(ret->version)) {
		error_destroy(error);
		return false;
	}
	snprintf(ret->release, sizeof(ret->release), "%s", names.release);
	snprintf(ret->version, sizeof(ret->version), "%s", names.build);
	return true;
}

/* Boot loaders take the newest one. */
static struct error *find_newest(int root_fd, struct guest_uts *ret, bool *ret_known)
{
	_cleanup_(closedir_ptr) DIR *directory = NULL;
	struct dirent *entry;
	struct error *error = io_open_directory_in_root(root_fd, "/boot", &directory);

	if (error)
		return error;
	for (unsigned seen = 0; directory && seen < KERNELS_MAX && (entry = readdir(directory)); seen++) {
		struct guest_uts found = *ret;

		if (strncmp(entry->d_name, "vmlinu", 6) != 0 || !read_kernel(root_fd, entry->d_name, &found))
			continue;
		if (*ret_known && strverscmp(found.release, ret->release) <= 0)
			continue;
		*ret = found;
		*ret_known = true;
	}
	return NULL;
}

static void read_hostname(int root_fd, struct guest_uts *uts)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = io_read_in_root(root_fd, "/etc/hostname", HOSTNAME_FILE_MAX, &text, NULL);

	for (const char *line = text; !error && line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t length = strcspn(line, " \t\n");

		if (*line == '#' || length == 0 || length >= sizeof(uts->nodename))
			continue;
		snprintf(uts->nodename, sizeof(uts->nodename), "%.*s", (int)length, line);
		break;
	}
	error_destroy(error);
}

struct error *shut_down_uts(int root_fd, struct guest_uts *ret, bool *ret_known)
{
	struct guest_uts uts = {
		.sysname = "Linux", .nodename = "localhost", .machine = "x86_64", .domainname = "(none)"};
	bool known = false;
	struct error *error = find_newest(root_fd, &uts, &known);

	if (error)
		return error;
	read_hostname(root_fd, &uts);
	*ret = uts;
	*ret_known = known;
	return NULL;
}
