/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE's side of /proc: one thread, one question after the other. The kernel checks modes and owners
 * (default_permissions); what it cannot know is asked of node.c.
 */
#define FUSE_USE_VERSION 35

#include "shadow/proc/server.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/internal.h"
#include "shadow/proc/serve.h"

/* Files and directories that the shadow may have open here together, and entries of all its open directories. */
#define OPEN_MAX_ALL 32768
#define LISTED_MAX   (8u << 20)
#define READ_MAX     (1u << 20)

/* The guest's files never change; the shadow's processes come and go, and change their owners. */
#define FOREVER_S    86400.0
#define OWN_ATTR_S   0.05

struct handle {
	struct text *text; /* or: */
	int fd;
	struct listing listing;
};

static bool is_own_node(struct node node)
{
	return node.kind >= NODE_OWN && node.kind <= NODE_OWN_MAP;
}

static struct server *server_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static struct asker asker_of(fuse_req_t req)
{
	const struct fuse_ctx *context = fuse_req_ctx(req);
	struct asker asker = {.tid = context->pid, .uid = UINT32_MAX};

	if (context->uid >= SHADOW_ID_BASE && context->uid - SHADOW_ID_BASE < SHADOW_ID_COUNT)
		asker.uid = context->uid - SHADOW_ID_BASE;
	return asker;
}

static uint32_t host_id(uint32_t id)
{
	return SHADOW_ID_BASE + (id < SHADOW_ID_COUNT ? id : 65534);
}

static int get_attributes(struct server *server, struct node node, struct stat *ret)
{
	int r = node_stat(server, node, ret);

	/* What has a number of the guest's keeps it. */
	if (node.kind != NODE_TASK_TARGET || r || !ret->st_ino)
		ret->st_ino = node_id(node);
	ret->st_uid = host_id(ret->st_uid);
	ret->st_gid = host_id(ret->st_gid);
	ret->st_blksize = 1024;
	if (!is_own_node(node))
		ret->st_mtime = ret->st_ctime = ret->st_atime = server->start_s;
	return r;
}

static int fill_entry(struct server *server, struct node node, struct fuse_entry_param *ret)
{
	int r;

	*ret = (struct fuse_entry_param){.ino = node_id(node)};
	ret->attr_timeout = is_own_node(node) ? OWN_ATTR_S : FOREVER_S;
	/* A process of the shadow that does not exist yet may exist later, and the other way round. */
	ret->entry_timeout = is_own_node(node) ? 0 : FOREVER_S;
	r = get_attributes(server, node, &ret->attr);
	return r;
}

static void serve_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct server *server = server_of(req);
	struct asker asker = asker_of(req);
	struct fuse_entry_param entry;
	struct node node;
	int r = node_lookup(server, &asker, node_of(parent), name, &node);

	if (r == 0)
		r = fill_entry(server, node, &entry);
	/* Without a node: an answer that the kernel keeps. */
	if (r == ENOENT && node_stays_absent(node_of(parent), name)) {
		entry = (struct fuse_entry_param){.entry_timeout = FOREVER_S};
		r = 0;
	}
	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_entry(req, &entry);
}

static void serve_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node node = node_of(ino);
	struct stat st;
	int r = get_attributes(server_of(req), node, &st);

	(void)fi;
	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_attr(req, &st, is_own_node(node) ? OWN_ATTR_S : FOREVER_S);
}

/* Opening for writing truncates, which means nothing here; nothing else of a file can be changed. */
static void serve_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	(void)attr;
	if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		fuse_reply_err(req, EPERM);
	else
		serve_getattr(req, ino, fi);
}

static void serve_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct asker asker = asker_of(req);
	char buffer[4096];
	int r = node_readlink(server_of(req), &asker, node_of(ino), buffer, sizeof(buffer));

	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_readlink(req, buffer);
}

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

static struct handle *handle_create(struct server *server)
{
	struct handle *handle;

	if (server->n_open == OPEN_MAX_ALL)
		return NULL;
	handle = calloc(1, sizeof(*handle));
	if (!handle)
		return NULL;
	handle->fd = -1;
	server->n_open++;
	return handle;
}

static void handle_destroy(struct server *server, struct handle *handle)
{
	texts_unref(&server->texts, handle->text);
	close_fd(&handle->fd);
	server->n_listed -= handle->listing.n;
	listing_deinit(&handle->listing);
	free(handle);
	server->n_open--;
}

static int open_node(struct server *server, const struct asker *asker, struct node node, int flags,
		     struct handle *handle)
{
	if (is_own_node(node))
		return own_open(server, asker, node, flags, &handle->fd, &handle->text);
	if (node.kind == NODE_SYS)
		return sys_open(server, asker, node, flags, &handle->text);
	if ((flags & O_ACCMODE) != O_RDONLY)
		return EACCES;
	if (node.kind == NODE_TASK_FDINFO || node.kind == NODE_TASK_TARGET ||
	    (node.kind == NODE_TASK_FILE && node_is_private(proc_task_files[node.sub].name)))
		if (!task_may_inspect(server, asker, node.pid))
			return EACCES;
	return node_text(server, node, &handle->text);
}

