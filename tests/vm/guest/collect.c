/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs in a test's guest: writes down all that the kernel says of itself (/proc, /run, netlink, its log).
 *
 * usage: collect [-p PID | -o LAST] BULK [TREE...]
 *        collect -o LAST BULK [TREE...]
 *
 * BULK (a block device or file) gets what lasts: it is on its way before the last look at the processes. That
 * look and the clocks go out byte by byte through QEMU's debug console (port 0xe9), which no kernel is asked for;
 * then a write to the pvpanic port stops the machine on the spot: nothing happens between the truth and the suspend.
 * With -o there is less of it, and the last look goes to a file or device, for machines without such ports; whoever
 * reads "collected" on the standard output then stops the machine soon.
 *
 * A record is one line "KIND PATH-LENGTH DATA-LENGTH", then path and data: F a file's content, L a link's target,
 * S stat's numbers, E an error's number, N netlink's answer, W words about the collection itself.
 */
#define _GNU_SOURCE
#include "collect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

enum {
	PORT_DEBUG = 0xe9,
	PORT_PANIC = 0x2e0,
	BLOCK = 4096,
	LOOKS_MAX = 50,
	KEEP_MAX = 1 << 20, /* bytes that are kept in memory */
};

struct buffer {
	char *data;
	size_t size, room;
};

void die(const char *what)
{
	fprintf(stderr, "collect: %s: %m\n", what);
	exit(1);
}

static char *buffer_room(struct buffer *buffer, size_t more)
{
	if (buffer->size + more > buffer->room) {
		buffer->room = (buffer->size + more) * 2;
		buffer->data = realloc(buffer->data, buffer->room);
		if (!buffer->data)
			die("memory");
	}
	return buffer->data + buffer->size;
}

static void buffer_add(struct buffer *buffer, const void *data, size_t size)
{
	memcpy(buffer_room(buffer, size), data, size);
	buffer->size += size;
}

/* Where records go. */
static struct buffer out;

static void record(char kind, const char *path, const void *data, size_t size)
{
	char head[64];

	buffer_add(&out, head, (size_t)sprintf(head, "%c %zu %zu\n", kind, strlen(path), size));
	buffer_add(&out, path, strlen(path));
	buffer_add(&out, data, size);
}

static void record_errno(const char *path)
{
	char text[16];

	record('E', path, text, (size_t)sprintf(text, "%d", errno));
}

/* Where what lasts is written; -1: not, or no longer. */
static int bulk_fd = -1;

/* Writes the whole blocks of what was recorded. */
static void write_blocks(void)
{
	size_t done = 0, whole = out.size / BLOCK * BLOCK;

	while (done < whole) {
		ssize_t wrote = write(bulk_fd, out.data + done, whole - done);

		if (wrote < 0)
			die("writing what lasts");
		done += (size_t)wrote;
	}
	memmove(out.data, out.data + whole, out.size - whole);
	out.size -= whole;
}

static void write_some(void)
{
	if (bulk_fd >= 0 && out.size > KEEP_MAX)
		write_blocks();
}

/* One read after the other, until nothing comes: files of /proc have no size. */
void put_file(const char *path)
{
	static struct buffer content;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t got;

	if (fd < 0) {
		record_errno(path);
		return;
	}
	content.size = 0;
	while ((got = read(fd, buffer_room(&content, 1 << 16), 1 << 16)) > 0)
		content.size += (size_t)got;
	if (got < 0 && content.size == 0)
		record_errno(path);
	else
		record('F', path, content.data, content.size);
	close(fd);
	/* The guest's memory is small, and the kernel's symbols are many. */
	if (content.room > KEEP_MAX) {
		free(content.data);
		content = (struct buffer){0};
	}
	write_some();
}

void put_link(const char *path)
{
	static char target[1 << 16];
	ssize_t size = readlink(path, target, sizeof(target));

	if (size < 0)
		record_errno(path);
	else
		record('L', path, target, (size_t)size);
}

