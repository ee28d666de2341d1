/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The escape suite. Compiled twice: with the shadow as it is, where every attempt of the table must fail, as the
 * guest's root and as an ordinary user, with a guest's memory and without, and the host stay as it is; and with the
 * shadow that can be weakened, where each must succeed without its defences. Needs root.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "image/image.h"
#include "shadow/answer.h"
#include "shadow/internal.h"
#include "shadow/refusals.h"
#include "tests/unit/shadow/escape/canary.h"
#include "tests/unit/shadow/escape/escape.h"
#include "tests/unit/shadow/escape/table.h"
#include "tests/unit/shadow/fixture.h"

#define MIB     (UINT64_C(1) << 20)
#define SLOW_NS (UINT64_C(15) * 1000000000)

/*
 * Of the sanitized program: it sets aside what was freed, up to 256 MiB by default. The server of /proc lives under the
 * same limit of memory as those who flood it, and freed 16 MiB a second would soon reach it.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=8";
}

static struct canary canary;
static unsigned n_lines, n_failed;
/* Of the shadows that are made: refused calls are answered by us, who note them, and not by the filter. */
static bool noting;
/* The guest's disk, read in userspace; NULL: the roots are directories, which the kernel shifts as its own mounts. */
static struct disk *disk;

static void report(bool ok, const char *name, const char *text, const char *detail)
{
	n_lines++;
	n_failed += !ok;
	printf("%sok %u - %s: %s%s%s\n", ok ? "" : "not ", n_lines, name, text, detail[0] ? " # " : "", detail);
	fflush(stdout);
}

/* One shadow over one of the roots. */
struct trial {
	char *layers, *run;
	struct shadow *shadow;
	const struct shadow_user *user;
};

static void trial_end(struct trial *trial)
{
	shadow_destroy(trial->shadow);
	error_destroy(io_remove_tree(trial->layers));
	error_destroy(io_remove_tree(trial->run));
	free(trial->layers);
	free(trial->run);
	*trial = (struct trial){0};
}

static struct error *trial_begin(struct trial *trial, const char *root, struct guest *guest)
{
	_cleanup_(free_ptr) char *lower = string_format("%s/%s", canary.dir, root ? root : "root");
	struct shadow_tree tree = {.target = "/", .lower = lower};
	struct shadow_options options = {
		.guest = guest,
		.note_refusals = noting,
		.limits = {.processes = 100, .memory_bytes = 128 * MIB, .disk_bytes = 64 * MIB, .open_files = 4096}};

	*trial = (struct trial){.layers = string_format("%s/layers", canary.dir),
				.run = string_format("%s/run", canary.dir)};
	assert_int_equal(mkdir(trial->layers, 0700), 0);
	assert_int_equal(mkdir(trial->run, 0700), 0);
	options.layers_dir = trial->layers;
	options.run_dir = trial->run;
	options.disk = disk;
	if (disk)
		return shadow_create(&options, &trial->shadow);
	return shadow_create_from(&tree, 1, canary.disk, &options, &trial->shadow);
}

/* While the attempt holds all it could get. */
static pid_t watch_watches(const struct escape *escape)
{
	pid_t pid = escape->sign == SIGN_WATCHES ? fork() : -1;

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < 1000; i++) {
		int fd = inotify_init1(IN_CLOEXEC);

		if (fd < 0)
			_exit(1);
		close(fd);
		usleep(5000);
	}
	_exit(0);
}

