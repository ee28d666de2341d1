/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The number of a node is that of the inode, so that nothing has to be remembered of what the kernel knows; but for
 * the root, which is 1 to FUSE and 2 to ext4. Files and directories are not opened: the kernel is told that there is
 * nothing to open, and keeps their contents.
 */
#define FUSE_USE_VERSION 35

#include "disk/ext4/server.h"

#include <fuse3/fuse_lowlevel.h>
#include <linux/fs.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

/* As long as the kernel likes. */
#define FOREVER_S      (365.0 * 86400)
#define READ_MAX       (1u << 20)
/* Read ahead, and so asked for at once; more than the default of 12 keeps all threads busy. */
#define BACKGROUND_MAX 64

struct worker {
	struct ext4_server *server;
	pthread_t thread;
	struct reader *reader;
	char *buffer; /* READ_MAX */
};

struct ext4_server {
	struct image *image;
	struct listings *listings;
	struct shift shift;
	struct fuse_session *session;
	struct worker workers[EXT4_SERVER_THREADS_MAX];
	unsigned n_workers;
};

/* Whose thread this is. */
static __thread struct worker *self;

static uint32_t inode_of(fuse_ino_t node)
{
	return node == FUSE_ROOT_ID ? EXT2_ROOT_INO : (uint32_t)node;
}

/* Number 1 is that of bad blocks in ext4, and no file: it cannot be taken for the root. */
static fuse_ino_t node_of(uint32_t inode)
{
	return inode == EXT2_ROOT_INO ? FUSE_ROOT_ID : inode;
}

static int get_attributes(uint32_t inode, struct stat *ret)
{
	int r = reader_stat(self->reader, inode, ret);

	if (r)
		return r;
	ret->st_uid = shift_id(self->server->shift, ret->st_uid);
	ret->st_gid = shift_id(self->server->shift, ret->st_gid);
	return 0;
}

static int fill_entry(uint32_t inode, struct fuse_entry_param *ret)
{
	struct ext2_inode_large raw;
	int r = inode == EXT2_BAD_INO ? EIO : reader_inode(self->reader, inode, &raw);

	*ret = (struct fuse_entry_param){.ino = node_of(inode), .attr_timeout = FOREVER_S, .entry_timeout = FOREVER_S};
	if (r == 0)
		ret->generation = reader_generation(&raw);
	if (r == 0)
		r = get_attributes(inode, &ret->attr);
	/* A name of what does not exist is damage; the name is there. */
	return r == ESTALE ? EIO : r;
}

static void serve_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry;
	uint32_t inode;
	int r = reader_lookup(self->reader, inode_of(parent), name, &inode);

	if (r == 0)
		r = fill_entry(inode, &entry);
	/* Without a node: an answer that the kernel keeps. */
	if (r == ENOENT) {
		entry = (struct fuse_entry_param){.entry_timeout = FOREVER_S};
		r = 0;
	}
	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_entry(req, &entry);
}

/* A number says all there is to know of its node. */
static void serve_forget(fuse_req_t req, fuse_ino_t node, uint64_t n)
{
	(void)node, (void)n;
	fuse_reply_none(req);
}

static void serve_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *forgets)
{
	(void)n, (void)forgets;
	fuse_reply_none(req);
}

static void serve_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct stat st;
	int r = get_attributes(inode_of(node), &st);

	(void)fi;
	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_attr(req, &st, FOREVER_S);
}

static void serve_readlink(fuse_req_t req, fuse_ino_t node)
{
	char target[4096];
	int r = reader_readlink(self->reader, inode_of(node), target, sizeof(target));

	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_readlink(req, target);
}

/* The kernel takes this for "never ask again", and keeps what it reads. */
static void serve_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node, (void)fi;
	fuse_reply_err(req, ENOSYS);
}

static void serve_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	size_t n;
	int r;

	(void)fi;
	if (size > READ_MAX)
		size = READ_MAX;
	r = offset < 0 ? EINVAL : reader_read(self->reader, inode_of(node), (uint64_t)offset, self->buffer, size, &n);
	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_buf(req, self->buffer, n);
}

static void serve_lseek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence, struct fuse_file_info *fi)
{
	uint64_t found = 0;
	int r = offset < 0 ? ENXIO : reader_seek(self->reader, inode_of(node), (uint64_t)offset, whence, &found);

	(void)fi;
	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_lseek(req, (off_t)found);
}

/* ---- Directories ---- */