static void serve_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct server *server = server_of(req);
	struct asker asker = asker_of(req);
	struct handle *handle = handle_create(server);
	int r = handle ? open_node(server, &asker, node_of(ino), fi->flags, handle) : ENFILE;

	if (r) {
		if (handle)
			handle_destroy(server, handle);
		fuse_reply_err(req, r);
		return;
	}
	fi->fh = (uintptr_t)handle;
	/* Files of /proc say that they are empty; the kernel must ask nevertheless. */
	fi->direct_io = 1;
	if (fuse_reply_open(req, fi) < 0)
		handle_destroy(server, handle);
}

static void serve_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct server *server = server_of(req);
	const struct handle *handle = handle_of(fi);
	ssize_t n;

	(void)ino;
	if (size > READ_MAX)
		size = READ_MAX;
	if (handle->text) {
		size_t begin = (uint64_t)offset < handle->text->size ? (size_t)offset : handle->text->size;
		size_t left = handle->text->size - begin;

		fuse_reply_buf(req, handle->text->data + begin, left < size ? left : size);
		return;
	}
	if (handle->fd < 0) {
		fuse_reply_err(req, EBADF);
		return;
	}
	n = pread(handle->fd, server->buffer, size, offset);
	if (n < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_buf(req, server->buffer, (size_t)n);
}

static void serve_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
			struct fuse_file_info *fi)
{
	(void)fi;
	if (node_of(ino).kind == NODE_SYS) {
		int r = sys_write(server_of(req), node_of(ino), data, size, offset, (uint32_t)fuse_req_ctx(req)->pid);

		if (r)
			fuse_reply_err(req, r);
		else
			fuse_reply_write(req, size);
		return;
	}
	/* Files of the shadow's own processes are written to in the real procfs. */
	fuse_reply_err(req, EBADF);
}

static void serve_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	handle_destroy(server_of(req), handle_of(fi));
	fuse_reply_err(req, 0);
}

static void serve_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct server *server = server_of(req);
	struct handle *handle = handle_create(server);

	if (!handle) {
		fuse_reply_err(req, ENFILE);
		return;
	}
	fi->fh = (uintptr_t)handle;
	if (fuse_reply_open(req, fi) < 0)
		handle_destroy(server, handle);
}

/* As it is when it is read from its beginning: a directory of descriptors shows the one it is read through. */
static int load_listing(struct server *server, struct node node, struct handle *handle)
{
	int r;

	server->n_listed -= handle->listing.n;
	listing_deinit(&handle->listing);
	r = node_list(server, node, &handle->listing);
	server->n_listed += handle->listing.n;
	return r == 0 && server->n_listed > LISTED_MAX ? ENFILE : r;
}

/* Adds one entry to the reply; returns its size, more than `space` if there is no room. */
static size_t put_entry(fuse_req_t req, const struct entry *entry, char *buffer, size_t space, off_t next, bool plus)
{
	struct server *server = server_of(req);
	struct fuse_entry_param param = {0};
	char number[16];
	const char *name = entry->name ? entry->name : entry->text;

	if (!name) {
		snprintf(number, sizeof(number), "%u", entry->number);
		name = number;
	}
	if (!plus) {
		param.attr.st_ino = entry->id;
		param.attr.st_mode = entry->type;
		return fuse_add_direntry(req, buffer, space, name, &param.attr, next);
	}
	/* Without attributes the kernel asks later; a process may have ended by now. */
	if (fill_entry(server, node_of(entry->id), &param) != 0) {
		param = (struct fuse_entry_param){0};
		param.attr.st_ino = entry->id;
		param.attr.st_mode = entry->type;
	}
	return fuse_add_direntry_plus(req, buffer, space, name, &param, next);
}

static void read_directory(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi,
			   bool plus)
{
	static const char *const dots[] = {".", ".."};
	struct server *server = server_of(req);
	const struct listing *listing = &handle_of(fi)->listing;
	int r = offset == 0 ? load_listing(server, node_of(ino), handle_of(fi)) : 0;
	size_t used = 0, n;

	if (r) {
		fuse_reply_err(req, r);
		return;
	}
	if (size > READ_MAX)
		size = READ_MAX;
	for (size_t i = (size_t)offset; i < listing->n + 2; i++) {
		struct entry dot = {.id = ino, .name = dots[i & 1], .type = S_IFDIR};

		/* The kernel takes attributes of no dot. */
		n = put_entry(req, i < 2 ? &dot : &listing->entries[i - 2], server->buffer + used, size - used,
			      (off_t)i + 1, plus);
		if (n > size - used)
			break;
		used += n;
	}
	fuse_reply_buf(req, server->buffer, used);
}

static void serve_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	read_directory(req, ino, size, offset, fi, false);
}

static void serve_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	read_directory(req, ino, size, offset, fi, true);
}

static void serve_statfs(fuse_req_t req, fuse_ino_t ino)
{
	const struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255};

	(void)ino;
	fuse_reply_statfs(req, &st);
}