static bool watches_failed(pid_t pid)
{
	int status = 0;

	if (waitpid(pid, &status, WNOHANG) == 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return false;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static bool is_setuid_on_host(const struct shadow *shadow)
{
	int status = 0, fd = openat(shadow->layers[0].upper_raw_fd, "data/setuid", O_RDONLY);
	pid_t pid = fd < 0 ? -1 : fork();

	if (pid == 0) {
		char *argv[] = {"escape", "euid", NULL}, *env[] = {NULL};

		if (setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0)
			syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH);
		_exit(99);
	}
	close_fd(&fd);
	if (pid < 0)
		return false;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == ESCAPED;
}

/* The kernel's default is restored: an interval of its statistics. */
static bool setting_changed(void)
{
	_cleanup_(free_ptr) char *value = NULL;

	assert_ok(io_read_file("/proc/sys/vm/stat_interval", 64, &value, NULL));
	if (strcmp(value, "7\n") != 0)
		return false;
	shell("echo 1 >/proc/sys/vm/stat_interval");
	return true;
}

/* Made through a link of the guest's, by us. */
static bool node_made(void)
{
	_cleanup_(free_ptr) char *path = string_format("%s/host/node", canary.dir);
	struct stat st;

	if (lstat(path, &st) < 0)
		return false;
	unlink(path);
	return true;
}

/* A second run, after the first has changed the tree under what is mounted. That it cannot start is well, too. */
static bool finds_again(const struct trial *trial)
{
	const char *argv[] = {"escape", "links-swapped", NULL};
	struct shadow_run_options options = {.argv = argv, .env = (const char *const *)canary.env, .timeout_s = 30};
	_cleanup_(free_ptr) char *output = NULL;
	int status = HELD;
	struct error *error = shadow_capture(trial->shadow, &options, &status, &output);
	bool found = !error && status == ESCAPED;

	error_destroy(error);
	return found;
}

/* Whether the attempt worked; *ret_text: what it said. */
static bool attempt(const struct trial *trial, const struct escape *escape, char ret_text[200])
{
	const char *argv[] = {"escape", escape->sign == SIGN_STARTED ? "euid" : escape->name, NULL};
	struct shadow_network network = {.enabled = escape->network};
	struct shadow_run_options options = {.argv = argv,
					     .env = (const char *const *)canary.env,
					     .network = &network,
					     .user = trial->user,
					     .timeout_s = 30};
	_cleanup_(free_ptr) char *output = NULL;
	pid_t watcher = watch_watches(escape);
	struct error *error;
	uint64_t begun = clock_monotonic_ns();
	int status = HELD;
	bool failed;
	char name[65];

	error = shadow_capture(trial->shadow, &options, &status, &output);
	snprintf(ret_text, 200, "%s", error ? error->message : output);
	ret_text[strcspn(ret_text, "\n#")] = '\0';
	failed = error;
	error_destroy(error);
	if (status == UNKNOWN)
		report(false, escape->name, "could not be tried", ret_text);
	switch (escape->sign) {
	case SIGN_STATUS:
	case SIGN_STARTED:
		return !failed && status == ESCAPED;
	case SIGN_NAME:
		gethostname(name, sizeof(name));
		if (strcmp(name, "escaped") != 0)
			return false;
		assert_int_equal(sethostname("canary", 6), 0);
		return true;
	case SIGN_SETTING:
		return setting_changed();
	case SIGN_SETUID:
		return !failed && is_setuid_on_host(trial->shadow);
	case SIGN_WATCHES:
		return watches_failed(watcher);
	case SIGN_NODE:
		return node_made();
	case SIGN_SLOW:
		return failed || clock_monotonic_ns() - begun > SLOW_NS;
	case SIGN_AGAIN:
		return status == ESCAPED || finds_again(trial);
	}
	return false;
}

/* A process with its first call of uname(2) handed to us; *ret_listener is in our table, which it shares. */
static pid_t start_caller(int *ret_listener)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_uname, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {ARRAY_SIZE(code), code};
	char name[4096];
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);

		(void)!write(ends[1], &fd, sizeof(fd));
		syscall(SYS_uname, name);
		_exit(0);
	}
	assert_int_equal(read(ends[0], ret_listener, sizeof(*ret_listener)), sizeof(*ret_listener));
	close(ends[0]);
	close(ends[1]);
	return pid;
}

/* A process with this number, which the host's root can choose where the guest would have to wait for it. */
static pid_t start_with_pid(pid_t wanted)
{
	struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&wanted, .set_tid_size = 1};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

