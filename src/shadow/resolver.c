/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Name resolution of a run with a network: /etc/resolv.conf names slirp4netns's resolver,
 * whatever the guest has there, and nothing of it reaches the layers.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/internal.h"
#include "shadow/setup.h"

#define RESOLVER_PATH "/etc/resolv.conf"
#define RESOLVER_TEXT "nameserver 10.0.2.3\n"

static int open_followed(int root)
{
	return io_openat2(root, RESOLVER_PATH, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* Creates `path` (below /run, which is a tmpfs of ours) with its directories. */
static struct error *create_in_run(int root, const char *path)
{
	_cleanup_(close_fd) int directory = -1, file = -1;
	const char *p = path + strlen("/run/");
	struct error *error = setup_open(root, "/run", O_RDONLY | O_DIRECTORY, &directory);

	while (!error) {
		size_t n = strcspn(p, "/");
		char name[NAME_MAX + 1];
		int next;

		if (n == 0 || n > NAME_MAX || strncmp(p, "..", n) == 0)
			return error_format(path, ERROR_NO_ADDRESS,
					    "the target of " RESOLVER_PATH " is not understood");
		snprintf(name, sizeof(name), "%.*s", (int)n, p);
		if (p[n] == '\0') {
			file = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
			return file < 0 ? error_system(errno, path, "cannot create")
					: io_write(file, RESOLVER_TEXT, strlen(RESOLVER_TEXT), path);
		}
		if (mkdirat(directory, name, 0755) == 0)
			/* All runs share /run: the guest's root may write there, as in any directory of its own. */
			(void)!fchownat(directory, name, SHADOW_ID_BASE, SHADOW_ID_BASE, AT_SYMLINK_NOFOLLOW);
		else if (errno != EEXIST)
			return error_system(errno, path, "cannot create a directory for");
		next = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return error_system(errno, path, "cannot open a directory of");
		close(directory);
		directory = next;
		p += n + strspn(p + n, "/");
	}
	return error;
}

/* Where a dangling /etc/resolv.conf points, if that is below /run; else NULL. The caller frees. */
static char *target_in_run(int root)
{
	_cleanup_(close_fd) int etc = -1;
	struct error *error = setup_open(root, "/etc", O_PATH | O_DIRECTORY, &etc);
	char target[PATH_MAX];
	const char *path = target;
	ssize_t n;

	if (error) {
		error_destroy(error);
		return NULL;
	}
	n = readlinkat(etc, "resolv.conf", target, sizeof(target) - 1);
	if (n <= 0)
		return NULL;
	target[n] = '\0';
	/* "../run/…" as systemd-resolved's package writes it. */
	if (strncmp(path, "../", 3) == 0)
		path += 2;
	return strncmp(path, "/run/", 5) == 0 ? strdup(path) : NULL;
}

/*
 * A guest without the file: /etc with the file in it, as a read-only overlay over /etc. Nothing
 * can be written to /etc in such a run, which only downloads.
 */
static struct error *show_etc(struct setup_state *state)
{
	_cleanup_(close_fd) int etc = -1, extra = -1, file = -1, fs = -1, mount = -1;
	struct error *error = setup_open(state->root, "/etc", O_RDONLY | O_DIRECTORY, &etc);
	char lower[96];

	if (error)
		return error;
	if (mkdirat(state->stage, "etc", 0755) < 0)
		return error_system(errno, RESOLVER_PATH, "cannot prepare");
	extra = openat(state->stage, "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (extra < 0)
		return error_system(errno, RESOLVER_PATH, "cannot prepare");
	file = openat(extra, "resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (file < 0)
		return error_system(errno, RESOLVER_PATH, "cannot prepare");
	error = io_write(file, RESOLVER_TEXT, strlen(RESOLVER_TEXT), RESOLVER_PATH);
	if (error)
		return error;
	fs = fsopen("overlay", FSOPEN_CLOEXEC);
	snprintf(lower, sizeof(lower), "/proc/self/fd/%d:/proc/self/fd/%d", extra, etc);
	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", lower, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_system(errno, RESOLVER_PATH, "cannot lay it over the guest's /etc");
	mount = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY);
	if (mount < 0)
		return error_system(errno, RESOLVER_PATH, "cannot lay it over the guest's /etc");
	return setup_attach(state->root, mount, "/etc");
}

struct error *resolver_show(struct setup_state *state)
{
	_cleanup_(close_fd) int found = open_followed(state->root);
	_cleanup_(free_ptr) char *target = NULL;
	struct stat st;

	if (found >= 0) {
		if (fstat(found, &st) < 0 || !S_ISREG(st.st_mode))
			return error_format(RESOLVER_PATH, ERROR_NO_ADDRESS, "not a file");
		return setup_bind_text(state, found, RESOLVER_PATH, RESOLVER_TEXT);
	}
	target = target_in_run(state->root);
	return target ? create_in_run(state->root, target) : show_etc(state);
}
