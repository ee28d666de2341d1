/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the server of /proc: what its files share. server.c speaks FUSE and knows who asks, node.c says which
 * node is what, tree.c has the files of the whole system, task.c those of the guest's processes and target.c what their
 * links lead to, own.c those of the shadow's own, asker.c looks what who asks is doing, text.c keeps what was written.
 *
 * A node's number says all there is to know about it: nothing is remembered for a node, and nothing has to be
 * forgotten.
 */
#ifndef SHADOW_PROC_SERVE_H
#define SHADOW_PROC_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "shadow/proc/proc.h"

/* --- text.c: what was written, once --- */

struct text {
	uint64_t id; /* of its node; meaningless for a live one */
	char *data;
	size_t size;
	bool absent;   /* its writer could not: the file does not exist */
	unsigned refs; /* open files that read it; kept while there are any */
	bool cached;
	struct text *next; /* in its bucket */
	struct text *older, *newer;
};

struct texts {
	struct text *buckets[4096];
	struct text *oldest, *newest;
	size_t bytes; /* of all texts, cached or open */
};

/* Bytes of all texts together: the greatest alone fits four times. */
#define TEXTS_MAX (4 * PROC_TEXT_MAX)

/* NULL: not there. */
struct text *texts_find(struct texts *texts, uint64_t id);
/* A new text with one reference; NULL: no memory, or too much is open. `write` is called once. */
struct text *texts_write(struct texts *texts, struct error *(*write)(void *data, FILE *out), void *data);
/* Keeps it for others to find. */
void texts_keep(struct texts *texts, struct text *text, uint64_t id);
/*
 * The text that is kept under `id`, else a new one, which is kept; of `live` ones only that they are absent: what
 * memory does not tell now it will not tell later. ENOENT: absent; ENOMEM: as texts_write().
 */
int texts_get(struct texts *texts, uint64_t id, bool live, struct error *(*write)(void *data, FILE *out), void *data,
	      struct text **ret);
void texts_unref(struct texts *texts, struct text *text);
void texts_deinit(struct texts *texts);

/* --- tree.c: the files of the whole system --- */

struct tree_node {
	char *name; /* owned */
	uint32_t parent, child, sibling;
	const char *link;             /* a symbolic link's target; NULL: none */
	const struct proc_file *file; /* NULL: a directory, if it is no link */
};

struct tree {
	struct tree_node *nodes; /* [TREE_ROOT], [TREE_NET], then the others; 0 ends a list of children */
	size_t n, space;
};

#define TREE_ROOT 0
#define TREE_NET  1 /* the directory net of every process, which is no child of the root */

struct error *tree_init(struct tree *tree) _must_check_;
void tree_deinit(struct tree *tree);
/* 0: no such child. */
uint32_t tree_find(const struct tree *tree, uint32_t directory, const char *name);
struct error *tree_add_file(struct tree *tree, uint32_t directory, const char *path, const struct proc_file *file)
	_must_check_;

/* --- server.c and the kinds of nodes --- */

enum node_kind {
	NODE_TREE,        /* sub: index in the tree, plus 1 (the root of a FUSE file system is 1) */
	NODE_OWN_MOUNT,   /* where the real procfs is mounted */
	NODE_NET,         /* directory `net` of a process: index in the tree */
	NODE_SYS,         /* below /proc/sys: index of the sysctl, plus 1; 0: the directory itself */
	NODE_TASK,        /* directory of a guest's task */
	NODE_TASK_FILE,   /* index in proc_task_files */
	NODE_TASK_LINK,   /* index in proc_task_links */
	NODE_TASK_SUB,    /* index in task_subdirectories */
	NODE_TASK_FD,     /* number of the descriptor */
	NODE_TASK_FDINFO, /* the same */
	NODE_TASK_NS,     /* index in the namespaces */
	NODE_TASK_NET,    /* file of a network namespace that is not the first: index in the tree */
	NODE_TASK_TARGET, /* what a link of fd (number of the descriptor) or ns (index) leads to, see target.c */
	NODE_OWN,         /* directory of a task of the shadow */
	NODE_OWN_NAME,    /* index of its name: "status", "attr", "attr/current", "ns/mnt", "exe" */
	NODE_OWN_FD,      /* number of the descriptor */
	NODE_OWN_FDINFO,  /* the same */
	NODE_OWN_WAY,     /* index of a name: a link into the real procfs in place of the file */
	NODE_OWN_MAP,     /* the page it begins with */
};

