/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/shadow/escape/canary.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/keyctl.h>
#include <mqueue.h>
#include <net/if.h>
#include <pty.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/devices.h"
#include "tests/unit/shadow/fixture.h"

#define SECRET   "the host's own secret"
#define KEY      "ouassister-canary"
#define SHM_KEY  0x6f756173
#define ENV_MAX  32
/* Above every descriptor that is put in order on the way. */
#define FIRST_FD 100

/* In the victim's memory, at the same address as in ours. */
static char secret[64] = SECRET;

static void tell(struct canary *canary, const char *name, const char *format, ...) _printf_(3, 4);

static void tell(struct canary *canary, const char *name, const char *format, ...)
{
	char value[512];
	va_list args;
	size_t n = 0;

	va_start(args, format);
	vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	while (canary->env[n])
		n++;
	assert_true(n + 1 < ENV_MAX);
	canary->env[n] = string_format("%s=%s", name, value);
}

/* One that programs inherit. */
static int keep_open(int fd)
{
	int copy = fcntl(fd, F_DUPFD, FIRST_FD);

	assert_true(fd >= 0 && copy >= 0);
	close(fd);
	return copy;
}

static void make_files(struct canary *canary)
{
	_cleanup_(free_ptr) char *host = string_format("%s/host", canary->dir);
	_cleanup_(free_ptr) char *path = string_format("%s/host/secret", canary->dir);
	int directory;

	canary->disk = string_format("%s/disk.raw", canary->dir);
	shell("mkdir -p %s; printf \"%s\" >%s; truncate -s 1M %s; printf disk | dd of=%s conv=notrunc status=none",
	      host, SECRET, path, canary->disk, canary->disk);
	assert_int_equal(chdir(host), 0);
	tell(canary, "CANARY_SECRET", "%s", SECRET);
	tell(canary, "CANARY_PATH", "%s", path);
	tell(canary, "CANARY_FILE", "%d", keep_open(open(path, O_RDONLY)));
	directory = keep_open(open(host, O_RDONLY | O_DIRECTORY));
	tell(canary, "CANARY_DIRECTORY", "%d", directory);
	tell(canary, "CANARY_MOUNT", "%d", keep_open(open_tree(AT_FDCWD, host, OPEN_TREE_CLONE)));
}

/* A socket with descriptors of the secret on the way. */
static void make_passed(struct canary *canary)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = {0};
	struct iovec data = {"x", 1};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	_cleanup_(close_fd) int secret_fd = open("secret", O_RDONLY | O_CLOEXEC);
	int pair[2];

	control.header =
		(struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.header), &secret_fd, sizeof(int));
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(sendmsg(pair[0], &message, 0), 1);
	tell(canary, "CANARY_SOCKET", "%d", keep_open(pair[1]));
	/* The sender's end stays open here. */
}

static void make_handle(struct canary *canary)
{
	char space[sizeof(struct file_handle) + MAX_HANDLE_SZ] = {0}, hex[2 * MAX_HANDLE_SZ + 1] = "";
	struct file_handle *handle = (struct file_handle *)space;
	int mount_id;

	handle->handle_bytes = MAX_HANDLE_SZ;
	assert_int_equal(name_to_handle_at(AT_FDCWD, "secret", handle, &mount_id, 0), 0);
	for (unsigned i = 0; i < handle->handle_bytes; i++)
		sprintf(hex + (size_t)2 * i, "%02x", handle->f_handle[i]);
	tell(canary, "CANARY_HANDLE", "%d:%s", handle->handle_type, hex);
}

static void make_device(struct canary *canary)
{
	_cleanup_(free_ptr) char *path = string_format("%s/device", canary->dir);
	char name[DEVICES_NAME];
	struct stat st;
	int file;

	shell("truncate -s 64K %s; printf \"%s\" | dd of=%s conv=notrunc status=none", path, SECRET, path);
	file = open(path, O_RDWR | O_CLOEXEC);
	assert_true(file >= 0);
	assert_ok(devices_attach(file, 4 /* LO_FLAGS_AUTOCLEAR */, name, &canary->loop));
	close(file);
	assert_int_equal(fstat(canary->loop, &st), 0);
	tell(canary, "CANARY_DEVICE", "%llu", (unsigned long long)st.st_rdev);
}

