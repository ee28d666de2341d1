/* SPDX-License-Identifier: Apache-2.0 */
/* `cat`: contents as the sleeping guest sees them. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/progress.h"
#include "update/session.h"
#include "update/sleeping.h"
#include "update/view.h"

struct update_file {
	struct session session;
	bool has_session;
	struct sleeping sleeping;
	struct view_file found;
	struct disk_keep keep; /* an open file's contents; fd -1: it is `found` by its path */
};

void update_file_close(struct update_file *file)
{
	if (!file)
		return;
	view_file_deinit(&file->found);
	sleeping_close(&file->sleeping);
	if (file->has_session)
		session_close(&file->session);
	close_fd(&file->keep.fd);
	free(file);
}

/* Where the disk is big enough for the guest's files. */
static struct error *make_room(struct update_file *file)
{
	struct error *error = io_mkdirs(file->session.scratch, 0700);

	if (error)
		return error;
	file->keep.fd = open(file->session.scratch, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return file->keep.fd < 0 ? error_system(errno, file->session.scratch, "make a file for what is open") : NULL;
}

static bool was_kept(const struct update_file *file)
{
	size_t n;
	const struct disk_mount *mounts = disk_mounts(file->sleeping.disk, &n);

	for (size_t i = 0; i < n; i++)
		if (mounts[i].newer && mounts[i].newer->kept)
			return true;
	return false;
}

static struct error *open_kept(struct update_file *file, const struct read_options *options)
{
	struct error *error = make_room(file);

	file->keep.inode_address = options->open_file->inode_address;
	file->session.keep = &file->keep;
	if (!error)
		error = sleeping_open(&file->session, MEMORY_NEEDED, &file->sleeping);
	if (error || was_kept(file))
		return error;
	close_fd(&file->keep.fd);
	/* Pages of other file systems, as far as memory has them. */
	file->found.in_memory = true;
	file->found.memory = *options->open_file;
	file->found.memory.name = file->found.memory.link = NULL;
	return NULL;
}

static struct error *open_path(struct update_file *file, const struct read_options *options)
{
	struct error *error = sleeping_open(&file->session, MEMORY_IF_THERE, &file->sleeping);

	return error ? error : view_find(&file->sleeping, options->path, true, &file->found);
}

struct error *update_file_open(const struct update_settings *settings, const char *vm,
			       const struct read_options *options, struct update_file **ret)
{
	struct update_file *file = calloc(1, sizeof(*file));
	struct error *error;

	if (!file)
		return error_no_memory();
	file->keep.fd = file->found.fd = -1;
	error = session_open(settings, vm, SESSION_SHARE, &file->session);
	file->has_session = !error;
	if (!error) {
		file->session.image_options = options->image;
		file->session.guest_options = options->guest;
		error = options->open_file ? open_kept(file, options) : open_path(file, options);
	}
	progress_end();
	if (error) {
		update_file_close(file);
		return error;
	}
	*ret = file;
	return NULL;
}

struct stat update_file_status(const struct update_file *file)
{
	return file->found.status;
}

struct error *update_file_read(struct update_file *file, uint64_t offset, void *buffer, size_t size, size_t *ret)
{
	size_t done = 0;
	ssize_t n = 1;

	if (file->keep.fd < 0)
		return view_read(&file->sleeping, &file->found, offset, buffer, size, ret);
	while (n > 0 && done < size) {
		n = pread(file->keep.fd, (char *)buffer + done, size - done, (off_t)(offset + done));
		done += n > 0 ? (size_t)n : 0;
	}
	if (n < 0)
		return error_system(errno, NULL, "read what was kept of the open file");
	*ret = done;
	return NULL;
}