void put_stat(const char *path, const struct stat *st)
{
	char text[256];
	int size = sprintf(text, "%o %u %u %lld %lu %lu %u:%u %u:%u %lld.%09ld %lld", st->st_mode, st->st_uid,
			   st->st_gid, (long long)st->st_size, (unsigned long)st->st_nlink, (unsigned long)st->st_ino,
			   major(st->st_dev), minor(st->st_dev), major(st->st_rdev), minor(st->st_rdev),
			   (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_blocks);

	record('S', path, text, (size_t)size);
}

static bool is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

bool is_number(const char *name)
{
	return *name && strspn(name, "0123456789") == strlen(name);
}

void for_entries(const char *directory, bool (*want)(const char *), void (*each)(const char *path))
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	if (!dir) {
		record_errno(directory);
		return;
	}
	while ((entry = readdir(dir))) {
		char *path = NULL;

		if (is_dot(entry->d_name) || (want && !want(entry->d_name)))
			continue;
		if (asprintf(&path, "%s/%s", directory, entry->d_name) < 0)
			die("memory");
		each(path);
		free(path);
	}
	closedir(dir);
}

/* A tree with all it holds, and all that is mounted in it. */
static void put_tree(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		record_errno(path);
		return;
	}
	put_stat(path, &st);
	if (S_ISLNK(st.st_mode))
		put_link(path);
	if (S_ISREG(st.st_mode))
		put_file(path);
	if (S_ISDIR(st.st_mode))
		for_entries(path, NULL, put_tree);
}

static void put_cgroup(const char *path)
{
	char *procs = NULL;
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return;
	if (asprintf(&procs, "%s/cgroup.procs", path) < 0)
		die("memory");
	put_file(procs);
	free(procs);
	for_entries(path, NULL, put_cgroup);
}

void put_all(const char *directory, const char *const *names, void (*put)(const char *))
{
	for (; *names; names++) {
		char *path = NULL;

		if (asprintf(&path, "%s/%s", directory, *names) < 0)
			die("memory");
		put(path);
		free(path);
	}
}

/* --- the network --- */

static void netlink_dump(const char *name, int protocol, void *request, size_t size)
{
	static struct buffer answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	bool done = false;

	answer.size = 0;
	if (fd < 0 || send(fd, request, size, 0) < 0)
		done = true;
	while (!done) {
		char *room = buffer_room(&answer, 1 << 17);
		ssize_t got = recv(fd, room, 1 << 17, 0);

		if (got <= 0)
			break;
		for (struct nlmsghdr *h = (void *)room; NLMSG_OK(h, got); h = NLMSG_NEXT(h, got)) {
			size_t whole = NLMSG_ALIGN(h->nlmsg_len);

			if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) {
				done = true;
				break;
			}
			answer.size += whole;
		}
	}
	record('N', name, answer.data ? answer.data : "", answer.size);
	if (fd >= 0)
		close(fd);
}

static void put_rtnetlink(const char *prefix, const char *what, uint16_t type)
{
	struct {
		struct nlmsghdr h;
		struct rtgenmsg body;
	} request = {{.nlmsg_len = sizeof(request), .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		     {.rtgen_family = AF_UNSPEC}};
	char name[128];

	snprintf(name, sizeof(name), "%s/%s", prefix, what);
	netlink_dump(name, NETLINK_ROUTE, &request, sizeof(request));
}

static void put_inet_diag(const char *prefix, uint8_t family, uint8_t protocol)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 body;
	} request = {{.nlmsg_len = sizeof(request),
		      .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		     {.sdiag_family = family, .sdiag_protocol = protocol, .idiag_states = ~0U}};
	char name[128];

	snprintf(name, sizeof(name), "%s/inet-diag/%u/%u", prefix, family, protocol);
	netlink_dump(name, NETLINK_SOCK_DIAG, &request, sizeof(request));
}

static void put_unix_diag(const char *prefix)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req body;
	} request = {{.nlmsg_len = sizeof(request),
		      .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		     {.sdiag_family = AF_UNIX,
		      .udiag_states = ~0U,
		      .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN}};
	char name[128];

	snprintf(name, sizeof(name), "%s/unix-diag", prefix);
	netlink_dump(name, NETLINK_SOCK_DIAG, &request, sizeof(request));
}

