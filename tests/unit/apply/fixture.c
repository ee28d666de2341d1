/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>

#include "base/io.h"
#include "dump.h"

#define BAD_NAME "odd/new\nline \xff\xfe name"

char fixture_output[1 << 20];

void shell(const char *format, ...)
{
	_cleanup_(free_ptr) char *command = NULL;
	va_list arguments;

	va_start(arguments, format);
	assert_true(vasprintf(&command, format, arguments) >= 0);
	va_end(arguments);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static void make_base(void)
{
	shell("set -e; umask 022; mkdir -p %s; cd %s; "
	      "mkdir -p var/lib/ouassister var/lib/dpkg/info usr/lib usr/bin etc odd gone/deep tofile todir.d swap; "
	      "chmod 700 var/lib/ouassister; "
	      ": > var/lib/dpkg/lock; : > var/lib/dpkg/lock-frontend; echo status1 > var/lib/dpkg/status; echo list > "
	      "var/lib/dpkg/info/x.list; "
	      "echo libc1 > usr/lib/libc.so.6; echo ld1 > usr/lib/ld-linux-x86-64.so.2; "
	      "echo one > usr/bin/one; chmod 4755 usr/bin/one; ln usr/bin/one usr/bin/one-too; "
	      "echo conf > etc/conf; echo same > etc/rewritten; setfattr -n user.old -v 1 etc/rewritten; "
	      "echo kept > etc/kept; ln -s kept etc/link; mkfifo odd/fifo; mknod odd/null c 1 3; "
	      "echo deep > gone/deep/file; ln -s nowhere gone/link; echo x > tofile/x; echo f > todir; "
	      "seq 100000 > usr/lib/big; : > etc/empty; echo s1 > swap/a; "
	      "find . -exec touch -h -d @1600000000.5 {} +",
	      FIXTURE_BASE, FIXTURE_BASE);
}

int fixture_setup(void **state)
{
	if (geteuid() != 0)
		return 0;
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("test-apply", FIXTURE_SPACE, "tmpfs", 0, "size=256m,mode=700"), 0);
	make_base();
	return 0;
}

int fixture_teardown(void **state)
{
	if (geteuid() != 0)
		return 0;
	umount2(FIXTURE_SPACE, MNT_DETACH);
	return 0;
}

void fixture_copy(void)
{
	/* A test that failed may have left something mounted. */
	umount2(FIXTURE_ROOT "/usr/lib", MNT_DETACH);
	umount2(FIXTURE_ROOT "/other", MNT_DETACH);
	assert_ok(io_remove_tree(FIXTURE_ROOT));
	shell("cp -a %s %s", FIXTURE_BASE, FIXTURE_ROOT);
}

static void add_file(struct builder *b, const char *path, uint32_t mode, const char *text)
{
	builder_content(builder_add(b, CHANGE_WRITE, path, S_IFREG | mode), text, strlen(text));
}

static void add_special_files(struct builder *b)
{
	/* A capability set, version 2, and an access ACL that gives user 1000 read access. */
	static const uint8_t capability[20] = {1, 0, 0, 2, 0, 4};
	static const uint8_t acl[] = {2, 0,   0,   0,   1,   0,   6,  0, 255, 255, 255, 255, 2,   0,  4,
				      0, 232, 3,   0,   0,   4,   0,  4, 0,   255, 255, 255, 255, 16, 0,
				      4, 0,   255, 255, 255, 255, 32, 0, 4,   0,   255, 255, 255, 255};
	static uint8_t holes[300000];
	struct builder_entry *e;

	e = builder_add(b, CHANGE_WRITE, "usr/bin/ping", S_IFREG | 0755);
	builder_content(e, "ping", 4);
	builder_xattr(e, "security.capability", capability, sizeof(capability));
	e->change.attributes.uid = 70000;
	e->change.attributes.gid = 80000;

	e = builder_add(b, CHANGE_WRITE, "etc/shared", S_IFREG | 0644);
	builder_content(e, "acl", 3);
	builder_xattr(e, "system.posix_acl_access", acl, sizeof(acl));
	builder_xattr(e, "user.note", "n\0te", 4);

	memset(holes + 100000, 'x', 5000);
	e = builder_add(b, CHANGE_WRITE, "usr/lib/sparse", S_IFREG | 0600);
	builder_content(e, holes, sizeof(holes));
	e->flags = PAYLOAD_ENTRY_SPARSE;

	/* The same with holes and without, and small, here and (if something is mounted there) on another file system.
	 */
	builder_share(b, builder_add(b, CHANGE_WRITE, "odd/holes", S_IFREG | 0600), e);
	b->entries[b->n_entries - 1].flags |= PAYLOAD_ENTRY_SPARSE;
	builder_share(b, builder_add(b, CHANGE_WRITE, "odd/filled", S_IFREG | 0600), e);
	e = &b->entries[3];
	builder_share(b, builder_add(b, CHANGE_WRITE, "etc/conf-too", S_IFREG | 0644), e);
	builder_share(b, builder_add(b, CHANGE_WRITE, "usr/lib/conf-three", S_IFREG | 0640), e);

	e = builder_add(b, CHANGE_SYMLINK, "etc/link", S_IFLNK | 0777);
	builder_target(e, "/absolute/../target");
	e->change.attributes.uid = 33;
	builder_target(builder_add(b, CHANGE_SYMLINK, BAD_NAME, S_IFLNK | 0777), "\xff\n");
	builder_add(b, CHANGE_FIFO, "odd/fifo2", S_IFIFO | 0640);
	e = builder_add(b, CHANGE_DEVICE, "odd/null", S_IFCHR | 0600);
	e->change.rdev = makedev(1, 5);
	e = builder_add(b, CHANGE_DEVICE, "odd/disk", S_IFBLK | 0600);
	e->change.rdev = makedev(7, 300);
}

