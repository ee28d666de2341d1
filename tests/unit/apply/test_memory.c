/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper's memory does not grow with the payload: 80,000 files, ten times a full upgrade's, each with an extended
 * attribute, within 7 MiB, so that it stays far below 32 MiB with differences and whatever the number. Measured
 * is RssAnon of proc_pid_status(5), the most of any of its processes, looked at every 2 ms: what it has mapped of files
 * the kernel can put on the disk when it needs memory. MEMORY_FILES asks for another number; near the most that the
 * format allows, 1,700,000 of such files, it takes 8 GiB of memory for the tree, and minutes.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "bundle/bundle.h"
#include "fixture.h"

#define FILES_EACH     100
#define MEMORY_MAX_KIB (7 * 1024)
#define PACKED_PAYLOAD FIXTURE_SPACE "/packed"

/* RssAnon of a process in KiB if it runs the helper, else 0: what the kernel cannot take from it without swap. */
static unsigned long anonymous(const char *pid)
{
	_cleanup_(free_ptr) char *exe = string_format("/proc/%s/exe", pid);
	_cleanup_(free_ptr) char *status = string_format("/proc/%s/status", pid);
	_cleanup_(free_ptr) char *text = NULL;
	char target[4096] = "";
	struct error *error;
	const char *line;

	if (readlink(exe, target, sizeof(target) - 1) < 0 || strcmp(target, getenv("HELPER")) != 0)
		return 0;
	error = io_read_file(status, 1 << 16, &text, NULL);
	line = error ? NULL : strstr(text, "RssAnon:");
	error_destroy(error);
	return line ? strtoul(line + strlen("RssAnon:"), NULL, 10) : 0;
}

/* The most that any process of the helper had, until `pid` has ended. */
static unsigned long watch(pid_t pid, int *ret_status)
{
	unsigned long most = 0;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		DIR *processes = opendir("/proc");
		struct dirent *entry;

		assert_non_null(processes);
		while ((entry = readdir(processes))) {
			unsigned long now =
				entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? anonymous(entry->d_name) : 0;

			most = now > most ? now : most;
		}
		closedir(processes);
		usleep(2000);
	}
	assert_true(WIFEXITED(status));
	*ret_status = WEXITSTATUS(status);
	return most;
}

/* Files without content: what is measured is what the helper knows of them. */
static void make_payload(struct builder *b, unsigned n_files)
{
	fixture_copy();
	builder_init(b, FIXTURE_ROOT);
	builder_add(b, CHANGE_DIRECTORY, "many", S_IFDIR | 0755);
	for (unsigned i = 0; i < n_files; i++) {
		struct builder_entry *e;
		char path[128];

		if (i % FILES_EACH == 0) {
			snprintf(path, sizeof(path), "many/doc-%u", i / FILES_EACH);
			builder_add_fresh(b, CHANGE_DIRECTORY, path, S_IFDIR | 0755);
		}
		snprintf(path, sizeof(path), "many/doc-%u/%u", i / FILES_EACH, i);
		e = builder_add_fresh(b, CHANGE_WRITE, path, S_IFREG | 0644);
		builder_content(e, "", 0);
		builder_xattr(e, "trusted.a", "", 0);
	}
	builder_write(b, FIXTURE_PAYLOAD);
}

static void needs_no_more_memory_for_more_files(void **state)
{
	static const char *const files[] = {FIXTURE_PAYLOAD, PACKED_PAYLOAD};
	unsigned n_files = getenv("MEMORY_FILES") ? (unsigned)strtoul(getenv("MEMORY_FILES"), NULL, 10) : 80000;
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(close_fd) int packed = -1;

	need_root();
	/* On this tmpfs lies what on a guest's disk would. */
	shell("mount -o remount,size=8g,nr_inodes=8m %s", FIXTURE_SPACE);
	builder_entries_max += n_files + n_files / FILES_EACH;
	make_payload(&b, n_files);
	packed = open(PACKED_PAYLOAD, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_ok(payload_pack(FIXTURE_PAYLOAD, NULL, packed, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_(close_fd) int in = open(files[i], O_RDONLY | O_CLOEXEC);
		_cleanup_(close_fd) int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
		unsigned long most;
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			dup2(in, 0);
			dup2(out, 1);
			execl(getenv("HELPER"), "helper", "apply", "--root", FIXTURE_ROOT, "--payload", "-", "--sha256",
			      b.hex, NULL);
			_exit(127);
		}
		most = watch(pid, &status);
		print_message("%u files, %s: at most %lu KiB of its own\n", n_files, strrchr(files[i], '/') + 1, most);
		assert_int_equal(status, 0);
		/* And it was seen at all. */
		assert_true(most > 500 && most < MEMORY_MAX_KIB);
		assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
		assert_int_equal(access(FIXTURE_ROOT "/many", F_OK), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(needs_no_more_memory_for_more_files),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
