/* SPDX-License-Identifier: Apache-2.0 */
/* See shadow/sys_security.h. */
#include "shadow/sys_security.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "shadow/internal.h"
#include "shadow/setup.h"

#define DIRECTORY "apparmor/features"

static struct error *make_directory(int fd, const char *path)
{
	if (mkdirat(fd, path, 0755) < 0 || fchownat(fd, path, SHADOW_ID_BASE, SHADOW_ID_BASE, AT_SYMLINK_NOFOLLOW) < 0)
		return error_system(errno, path, "cannot create the directory");
	return NULL;
}

static struct error *make_file(int fd, const char *path, const char *text)
{
	_cleanup_(close_fd) int file = openat(fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	struct error *error;

	if (file < 0)
		return error_system(errno, path, "cannot create");
	error = io_write(file, text, strlen(text), path);
	if (!error && (fchown(file, SHADOW_ID_BASE, SHADOW_ID_BASE) < 0 || fchmod(file, 0444) < 0))
		error = error_system(errno, path, "cannot set owner and mode");
	return error;
}

/*
 * Every part of a path is a name, and its directory was made here: no link can be on the way. Of a guest that lies, two
 * of one name, the rest is missing: its cache is then one that no kernel asks for.
 */
static struct error *make_features(int fd, const struct guest_apparmor_features *features)
{
	struct error *error = make_directory(fd, "apparmor");

	if (!error)
		error = make_directory(fd, DIRECTORY);
	for (size_t i = 0; !error && i < features->n; i++) {
		const struct guest_apparmor_feature *feature = &features->items[i];
		_cleanup_(free_ptr) char *path = string_format(DIRECTORY "/%s", feature->path);

		if (!path)
			return error_no_memory();
		error = feature->text ? make_file(fd, path, feature->text) : make_directory(fd, path);
	}
	return error;
}

struct error *sys_security_make(struct shadow *shadow, int fd)
{
	struct guest_apparmor_features features = {0};
	struct error *error = guest_apparmor_features(shadow->guest, &features);

	/* A kernel without AppArmor, or before what we know of it, is nothing to be told of. */
	if (error && (error->code == ERROR_NOT_FOUND || error->code == ERROR_UNSUPPORTED)) {
		log_debug("%s", error->message);
		error_destroy(error);
		return NULL;
	}
	if (!error)
		error = make_features(fd, &features);
	guest_apparmor_features_deinit(&features);
	return error;
}