/* A directory with what it holds, in the place of a file and beside; a file in that of a directory. */
static void add_directories(struct builder *b)
{
	builder_add(b, CHANGE_DELETE, "gone/deep/file", 0);
	builder_add(b, CHANGE_DELETE, "gone/deep", 0);
	builder_add(b, CHANGE_DELETE, "gone/link", 0);
	builder_add(b, CHANGE_DELETE, "gone", 0);
	builder_add(b, CHANGE_DELETE, "tofile/x", 0);
	builder_add(b, CHANGE_DELETE, "tofile", 0);
	builder_content(builder_add_fresh(b, CHANGE_WRITE, "tofile", S_IFREG | 0644), "file", 4);
	builder_add(b, CHANGE_DIRECTORY, "todir", S_IFDIR | 0750);
	add_file(b, "todir/inner", 0644, "inner");
	b->entries[b->n_entries - 1].change.before = (struct change_preimage){};
	builder_add(b, CHANGE_DIRECTORY, "new", S_IFDIR | S_ISVTX | 0777);
	builder_add(b, CHANGE_DIRECTORY, "new/er", S_IFDIR | 0700);
	add_file(b, "new/er/file", 0400, "");
	builder_add(b, CHANGE_DELETE, "swap/a", 0);
	builder_add(b, CHANGE_DELETE, "swap", 0);
	builder_add_fresh(b, CHANGE_DIRECTORY, "swap", S_IFDIR | 0711);
	builder_content(builder_add_fresh(b, CHANGE_WRITE, "swap/a", S_IFREG | 0644), "s2", 2);
}

static void add_attributes(struct builder *b)
{
	static const char *const directories[] = {"var/lib/dpkg/info", "var/lib/dpkg", "usr/lib",
						  "usr/bin",           "odd",          "etc"};
	struct builder_entry *e;

	e = builder_add(b, CHANGE_ATTRIBUTES, "etc/rewritten", S_IFREG | 0644);
	e->flags = PAYLOAD_ENTRY_REWRITTEN;
	builder_xattr(e, "user.new", "2", 1);
	e = builder_add(b, CHANGE_ATTRIBUTES, "etc/empty", S_IFREG | 04711);
	e->change.attributes.uid = 5;
	builder_add(b, CHANGE_ATTRIBUTES, "etc/kept", S_IFREG | 0644)->change.attributes.mtime_s = -5;
	builder_add_fresh(b, CHANGE_ATTRIBUTES, "new/er", S_IFDIR | 0701);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		builder_add(b, CHANGE_ATTRIBUTES, directories[i], S_IFDIR | 0755);
}

char *fixture_expected(const struct builder *b)
{
	char *dump;

	shell("rm -rf %s/reference && cp -a %s %s/reference", FIXTURE_SPACE, FIXTURE_BASE, FIXTURE_SPACE);
	builder_reference(b, FIXTURE_SPACE "/reference");
	dump = dump_tree(FIXTURE_SPACE "/reference");
	shell("rm -r %s/reference", FIXTURE_SPACE);
	return dump;
}

void fixture_every_kind(struct builder *b)
{
	add_file(b, "var/lib/dpkg/status", 0644, "status2");
	add_file(b, "var/lib/dpkg/info/y.list", 0644, "y");
	builder_add(b, CHANGE_DELETE, "var/lib/dpkg/info/x.list", 0);
	add_file(b, "etc/conf", 0600, "conf two");
	add_file(b, "usr/lib/libc.so.6", 0755, "libc2");
	add_file(b, "usr/lib/ld-linux-x86-64.so.2", 0755, "ld2");
	add_file(b, "usr/bin/one", 04755, "one two");
	builder_target(builder_add(b, CHANGE_LINK, "usr/bin/one-too", S_IFREG | 04755), "usr/bin/one");
	builder_target(builder_add(b, CHANGE_LINK, "etc/kept-too", S_IFREG | 0644), "etc/kept");
	builder_target(builder_add(b, CHANGE_LINK, "usr/bin/one-three", S_IFREG | 04755), "usr/bin/one-too");
	add_special_files(b);
	add_directories(b);
	add_attributes(b);
}