static void make_terminal(struct canary *canary)
{
	int master, slave;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	(void)keep_open(master);
	tell(canary, "CANARY_TTY", "%d", keep_open(slave));
}

static void make_victim(struct canary *canary)
{
	canary->victim = fork();
	if (canary->victim == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	tell(canary, "CANARY_PID", "%d", (int)canary->victim);
	tell(canary, "CANARY_ADDRESS", "%llu", (unsigned long long)(uintptr_t)secret);
}

/* Whoever connects gets a byte. */
static void make_server(struct canary *canary)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	socklen_t size = sizeof(address);
	int inet = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = sprintf(name.sun_path + 1, "ouassister-%d", (int)getpid());

	assert_int_equal(bind(inet, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(inet, 16), 0);
	assert_int_equal(getsockname(inet, (struct sockaddr *)&address, &size), 0);
	tell(canary, "CANARY_PORT", "%d", ntohs(address.sin_port));
	assert_int_equal(bind(local, (struct sockaddr *)&name,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)),
			 0);
	assert_int_equal(listen(local, 16), 0);
	tell(canary, "CANARY_ABSTRACT", "%s", name.sun_path + 1);
	canary->server = fork();
	if (canary->server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			int fd = accept4(inet, NULL, NULL, SOCK_CLOEXEC);

			if (fd >= 0 && write(fd, "x", 1) == 1)
				close(fd);
		}
	}
	close(inet);
	/* The abstract one stays open here. */
	(void)fcntl(local, F_SETFD, FD_CLOEXEC);
}

static void find_address(struct canary *canary)
{
	struct ifaddrs *all = NULL;
	char text[INET_ADDRSTRLEN] = "127.0.0.1";

	assert_int_equal(getifaddrs(&all), 0);
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && !(i->ifa_flags & IFF_LOOPBACK) &&
		    i->ifa_flags & IFF_UP)
			inet_ntop(AF_INET, &((const struct sockaddr_in *)i->ifa_addr)->sin_addr, text, sizeof(text));
	freeifaddrs(all);
	tell(canary, "CANARY_HOST", "%s", text);
}

static void make_ipc(struct canary *canary)
{
	int id = shmget(SHM_KEY, 4096, IPC_CREAT | 0666);
	char *memory = shmat(id, NULL, 0);
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 16};

	assert_true(memory != (void *)-1);
	strcpy(memory, SECRET);
	shmdt(memory);
	tell(canary, "CANARY_KEY", "%d", SHM_KEY);
	umask(0);
	(void)mq_open("/" KEY, O_RDWR | O_CREAT | O_CLOEXEC, 0666, &attr);
	umask(022);
	/* A session of our own, for the key is inherited. */
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0)
		(void)syscall(SYS_add_key, "user", KEY, SECRET, sizeof(SECRET), KEY_SPEC_SESSION_KEYRING);
}

static long huge_pages(long wanted)
{
	FILE *file = fopen("/proc/sys/vm/nr_hugepages", wanted < 0 ? "re" : "we");
	long n = -1;

	if (!file)
		return -1;
	if (wanted < 0 ? fscanf(file, "%ld", &n) != 1 : fprintf(file, "%ld\n", wanted) < 0)
		n = -1;
	fclose(file);
	return n;
}