struct node {
	enum node_kind kind;
	bool in_task; /* below /proc/PID/task/TID, not /proc/PID */
	uint32_t pid; /* or tid; 0 where there is none */
	uint64_t sub;
};

/* 5 bits kind, 23 bits pid, 1 bit in_task, 35 bits sub. */
#define NODE_PID_MAX 0x7fffffu
#define NODE_SUB_MAX ((UINT64_C(1) << 35) - 1)
uint64_t node_id(struct node node);
struct node node_of(uint64_t id);

struct entry {
	uint64_t id;
	const char *name; /* NULL: `number` in decimal, or `text` */
	char *text;       /* owned */
	uint32_t number;
	uint32_t type; /* S_IFMT bits */
};

/* A directory as it was when it was opened. */
struct listing {
	struct entry *entries;
	size_t n, space;
};
void listing_deinit(struct listing *listing);
/* Take a name that outlives the listing, a number, a name that is copied. False: no memory. */
bool listing_add(struct listing *listing, struct node node, uint32_t type, const char *name);
bool listing_add_number(struct listing *listing, struct node node, uint32_t type, uint32_t number);
bool listing_add_copy(struct listing *listing, struct node node, uint32_t type, const char *name);

/* Who asks, in the shadow's numbers. */
struct asker {
	pid_t tid; /* 0: not known */
	uid_t uid; /* of the guest; UINT32_MAX: none of it */
};

struct server {
	struct proc_facts facts;
	struct tree tree;
	struct texts texts;
	int own_fd;                        /* the real procfs of the shadow's processes */
	int record_fd;                     /* takes what the guest asks of the running system; -1: none */
	struct shadow_names *shared_names; /* borrowed; NULL: none */
	/* own.c: names seen below the real /proc/PID, by index. */
	char **names;
	size_t n_names;
	/* task.c: the descriptors of the task that was looked at last. */
	struct guest_fd_list fds;
	uint64_t fds_task;
	uint32_t first_net;           /* number of the first process's network namespace; 0: not asked for yet */
	struct proc_sysctls *sysctls; /* sys.c */
	bool no_sysctls;              /* memory does not tell them */
	struct sys_value *sys_values; /* what was written */
	size_t n_sys_values;
	size_t n_open;   /* open files and directories */
	size_t n_listed; /* entries in open directories */
	struct fuse_session *session;
	time_t start_s; /* what the times of the guest's files say */
	char *buffer;   /* of one reply */
};

/* All functions below: 0, or an errno. */

/* The inode of a node; what is no longer there is ENOENT. Sets all but st_ino. */
int node_stat(struct server *server, struct node node, struct stat *ret);
int node_lookup(struct server *server, const struct asker *asker, struct node parent, const char *name,
		struct node *ret);
/*
 * Whether a name that is not in the directory will not be there later. Numbers in the root may become those of
 * processes of the shadow: nobody is told when the kernel gives one.
 */
bool node_stays_absent(struct node parent, const char *name);
int node_list(struct server *server, struct node directory, struct listing *listing);
int node_readlink(struct server *server, const struct asker *asker, struct node node, char *buffer, size_t size);
/* The text of a file; the caller drops the reference. */
int node_text(struct server *server, struct node node, struct text **ret);
/* Whether what it says of a process is for its owner alone, as Linux decides by the right to trace it. */
bool node_is_private(const char *name);

