/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dpkg's locks, taken as dpkg and apt take them: fcntl on the whole file, the front end's first.
 * They hang on this process and on no other descriptor of the files being closed by it.
 */
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "apply/transaction.h"
#include "base/io.h"

#define LOCK_POLL_NS (100 * 1000 * 1000)

static const char *const lock_paths[2] = {"var/lib/dpkg/lock-frontend", "var/lib/dpkg/lock"};

/* Absent locks are made, as dpkg does; a guest without dpkg has nothing to lock. */
static struct error *open_lock(struct transaction *t, const char *path, int *ret)
{
	struct error *error;
	const char *name;
	int directory, fd;

	error = tree_parent(&t->tree, path, &directory, &name);
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		return NULL;
	}
	if (error)
		return error;
	fd = openat(directory, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0640);
	if (fd < 0)
		return error_system(errno, path, "cannot open the package manager's lock");
	*ret = fd;
	return NULL;
}

static struct error *wait_for(int fd, const char *path, uint64_t deadline_ns)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	while (fcntl(fd, F_SETLK, &whole) < 0) {
		if (errno != EACCES && errno != EAGAIN && errno != EINTR)
			return error_system(errno, path, "cannot take the package manager's lock");
		if (clock_monotonic_ns() >= deadline_ns)
			return error_recode(conflict(path, "another package manager is at work"), ERROR_BUSY);
		nanosleep(&(struct timespec){.tv_nsec = LOCK_POLL_NS}, NULL);
	}
	return NULL;
}

struct error *transaction_lock(struct transaction *t)
{
	uint64_t deadline = clock_monotonic_ns() + LOCK_WAIT_S * 1000000000ull;

	for (size_t i = 0; i < ARRAY_SIZE(lock_paths); i++) {
		struct error *error = open_lock(t, lock_paths[i], &t->lock_fds[i]);

		if (!error && t->lock_fds[i] >= 0)
			error = wait_for(t->lock_fds[i], lock_paths[i], deadline);
		if (error)
			return error;
	}
	return NULL;
}

void transaction_unlock_inner(struct transaction *t)
{
	close_fd(&t->lock_fds[1]);
	/* To dpkg and apt: the one who started you holds the front end's lock. */
	if (t->lock_fds[0] >= 0)
		setenv("DPKG_FRONTEND_LOCKED", "1", 1);
}

void transaction_unlock(struct transaction *t)
{
	close_fd(&t->lock_fds[1]);
	close_fd(&t->lock_fds[0]);
}