/* Adds one entry; returns its size, more than `space` if there is no room. */
static size_t put_entry(fuse_req_t req, const struct listing *listing, uint32_t index, char *buffer, size_t space,
			bool plus)
{
	static const uint8_t types[] = {
		[EXT2_FT_REG_FILE] = S_IFREG >> 12, [EXT2_FT_DIR] = S_IFDIR >> 12,  [EXT2_FT_CHRDEV] = S_IFCHR >> 12,
		[EXT2_FT_BLKDEV] = S_IFBLK >> 12,   [EXT2_FT_FIFO] = S_IFIFO >> 12, [EXT2_FT_SOCK] = S_IFSOCK >> 12,
		[EXT2_FT_SYMLINK] = S_IFLNK >> 12,
	};
	struct fuse_entry_param entry = {0};
	const struct listed *listed = index < 2 ? NULL : &listing->entries[index - 2];
	const char *name = index == 0 ? "." : index == 1 ? ".." : listing->names + listed->name;

	if (!plus || !listed || fill_entry(listed->inode, &entry) != 0) {
		/* The kernel asks for what is damaged, and hears so, when somebody wants it. */
		entry = (struct fuse_entry_param){0};
		entry.attr.st_ino = listed ? listed->inode : index == 0 ? listing->inode : listing->parent;
		if (!listed)
			entry.attr.st_mode = S_IFDIR;
		else if (listed->type < ARRAY_SIZE(types))
			entry.attr.st_mode = (mode_t)types[listed->type] << 12;
	}
	if (plus)
		return fuse_add_direntry_plus(req, buffer, space, name, &entry, (off_t)index + 1);
	return fuse_add_direntry(req, buffer, space, name, &entry.attr, (off_t)index + 1);
}

static void read_directory(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, bool plus)
{
	struct listing *listing;
	size_t used = 0, n;
	int r = reader_list(self->reader, inode_of(node), &listing);

	if (r) {
		fuse_reply_err(req, r);
		return;
	}
	if (size > READ_MAX)
		size = READ_MAX;
	for (uint64_t i = (uint64_t)offset; i < (uint64_t)listing->n + 2; i++) {
		n = put_entry(req, listing, (uint32_t)i, self->buffer + used, size - used, plus);
		if (n > size - used)
			break;
		used += n;
	}
	reader_unlist(self->reader, listing);
	fuse_reply_buf(req, self->buffer, used);
}

static void serve_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	read_directory(req, node, size, offset, false);
}

static void serve_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	read_directory(req, node, size, offset, true);
}

/* ---- The rest ---- */

/* A buffer of size 0 asks for the size. */
static void reply_bytes(fuse_req_t req, int r, const void *bytes, size_t n, size_t size)
{
	if (r == 0 && size > 0 && n > size)
		r = ERANGE;
	if (r)
		fuse_reply_err(req, r);
	else if (size == 0)
		fuse_reply_xattr(req, n);
	else
		fuse_reply_buf(req, bytes, n);
}

static void serve_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	void *value = NULL;
	size_t n = 0;
	int r = reader_get_attribute(self->reader, inode_of(node), name, &value, &n);

	if (r == 0)
		r = shift_attribute(self->server->shift, name, &value, &n);
	reply_bytes(req, r, value, n, size);
	free(value);
}

static void serve_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
	char *names = NULL;
	size_t n = 0;
	int r = reader_list_attributes(self->reader, inode_of(node), &names, &n);

	reply_bytes(req, r, names, n, size);
	free(names);
}

static void serve_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct statvfs st;

	(void)node;
	reader_statfs(self->reader, &st);
	fuse_reply_statfs(req, &st);
}

/* What lsattr shows, which overlayfs asks for when it copies a file up. */
static void serve_ioctl(fuse_req_t req, fuse_ino_t node, unsigned command, void *argument, struct fuse_file_info *fi,
			unsigned flags, const void *in, size_t in_size, size_t out_size)
{
	uint32_t value[2] = {0};
	int r = command == (unsigned)FS_IOC_GETFLAGS ? reader_flags(self->reader, inode_of(node), value) : ENOTTY;

	(void)argument, (void)fi, (void)flags, (void)in, (void)in_size;
	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_ioctl(req, 0, value, out_size < sizeof(value) ? out_size : sizeof(value));
}