/* asker.c: what the asker, which waits for us, is doing. */
enum wish {
	WISH_UNKNOWN,
	WISH_TEXT, /* of a link: to read it */
	WISH_WAY   /* to go where it leads */
};
/* What it wants of the link `name`. */
enum wish asker_wish(const struct server *server, const struct asker *asker, const char *name);
/* Whether it opens a file to write to it. */
bool asker_is_writing(const struct server *server, const struct asker *asker);

/* task.c */
int task_stat(struct server *server, struct node node, struct stat *ret);
int task_lookup(struct server *server, struct node parent, const char *name, struct node *ret);
int task_list(struct server *server, struct node directory, struct listing *listing);
int task_readlink(struct server *server, const struct asker *asker, struct node node, char *buffer, size_t size);
int task_text(struct server *server, struct node node, struct text **ret);
bool task_may_inspect(const struct server *server, const struct asker *asker, uint32_t pid);

/* Whether the task is in the network namespace that the system began with, as far as memory tells. */
bool task_in_first_net(struct server *server, uint32_t pid);

/* The open file of a node of fd or fdinfo, or of the target of one; NULL: there is none. Valid until the next call. */
const struct guest_fd *task_find_fd(struct server *server, struct node node);
/* The first descriptor of the task whose link says so; NULL: none. */
const struct guest_fd *task_find_fd_text(struct server *server, struct node node, const char *text);
/* The number of the task's namespace by index; 0: unknown. "net" of "net:[4026531840]" goes to *ret_type. */
uint32_t task_namespace(struct server *server, struct node node, size_t index, const char **ret_type);
#define TASK_NAMESPACES 10

/*
 * target.c: what links in fd and ns lead to where that has no path: sockets, pipes, namespaces, deleted files.
 * `directory` is fd or ns of a task.
 */
int target_lookup(struct server *server, struct node directory, bool in_ns, const char *name, struct node *ret);
int target_stat(struct server *server, struct node node, struct stat *ret);
/* What is shown to who follows the link of a deleted file: a name beside it. False: it is none. */
bool target_of_deleted(const struct guest_fd *fd, char *buffer, size_t size);
int target_readlink(struct server *server, const struct asker *asker, struct node node, char *buffer, size_t size);
int target_text(struct server *server, struct node node, struct text **ret);

/* sys.c */
int sys_stat(struct server *server, struct node node, struct stat *ret);
int sys_lookup(struct server *server, struct node parent, const char *name, struct node *ret);
int sys_list(struct server *server, struct node directory, struct listing *listing);
/* *ret is untouched if the file cannot be read. */
int sys_open(struct server *server, const struct asker *asker, struct node node, int flags, struct text **ret);
/* `asker`: the thread that writes, as the guest numbers it. */
int sys_write(struct server *server, struct node node, const char *data, size_t size, off_t offset, uint32_t asker);
void sys_deinit(struct server *server);

/* own.c */
int own_stat(struct server *server, struct node node, struct stat *ret);
int own_lookup(struct server *server, const struct asker *asker, struct node parent, const char *name,
	       struct node *ret);
int own_list(struct server *server, struct node directory, struct listing *listing);
/* The shadow's processes, for the root directory. */
int own_list_processes(struct server *server, struct listing *listing);
int own_readlink(struct server *server, const struct asker *asker, struct node node, char *buffer, size_t size);
/* A descriptor to read from, or a text. */
int own_open(struct server *server, const struct asker *asker, struct node node, int flags, int *ret_fd,
	     struct text **ret_text);
/* The process of a thread; 0: not one of the shadow's. */
uint32_t own_process_of(const struct server *server, pid_t tid);
void own_deinit(struct server *server);

/* Decimal without leading zeros, at most `max`; false: it is none. */
bool parse_number(const char *text, uint64_t max, uint64_t *ret);

#endif