void canary_create(struct canary *ret)
{
	struct timespec real, mono;

	*ret = (struct canary){.dir = "/tmp/escape.XXXXXX", .loop = -1};
	assert_non_null(mkdtemp(ret->dir));
	assert_int_equal(chmod(ret->dir, 0755), 0);
	ret->env = calloc(ENV_MAX, sizeof(*ret->env));
	assert_non_null(ret->env);
	tell(ret, "PATH", "/bin");
	make_files(ret);
	make_handle(ret);
	make_passed(ret);
	make_device(ret);
	make_terminal(ret);
	make_victim(ret);
	make_server(ret);
	find_address(ret);
	make_ipc(ret);
	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	ret->clock_shift = 5 - (real.tv_sec - mono.tv_sec) % 10;
	tell(ret, "CANARY_LOG", "ouassister-canary-%d", (int)getpid());
	shell("echo ouassister-canary-%d >/dev/kmsg || true", (int)getpid());
	ret->huge_pages = huge_pages(-1);
	if (ret->huge_pages >= 0)
		huge_pages(ret->huge_pages + 2);
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

void canary_destroy(struct canary *canary)
{
	if (canary->huge_pages >= 0)
		huge_pages(canary->huge_pages);
	end_child(canary->victim);
	end_child(canary->server);
	close_fd(&canary->loop);
	mq_unlink("/" KEY);
	shmctl(shmget(SHM_KEY, 0, 0), IPC_RMID, NULL);
	assert_int_equal(chdir("/"), 0);
	assert_ok(io_remove_tree(canary->dir));
	for (size_t n = 0; canary->env[n]; n++)
		free(canary->env[n]);
	free(canary->env);
	free(canary->disk);
}

/* Attributes and the bytes of a file; what cannot be read says so. */
static void print_file(FILE *out, const char *directory, const char *name, bool is_system)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, name), *content = NULL;
	size_t size = 0;
	struct stat st = {0};
	struct error *error = io_read_file(path, 16 << 20, &content, &size);

	fprintf(out, "%s %s\n", path, error ? error->message : "");
	if (!error)
		fwrite(content, 1, size, out);
	error_destroy(error);
	if (!is_system && stat(path, &st) == 0)
		fprintf(out, "%llu %o %u %u %llu %lld\n", (unsigned long long)st.st_ino, st.st_mode, st.st_uid,
			st.st_gid, (unsigned long long)st.st_nlink, (long long)st.st_mtime);
}

static void print_names(FILE *out, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		fprintf(out, "%s\n", entry->d_name);
	if (dir)
		closedir(dir);
}

static void print_objects(FILE *out, const struct canary *canary)
{
	const char *shared = shmat(shmget(SHM_KEY, 0, 0), NULL, SHM_RDONLY);
	_cleanup_(free_ptr) char *path = string_format("/proc/%d/mem", (int)canary->victim);
	_cleanup_(close_fd) int mem = open(path, O_RDONLY | O_CLOEXEC);
	char memory[64] = "", key[64] = "", name[65];
	long id = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", KEY, 0);
	int queue = mq_open("/" KEY, O_RDONLY | O_CLOEXEC);

	gethostname(name, sizeof(name));
	(void)!pread(mem, memory, sizeof(memory) - 1, (off_t)(uintptr_t)secret);
	if (id >= 0)
		(void)syscall(SYS_keyctl, KEYCTL_READ, id, key, sizeof(key) - 1);
	fprintf(out, "name %s\nvictim %d %s\nshared %s\nkey %s\nqueue %d\n", name, kill(canary->victim, 0), memory,
		shared == (void *)-1 ? "" : shared, key, queue >= 0);
	close_fd(&queue);
	if (shared != (void *)-1)
		shmdt(shared);
}

char *canary_text(const struct canary *canary)
{
	static const char *const system[] = {"proc/sys/kernel/core_pattern",  "proc/sys/kernel/panic",
					     "proc/sys/vm/overcommit_memory", "proc/sys/vm/stat_interval",
					     "proc/self/mountinfo",           "proc/swaps",
					     "sys/class/net/lo/mtu"};
	struct timespec real, mono;
	_cleanup_(free_ptr) char *host = string_format("%s/host", canary->dir);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	print_file(out, canary->dir, "host/secret", false);
	print_file(out, canary->dir, "disk.raw", false);
	print_file(out, canary->dir, "device", false);
	print_names(out, host);
	for (size_t i = 0; i < ARRAY_SIZE(system); i++)
		print_file(out, "", system[i], true);
	print_objects(out, canary);
	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	/* Of ten seconds, which the host's own care for its clock does not cross. */
	fprintf(out, "clock %lld\n", (long long)(real.tv_sec - mono.tv_sec + canary->clock_shift) / 10);
	fclose(out);
	return text;
}
