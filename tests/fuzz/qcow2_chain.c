/* SPDX-License-Identifier: Apache-2.0 */
/* The whole of disk_files(): header, tables, and whatever backing file the header names. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/io.h"
#include "disk/disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct disk_file *files;
	char path[64];
	size_t n;
	struct error *error;

	if (fd < 0)
		fd = memfd_create("image", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) < 0)
		abort();
	error = io_pwrite(fd, data, size, 0, "image");
	if (error)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	error = disk_files(path, "qcow2", &files, &n);
	if (error)
		error_destroy(error);
	else
		disk_files_free(files, n);
	return 0;
}