/* A node's number says all there is to know of it. */
static void serve_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	(void)ino;
	(void)n;
	fuse_reply_none(req);
}

static void serve_init(void *data, struct fuse_conn_info *connection)
{
	(void)data;
	if (connection->capable & FUSE_CAP_READDIRPLUS)
		connection->want |= FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO;
	/* Lookups in one directory at the same time would wait for us one after the other in any case. */
	connection->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

static const struct fuse_lowlevel_ops operations = {
	.init = serve_init,
	.lookup = serve_lookup,
	.forget = serve_forget,
	.getattr = serve_getattr,
	.setattr = serve_setattr,
	.readlink = serve_readlink,
	.open = serve_open,
	.read = serve_read,
	.write = serve_write,
	.release = serve_release,
	.opendir = serve_opendir,
	.readdir = serve_readdir,
	.readdirplus = serve_readdirplus,
	.releasedir = serve_release,
	.statfs = serve_statfs,
};

static struct error *open_session(struct server *server, int fuse_fd)
{
	static char *argv[] = {"proc", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	char path[32];

	server->session = fuse_session_new(&args, &operations, sizeof(operations), server);
	fuse_opt_free_args(&args);
	if (!server->session)
		return error_create(ERROR_FAILED, "cannot make a FUSE session");
	snprintf(path, sizeof(path), "/dev/fd/%d", fuse_fd);
	if (fuse_session_mount(server->session, path) != 0)
		return error_create(ERROR_FAILED, "cannot take the FUSE descriptor");
	return NULL;
}

/* Texts of libfuse would go to the standard error of the caller. */
static void drop_log(enum fuse_log_level level, const char *format, va_list arguments)
{
	(void)level;
	(void)format;
	(void)arguments;
}

static void server_destroy(struct server *server)
{
	if (!server)
		return;
	tree_deinit(&server->tree);
	texts_deinit(&server->texts);
	own_deinit(server);
	sys_deinit(server);
	guest_fd_list_deinit(&server->fds);
	free(server->buffer);
	free(server);
}
DEFINE_CLEANUP(struct server *, server_destroy)

struct error *proc_server_create(const struct proc_server_options *options, struct server **ret)
{
	_cleanup_(server_destroy_ptr) struct server *server = calloc(1, sizeof(*server));
	struct error *error;

	if (!server)
		return error_no_memory();
	fuse_set_log_func(drop_log);
	server->own_fd = options->own_fd;
	server->record_fd = options->record_fd;
	server->shared_names = options->names;
	server->facts.guest = options->guest;
	server->facts.tasks = options->tasks;
	server->facts.boottime_offset_ns = options->boottime_offset_ns;
	server->start_s = (time_t)(clock_realtime_ns() / 1000000000);
	server->buffer = malloc(READ_MAX);
	if (!server->buffer)
		return error_no_memory();
	error = guest_uts(options->guest, &server->facts.uts);
	if (!error)
		error = guest_clock(options->guest, &server->facts.clock);
	if (!error)
		error = tree_init(&server->tree);
	if (!error)
		error = open_session(server, options->fuse_fd);
	if (error)
		return error;
	*ret = take_ptr(server);
	return NULL;
}

/*
 * To be woken on another processor takes the server several times as long as most answers, and programs like ps ask
 * thousands of questions one right after the other. In such a series it stays awake for a moment, giving way to
 * whoever else wants its processor.
 */
#define SERIES_GAP_NS 300000
#define SERIES_BEGINS 16

struct series {
	unsigned n;           /* questions, each within the gap after the answer to the one before */
	uint64_t answered_ns; /* when the last was answered; CLOCK_MONOTONIC */
};

/* The next question; 0: there will be none; or a negative errno. */
static int next_request(struct server *server, struct series *series, struct fuse_buf *buffer)
{
	struct pollfd p = {.fd = fuse_session_fd(server->session), .events = POLLIN};
	uint64_t until = series->answered_ns + SERIES_GAP_NS;

	for (;;) {
		int r = fuse_session_receive_buf(server->session, buffer);
		bool late = clock_monotonic_ns() >= until;

		if (r != -EAGAIN && r != -EINTR) {
			series->n = late ? 0 : series->n + 1;
			return r;
		}
		if (late || series->n < SERIES_BEGINS)
			poll(&p, 1, -1);
		else
			sched_yield();
	}
}

struct error *proc_server_serve(struct server *server)
{
	struct series series = {0};
	struct fuse_buf buffer = {0};
	int r = 0;

	if (fcntl(fuse_session_fd(server->session), F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	while (r >= 0 && !fuse_session_exited(server->session)) {
		r = next_request(server, &series, &buffer);
		if (r <= 0)
			break;
		fuse_session_process_buf(server->session, &buffer);
		series.answered_ns = clock_monotonic_ns();
	}
	free(buffer.mem);
	/* The connection ends with the process. */
	server_destroy(server);
	return r >= 0 ? NULL : error_create(ERROR_FAILED, "the server of /proc failed");
}