static void put_network(const char *prefix)
{
	put_rtnetlink(prefix, "links", RTM_GETLINK);
	put_rtnetlink(prefix, "addresses", RTM_GETADDR);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t family = i ? AF_INET6 : AF_INET;

		put_inet_diag(prefix, family, IPPROTO_TCP);
		put_inet_diag(prefix, family, IPPROTO_UDP);
		put_inet_diag(prefix, family, IPPROTO_RAW);
	}
	put_unix_diag(prefix);
}

/* Other network namespaces: by a short visit. */
static void put_network_of(const char *directory)
{
	static const char *const files[] = {"tcp", "tcp6", "udp", "udp6", "raw", "raw6", "unix", NULL};
	char path[64], here[64], there[64];
	int home, fd;
	ssize_t size_here, size_there;

	snprintf(path, sizeof(path), "%s/ns/net", directory);
	size_here = readlink("/proc/self/ns/net", here, sizeof(here));
	size_there = readlink(path, there, sizeof(there));
	if (size_there < 0 || (size_here == size_there && !memcmp(here, there, (size_t)size_here)))
		return;
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (home < 0 || fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		die(path);
	snprintf(path, sizeof(path), "%s/net", directory);
	put_network(path);
	put_all(path, files, put_file);
	if (setns(home, CLONE_NEWNET) < 0)
		die("setns");
	close(home);
	close(fd);
}

/* --- the rest --- */

/* Each read is one record. */
static void put_log(void)
{
	static struct buffer log;
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t got;

	while (fd >= 0 && ((got = read(fd, buffer_room(&log, 1 << 14), 1 << 14)) > 0 || errno == EPIPE))
		log.size += got > 0 ? (size_t)got : 0;
	record('F', "/dev/kmsg", log.data ? log.data : "", log.size);
	if (fd >= 0)
		close(fd);
}

static void put_bulk(char **trees)
{
	put_system();
	put_network("/proc/net");
	for_entries("/proc", is_number, put_process);
	for_entries("/proc", is_number, put_network_of);
	put_cgroup("/sys/fs/cgroup");
	for (; *trees; trees++)
		put_tree(*trees);
	put_log();
}

/* The last block of what lasts. */
static void flush_bulk(void)
{
	size_t size = (out.size + BLOCK - 1) / BLOCK * BLOCK, had = out.size;

	memset(buffer_room(&out, size - had), '\n', size - had);
	out.size = size;
	write_blocks();
	/* It stays open: udev would look at a disk that was written and closed. */
	if (fsync(bulk_fd) < 0)
		die("writing what lasts");
	bulk_fd = -1;
}

/* What ps, services, mounts, maps and a tmpfs are compared with: a domain of an emulated Xen takes minutes for the
 * rest. */
static void put_bulk_in_short(char **trees)
{
	for_entries("/proc", is_number, put_process_in_short);
	for (; *trees; trees++)
		put_tree(*trees);
}

static void end_bulk(void)
{
	record('W', "end", "bulk", 4);
	flush_bulk();
}

static void put_clock(const char *name, clockid_t id)
{
	struct timespec ts;
	char text[64];

	clock_gettime(id, &ts);
	record('W', name, text, (size_t)sprintf(text, "%lld%09ld", (long long)ts.tv_sec, ts.tv_nsec));
}

static void put_thread_stat(const char *directory)
{
	static const char *const files[] = {"stat", NULL};

	put_all(directory, files, put_file);
}

static void put_process_stat(const char *directory)
{
	char path[64];

	put_thread_stat(directory);
	sprintf(path, "%s/task", directory);
	for_entries(path, is_number, put_thread_stat);
}

static bool is_other(const char *name)
{
	return is_number(name) && atoi(name) != getpid();
}

static void look_at_tasks(void)
{
	out.size = 0;
	for_entries("/proc", is_other, put_process_stat);
}

static void send_out(void)
{
	outsb(PORT_DEBUG, out.data, out.size);
	out.size = 0;
}

/* Whose arguments were put into swap after the first look; NULL: nobody's. Reading them would get them back. */
static const char *paged_out;

static void put_sizes(const char *directory)
{
	static const char *const files[] = {"status", "statm", NULL};

	put_all(directory, files, put_file);
}

static void put_paged_out(void)
{
	static const char *const files[] = {"smaps", "smaps_rollup", NULL};
	char path[64];

	record('W', "swapped", paged_out, strlen(paged_out));
	sprintf(path, "/proc/%s", paged_out);
	put_sizes(path);
	put_all(path, files, put_file);
	strcat(path, "/task");
	for_entries(path, is_number, put_sizes);
}

static void put_collector(void)
{
	char text[32];

	record('W', "collector", text, (size_t)sprintf(text, "%d", getpid()));
	sprintf(text, "/proc/%d", getpid());
	put_process_stat(text);
}

/* What changes all the time, and what this process itself changed. */
static void put_moving(void)
{
	if (paged_out)
		put_paged_out();
	put_collector();
	put_moving_system();
	put_clock("realtime", CLOCK_REALTIME);
	put_clock("monotonic", CLOCK_MONOTONIC);
	put_clock("boottime", CLOCK_BOOTTIME);
}

/*
 * Idle workers of the kernel wake up and go back to sleep, and the port is slow: when all is sent there is another
 * look. If nothing has changed that was the end; of several looks the last one counts.
 */
static void look_until_quiet(void)
{
	struct buffer sent = {0};

	for (int i = 0; i < LOOKS_MAX; i++) {
		look_at_tasks();
		if (sent.size == out.size && !memcmp(sent.data, out.data, out.size))
			break;
		sent.size = 0;
		buffer_add(&sent, out.data, out.size);
		put_moving();
		record('W', "look", "", 0);
		send_out();
	}
	out.size = 0;
	record('W', "end", "last", 4);
	send_out();
}

/* Once, and to the disk: that and whoever stops the machine keep the kernel's threads at work in any case. */
static void look_once(const char *path)
{
	bulk_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (bulk_fd < 0)
		die(path);
	look_at_tasks();
	put_collector();
	record('W', "look", "", 0);
	record('W', "end", "last", 4);
	flush_bulk();
	puts("collected");
	fflush(stdout);
}

/* So that it may go on for more than 950 ms of each second, which the kernel's log would tell of. */
static void allow_precedence(void)
{
	int fd = open("/proc/sys/kernel/sched_rt_runtime_us", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1", 2) < 0)
		die("sched_rt_runtime_us");
	close(fd);
}

/* Nobody else runs on this CPU while we look. */
static void take_precedence(void)
{
	struct sched_param param = {.sched_priority = 1};

	if (sched_setscheduler(0, SCHED_FIFO, &param) < 0)
		die("sched_setscheduler");
}

int main(int argc, char **argv)
{
	const char *swapped = NULL, *last = NULL;

	if (argc > 2 && (!strcmp(argv[1], "-p") || !strcmp(argv[1], "-o"))) {
		*(argv[1][1] == 'p' ? &swapped : &last) = argv[2];
		argc -= 2;
		argv += 2;
	}
	if (argc < 2) {
		fprintf(stderr, "usage: collect [-p PID | -o LAST] BULK [TREE...]\n");
		return 2;
	}
	if (!last && (ioperm(PORT_DEBUG, 1, 1) < 0 || ioperm(PORT_PANIC, 1, 1) < 0))
		die("ioperm");
	if (!last)
		allow_precedence();
	bulk_fd = open(argv[1], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (bulk_fd < 0)
		die(argv[1]);
	(last ? put_bulk_in_short : put_bulk)(argv + 2);
	end_bulk();
	if (swapped && page_out_arguments(swapped))
		paged_out = swapped;
	sleep(2); /* The disk's work and the log's readers come to rest. */
	if (last) {
		look_once(last);
	} else {
		take_precedence();
		look_until_quiet();
		outb(1, PORT_PANIC);
	}
	for (;;)
		pause();
}