/* The caller of an answered call is killed and its number is another's before its files are opened. */
static void check_reused_pid(bool stands)
{
	union {
		struct seccomp_notif request;
		char space[1024];
	} in = {0};
	struct answers answers = {.listener = -1};
	struct answer_call call = {.answers = &answers, .request = &in.request, .memory = -1};
	pid_t caller = start_caller(&answers.listener), other;
	int fd;

	assert_int_equal(ioctl(answers.listener, SECCOMP_IOCTL_NOTIF_RECV, &in.request), 0);
	fd = answer_open_proc(&call, "status", O_RDONLY);
	report(fd >= 0, "reused-pid", "the caller itself is opened", "");
	close_fd(&fd);
	kill(caller, SIGKILL);
	waitpid(caller, NULL, 0);
	other = start_with_pid(caller);
	fd = answer_open_proc(&call, "status", O_RDONLY);
	if (other < 0)
		report(true, "reused-pid", "another process", "SKIP no number can be chosen here");
	else
		report((fd < 0) == stands, "reused-pid",
		       stands ? "held: another process" : "succeeds without still waiting", "");
	close_fd(&fd);
	close_fd(&answers.listener);
	if (other > 0) {
		kill(other, SIGKILL);
		waitpid(other, NULL, 0);
	}
}

#ifndef SHADOW_WEAKEN

static void check_held(const struct trial *trial, const struct escape *escape, const char *who, const char *before)
{
	_cleanup_(free_ptr) char *after = NULL;
	char text[200], line[300];
	bool escaped = attempt(trial, escape, text);

	after = canary_text(&canary);
	for (size_t i = 0; before[i] && strcmp(before, after) != 0; i++)
		if (before[i] != after[i]) {
			fprintf(stderr, "%s, at byte %zu:\n%.300s\n", escape->name, i, after + i);
			break;
		}
	snprintf(line, sizeof(line), "held %s%s", who, strcmp(before, after) ? ", but the host is not as it was" : "");
	report(!escaped && strcmp(before, after) == 0, escape->name, line, text);
}

static void check_all(struct guest *guest, const struct shadow_user *user, const char *who)
{
	_cleanup_(free_ptr) char *before = NULL;
	struct trial trial;

	assert_ok(trial_begin(&trial, NULL, guest));
	trial.user = user;
	before = canary_text(&canary);
	for (size_t i = 0; i < ARRAY_SIZE(escapes); i++)
		if (!escapes[i].root && !(guest && escapes[i].answered) && (guest || !escapes[i].memory))
			check_held(&trial, &escapes[i], who, before);
	trial_end(&trial);
}

/* Trees that must be refused, when the shadow is made or when the program would start. */
static void check_roots(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(escapes); i++) {
		struct trial trial;
		struct error *error;
		char text[200] = "";
		bool escaped;

		if (!escapes[i].root)
			continue;
		error = trial_begin(&trial, escapes[i].root, NULL);
		escaped = !error && attempt(&trial, &escapes[i], text);
		report(!escaped, escapes[i].name, "refused", error ? error->message : text);
		error_destroy(error);
		trial_end(&trial);
	}
}

/* A guest that sleeps: its /proc is then served by us. */
static struct error *open_guest(struct image **ret_image, struct guest **ret)
{
	_cleanup_(free_ptr) char *path = string_format("%s/memory", canary.dir);
	struct image_options image_options = {0};
	struct guest_options guest_options = {0};
	struct error *error;

	shell("zstd -qdf %s -o %s", MEMORY_IMAGE, path);
	error = image_open(path, &image_options, ret_image);
	return error ? error : guest_open(*ret_image, &guest_options, ret);
}

/* The root as a guest's disk, with what is asked of one; mounted as the shadow of a guest has it by default. */
static void open_root_disk(void)
{
	_cleanup_(free_ptr) char *path = string_format("%s/root.raw", canary.dir);
	const struct disk_options options = {
		.way = DISK_WAY_USERSPACE, .path = path, .format = "raw", .work_dir = canary.dir};
	struct statfs fs;

	shell("cd %s; cp -a root tree; echo ID=test >tree/etc/os-release; echo /dev/vda / ext4 >tree/etc/fstab\n"
	      "truncate -s 64M root.raw; mke2fs -q -t ext4 -d tree root.raw",
	      canary.dir);
	assert_ok(disk_open(&options, &disk));
	assert_int_equal(fstatfs(disk_root(disk), &fs), 0);
	assert_int_equal(fs.f_type, FUSE_SUPER_MAGIC);
}

