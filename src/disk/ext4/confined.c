/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In this order: what it has inherited is closed, its root becomes an empty directory, its id one that owns nothing,
 * system calls are filtered. Only then the first byte of the file system is read.
 */
#include "disk/ext4/confined.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "base/io.h"
#include "disk/confine.h"
#include "disk/ext4/server.h"

/* Tables of groups, directories as a whole, buffers: far more than an honest file system takes. */
#define DATA_MAX (UINT64_C(1) << 30)

enum {
	FD_DISK = 3,
	FD_FUSE,
	FD_SOCKET,
	FD_ROOT,
	N_FDS
};

static struct error *arrange_descriptors(const struct confined_options *options)
{
	const int from[] = {options->mount->disk_fd, options->fuse_fd, options->socket};
	_cleanup_(close_fd) int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int copies[ARRAY_SIZE(from)];

	if (null_fd < 0)
		return error_system(errno, "/dev/null", "open");
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		copies[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 64);
		if (copies[i] < 0)
			return error_system(errno, NULL, "cannot duplicate a descriptor");
	}
	for (int fd = 0; fd < FD_DISK; fd++)
		if (dup2(null_fd, fd) < 0)
			return error_system(errno, NULL, "cannot duplicate a descriptor");
	for (size_t i = 0; i < ARRAY_SIZE(from); i++)
		if (dup2(copies[i], FD_DISK + (int)i) < 0)
			return error_system(errno, NULL, "cannot duplicate a descriptor");
	null_fd = -1; /* closed with the rest */
	if (close_range(FD_ROOT, ~0U, 0) < 0)
		return error_system(errno, NULL, "cannot close descriptors");
	return NULL;
}

static _Noreturn void report(struct error *error)
{
	struct confined_report report = {0};

	if (error) {
		report.code = (int)error->code;
		snprintf(report.text, sizeof(report.text), "%s", error->message);
	}
	(void)!send(FD_SOCKET, &report, sizeof(report), MSG_NOSIGNAL);
	_exit(1);
}

_Noreturn void confined_run(const struct confined_options *options)
{
	struct ext4_server_options server_options = {
		.disk_fd = FD_DISK,
		.start = options->mount->start,
		.size = options->mount->size,
		.shift = options->mount->shift,
		.fuse_fd = FD_FUSE,
		.threads = options->threads,
	};
	const struct confine_options confine_options = {
		.directory = options->mount->directory, .parent = options->parent, .data_max = DATA_MAX};
	const struct confined_report ready = {0};
	struct ext4_server *server;
	struct error *error;
	char byte;

	/* Where to say so is not known before. */
	error = arrange_descriptors(options);
	if (error)
		_exit(1);
	error = confine(&confine_options);
	if (!error)
		error = ext4_server_create(&server_options, &server);
	if (error)
		report(error);
	/* A descriptor of FUSE cannot be read before it is mounted. The end: it will not be. */
	if (send(FD_SOCKET, &ready, sizeof(ready), MSG_NOSIGNAL) < 0 || read(FD_SOCKET, &byte, 1) != 1)
		_exit(1);
	close(FD_SOCKET);
	error = ext4_server_serve(server);
	_exit(error ? 1 : 0);
}