static void serve_init(void *data, struct fuse_conn_info *connection)
{
	static const unsigned wanted = FUSE_CAP_READDIRPLUS | FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS |
				       FUSE_CAP_POSIX_ACL | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPORT_SUPPORT |
				       FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_IOCTL_DIR;

	(void)data;
	/* Always with attributes: who reads a directory of a system asks for them, and they lie together on the disk.
	 */
	connection->want = connection->capable & wanted;
	connection->max_background = BACKGROUND_MAX;
	connection->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	connection->time_gran = 1;
}

static const struct fuse_lowlevel_ops operations = {
	.init = serve_init,
	.lookup = serve_lookup,
	.forget = serve_forget,
	.forget_multi = serve_forget_multi,
	.getattr = serve_getattr,
	.readlink = serve_readlink,
	.open = serve_open,
	.read = serve_read,
	.lseek = serve_lseek,
	.opendir = serve_open,
	.readdir = serve_readdir,
	.readdirplus = serve_readdirplus,
	.getxattr = serve_getxattr,
	.listxattr = serve_listxattr,
	.statfs = serve_statfs,
	.ioctl = serve_ioctl,
};

/* ---- Threads ---- */

static void *work(void *data)
{
	struct worker *worker = data;
	struct fuse_session *session = worker->server->session;
	struct fuse_buf buffer = {0};

	self = worker;
	while (!fuse_session_exited(session)) {
		int r = fuse_session_receive_buf(session, &buffer);

		if (r == -EINTR || r == -EAGAIN)
			continue;
		if (r <= 0)
			break;
		fuse_session_process_buf(session, &buffer);
	}
	free(buffer.mem);
	return NULL;
}

/* Texts of libfuse would go to the standard error of the caller. */
static void drop_log(enum fuse_log_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
}

static struct error *open_session(struct ext4_server *server, int fuse_fd)
{
	static char *argv[] = {"ext4", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	char path[32];

	fuse_set_log_func(drop_log);
	server->session = fuse_session_new(&args, &operations, sizeof(operations), server);
	fuse_opt_free_args(&args);
	snprintf(path, sizeof(path), "/dev/fd/%d", fuse_fd);
	if (!server->session || fuse_session_mount(server->session, path) != 0)
		return error_create(ERROR_FAILED, "cannot make a FUSE session");
	return NULL;
}

static struct error *prepare_worker(struct ext4_server *server, struct worker *worker)
{
	struct error *error = reader_create(server->image, server->listings, &worker->reader);

	if (error)
		return error;
	worker->server = server;
	worker->buffer = malloc(READ_MAX);
	return worker->buffer ? NULL : error_no_memory();
}

static struct error *prepare_workers(struct ext4_server *server, unsigned n)
{
	struct error *error = NULL;

	if (n > EXT4_SERVER_THREADS_MAX)
		n = EXT4_SERVER_THREADS_MAX;
	while (!error && server->n_workers < n)
		error = prepare_worker(server, &server->workers[server->n_workers++]);
	return error;
}

struct error *ext4_server_create(const struct ext4_server_options *options, struct ext4_server **ret)
{
	_cleanup_(ext4_server_destroy_ptr) struct ext4_server *server = calloc(1, sizeof(*server));
	struct error *error;

	if (!server)
		return error_no_memory();
	server->shift = options->shift;
	error = image_create(options->disk_fd, options->start, options->size, &server->image);
	if (!error)
		error = listings_create(&server->listings);
	if (!error)
		error = prepare_workers(server, options->threads);
	if (!error)
		error = open_session(server, options->fuse_fd);
	if (error)
		return error;
	*ret = take_ptr(server);
	return NULL;
}

struct error *ext4_server_serve(struct ext4_server *server)
{
	struct error *error = NULL;
	unsigned n = 1;
	int r;

	for (; !error && n < server->n_workers; n++) {
		r = pthread_create(&server->workers[n].thread, NULL, work, &server->workers[n]);
		if (r)
			error = error_system(r, NULL, "cannot start a thread");
	}
	if (error)
		return error; /* The process ends, and with it those that have started. */
	work(&server->workers[0]);
	while (n-- > 1)
		pthread_join(server->workers[n].thread, NULL);
	return NULL;
}

void ext4_server_destroy(struct ext4_server *server)
{
	if (!server)
		return;
	for (unsigned i = 0; i < server->n_workers; i++) {
		reader_destroy(server->workers[i].reader);
		free(server->workers[i].buffer);
	}
	if (server->session)
		fuse_session_destroy(server->session);
	listings_destroy(server->listings);
	image_destroy(server->image);
	free(server);
}