static void check(void)
{
	const struct shadow_user nobody = {.uid = 1000, .gid = 1000};
	struct image *image = NULL;
	struct guest *guest = NULL;

	check_all(NULL, NULL, "as root");
	check_all(NULL, &nobody, "as a user");
	check_roots();
	assert_ok(open_guest(&image, &guest));
	open_root_disk();
	check_all(guest, NULL, "as root, with memory, over the reader of ext4");
	noting = true;
	check_all(guest, NULL, "as root, with memory, over the reader of ext4, noted");
	check_all(NULL, &nobody, "as a user, over the reader of ext4, noted");
	noting = false;
	disk_close(take_ptr(disk));
	check_reused_pid(true);
	guest_close(guest);
	image_close(image);
}

#else

#include "shadow/weaken.h"

/* Whether the host itself can do it: not every kernel has everything. */
static bool works_on_host(const struct escape *escape)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0) {
		if (unshare(CLONE_NEWNS) == 0)
			execle(ESCAPE, "escape", escape->name, NULL, canary.env);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == ESCAPED;
}

static void check_weak(const struct escape *escape)
{
	char text[200] = "", line[400];
	struct trial trial;
	struct error *error;
	bool escaped;

	if (escape->held) {
		snprintf(line, sizeof(line), "SKIP %s", escape->held);
		report(true, escape->name, "cannot be weakened", line);
		return;
	}
	weaken_n = 0;
	snprintf(line, sizeof(line), "succeeds%s without", noting ? ", noted," : "");
	for (size_t i = 0; escape->defences[i]; i++) {
		weaken_names[weaken_n++] = escape->defences[i];
		snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s %s", i ? "," : "", escape->defences[i]);
	}
	if (escape->feature && !works_on_host(escape)) {
		report(true, escape->name, line, "SKIP this host itself cannot");
		return;
	}
	error = trial_begin(&trial, escape->root, NULL);
	escaped = !error && attempt(&trial, escape, text);
	report(escaped, escape->name, line, error ? error->message : text);
	error_destroy(error);
	trial_end(&trial);
}

/* Whether one of its defences is a line of the table of refusals, or all of those that look at arguments. */
static bool is_filtered(const struct escape *escape)
{
	for (size_t i = 0; !escape->once && escape->defences[i]; i++) {
		if (strcmp(escape->defences[i], "arguments") == 0)
			return true;
		for (size_t k = 0; k < n_refusals; k++)
			if (strcmp(escape->defences[i], refusals[k].name) == 0)
				return true;
	}
	return false;
}

static void check(void)
{
	const char *only = getenv("ESCAPE");

	for (size_t i = 0; i < ARRAY_SIZE(escapes); i++)
		if (!only || strcmp(only, escapes[i].name) == 0)
			check_weak(&escapes[i]);
	/* What the filter has a say in is answered by us: each of these would succeed if it were not. */
	noting = true;
	for (size_t i = 0; i < ARRAY_SIZE(escapes); i++)
		if ((!only || strcmp(only, escapes[i].name) == 0) && is_filtered(&escapes[i]))
			check_weak(&escapes[i]);
	noting = false;
	weaken_names[0] = "still waiting";
	weaken_n = 1;
	check_reused_pid(false);
}

#endif

int main(void)
{
	static const char *const links[] = {"run", "proc", "dev", "sys"};
	_cleanup_(free_ptr) char *root = NULL;

	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	/* The "host" is a namespace of our own where it can be: its name, its IPC objects, its mounts. */
	if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || sethostname("canary", 6) < 0)
		return 1;
	canary_create(&canary);
	root = string_format("%s/root", canary.dir);
	make_root(root);
	shell("cp %s %s/bin/escape", ESCAPE, root);
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		shell("cd %s; cp -a root links-%s; rm -rf links-%s/%s; ln -s %s/host links-%s/%s", canary.dir, links[i],
		      links[i], links[i], canary.dir, links[i], links[i]);
	check();
	printf("1..%u\n", n_lines);
	canary_destroy(&canary);
	return n_failed ? 1 : 0;
}