/* --- the helper --- */

static void child(unsigned fault, const char *environment, char *const *argv, int in, int out)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", fault);
	if (fault)
		setenv("OUA_FAULT", number, 1);
	if (environment)
		putenv(strdup(environment));
	setenv("ASAN_OPTIONS", "log_path=" FIXTURE_SPACE "/asan:abort_on_error=0", 1);
	setenv("UBSAN_OPTIONS", "log_path=" FIXTURE_SPACE "/ubsan:print_stacktrace=1", 1);
	if (in >= 0)
		dup2(in, 0);
	dup2(out, 1);
	execv(argv[0], argv);
	_exit(127);
}

static pid_t start_helper(unsigned fault, const char *environment, char *const *argv, int in, int out)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		child(fault, environment, argv, in, out);
	return pid;
}

/* Standard error of the worker is /dev/null: the sanitizers write files. */
static void assert_no_complaint(void)
{
	DIR *space = opendir(FIXTURE_SPACE);
	struct dirent *entry;

	assert_non_null(space);
	while ((entry = readdir(space)))
		if (strstr(entry->d_name, "san.")) {
			shell("cat " FIXTURE_SPACE "/*san.* >&2; rm " FIXTURE_SPACE "/*san.*");
			fail_msg("a sanitizer has complained");
		}
	closedir(space);
}

int helper_wait(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_no_complaint();
	return WEXITSTATUS(status);
}

int helper_with(unsigned fault, const char *environment, const char *verb, const struct builder *b,
		const char *const *options)
{
	_cleanup_(close_fd) int out = open(FIXTURE_SPACE "/output", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	const char *argv[24] = {getenv("HELPER"), verb, "--root", FIXTURE_ROOT};
	size_t used = 4;
	ssize_t n;
	int status;

	assert_non_null(argv[0]);
	for (; options && *options && used < 16; options++)
		argv[used++] = *options;
	for (const char *const *word =
		     (const char *const[]){"--payload", FIXTURE_PAYLOAD, "--sha256", b ? b->hex : NULL, NULL};
	     b && *word; word++)
		argv[used++] = *word;
	status = helper_wait(start_helper(fault, environment, (char *const *)argv, -1, out));
	n = pread(out, fixture_output, sizeof(fixture_output) - 1, 0);
	assert_true(n >= 0);
	fixture_output[n] = '\0';
	return status;
}

int helper(unsigned fault, const char *environment, const char *verb, const struct builder *b)
{
	return helper_with(fault, environment, verb, b, NULL);
}

pid_t helper_start(const struct builder *b, int *ret_stdin)
{
	_cleanup_(close_fd) int out = open(FIXTURE_SPACE "/output", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char *argv[] = {getenv("HELPER"),     (char *)"apply",     (char *)"--root",
			(char *)FIXTURE_ROOT, (char *)"--payload", (char *)"-",
			(char *)"--sha256",   (char *)b->hex,      NULL};
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = start_helper(0, NULL, argv, fds[0], out);
	close(fds[0]);
	*ret_stdin = fds[1];
	return pid;
}

void wait_for_report(const char *text)
{
	for (unsigned i = 0; i < 1000; i++) {
		_cleanup_(free_ptr) char *report = NULL;
		struct error *error = io_read_file(FIXTURE_ROOT "/var/lib/ouassister/report", 1 << 20, &report, NULL);

		if (!error && strstr(report, text))
			return;
		error_destroy(error);
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	fail_msg("the helper never said %s", text);
}

void assert_result(const char *result)
{
	_cleanup_(free_ptr) char *wanted = string_format("\"result\":\"%s\"", result);

	if (!strstr(fixture_output, wanted))
		fail_msg("no %s in: %s", wanted, fixture_output);
}

void assert_tree(const char *root, const char *dump)
{
	_cleanup_(free_ptr) char *found = dump_tree(root);
	const char *a = found, *b = dump;

	while (*a && *b) {
		size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");

		if (n != m || memcmp(a, b, n))
			fail_msg("the tree differs:\n found    %.*s\n expected %.*s", (int)n, a, (int)m, b);
		a += n + (a[n] == '\n');
		b += m + (b[m] == '\n');
	}
	assert_string_equal(a, b);
}
