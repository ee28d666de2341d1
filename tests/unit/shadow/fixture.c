/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/shadow/fixture.h"

#include <glob.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/process.h"
#include "shadow/internal.h"

const char *const shadow_env[] = {"PATH=/bin", NULL};

bool fixture_private_mounts(void)
{
	return geteuid() != 0 || (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
}

int fixture_create(const char *template, void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	*state = f;
	if (geteuid() != 0)
		return 0;
	snprintf(f->dir, sizeof(f->dir), "%s", template);
	assert_non_null(mkdtemp(f->dir));
	f->root = string_format("%s/root", f->dir);
	f->layers = string_format("%s/layers", f->dir);
	f->run = string_format("%s/run", f->dir);
	f->disk_path = string_format("%s/disk.raw", f->dir);
	return mkdir(f->layers, 0700) < 0 || mkdir(f->run, 0700) < 0 ? -1 : 0;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	struct error *error = NULL;

	change_list_deinit(&f->changes);
	shadow_destroy(f->shadow);
	guest_close(f->guest);
	image_close(f->image);
	disk_close(f->disk);
	/* Where a test has its layers on a file system of their own. */
	if (f->layers)
		umount2(f->layers, MNT_DETACH);
	if (f->dir[0])
		error = io_remove_tree(f->dir);
	error_destroy(error);
	free(f->root);
	free(f->layers);
	free(f->run);
	free(f->disk_path);
	free(f);
	return error ? -1 : 0;
}

void fixture_open_guest(struct fixture *f, const char *image_path)
{
	assert_ok(image_open(image_path, NULL, &f->image));
	assert_ok(guest_open(f->image, NULL, &f->guest));
}

void fixture_create_shadow(struct fixture *f)
{
	const struct shadow_tree tree = {.target = "/", .lower = f->root};
	const struct shadow_options options = {
		.layers_dir = f->layers, .run_dir = f->run, .uts = &f->uts, .clock = &f->clock, .guest = f->guest};

	assert_ok(guest_uts(f->guest, &f->uts));
	assert_ok(guest_clock(f->guest, &f->clock));
	assert_ok(shadow_create_from(&tree, 1, NULL, &options, &f->shadow));
}

void shell(const char *format, ...)
{
	char command[4096];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	assert_in_range(n, 1, sizeof(command) - 1);
	assert_ok(process_check((const char *const[]){"sh", "-ec", command, NULL}));
}

void make_root(const char *path)
{
	shell("mkdir -p %s; cd %s; mkdir -p bin proc sys dev run tmp etc boot data/dir root; chmod 1777 tmp\n"
	      "cp %s bin/busybox; cp %s bin/probe\n"
	      "for a in sh cat ls id stat mv rm mkdir ln chown hostname sleep touch kill ps yes head setsid readlink; "
	      "do\n"
	      "	ln -s busybox bin/$a; done",
	      path, path, BUSYBOX, PROBE);
	shell("cd %s/data; echo one >file; ln file link; echo below >dir/below; echo gone >gone; chown 70000:80000 "
	      "gone\n"
	      "echo id >ids; chown 1000:100000 ids; setfacl -m u:1000:r ids\n"
	      "cp ../bin/busybox capable; setcap cap_net_raw+ep capable",
	      path);
}

const char *output_of(struct shadow *shadow, const char *const *argv, bool network, int *ret_status)
{
	static char buffer[65536];
	struct shadow_network net = {.enabled = network};
	struct shadow_run_options options = {.argv = argv, .env = shadow_env, .network = &net, .timeout_s = 60};
	char *output = NULL;
	size_t n;

	assert_ok(shadow_capture(shadow, &options, ret_status, &output));
	snprintf(buffer, sizeof(buffer), "%s", output);
	free(output);
	n = strlen(buffer);
	if (n > 0 && buffer[n - 1] == '\n')
		buffer[n - 1] = '\0';
	return buffer;
}

int status_of(struct shadow *shadow, const char *script)
{
	int status;

	output_of(shadow, (const char *const[]){"sh", "-c", script, NULL}, false, &status);
	return status;
}

void assert_says(struct shadow *shadow, const char *script, const char *expected)
{
	int status;

	assert_string_equal(output_of(shadow, (const char *const[]){"sh", "-c", script, NULL}, false, &status),
			    expected);
	assert_int_equal(status, 0);
}

unsigned count_files(const char *pattern, const char *text)
{
	glob_t paths = {0};
	unsigned n = 0;

	if (glob(pattern, 0, NULL, &paths) == 0) {
		for (size_t i = 0; i < paths.gl_pathc; i++) {
			_cleanup_(free_ptr) char *content = NULL;
			size_t size = 0;

			/* What has ended in between holds nothing. */
			error_destroy(io_read_file(paths.gl_pathv[i], 1 << 20, &content, &size));
			n += content && memmem(content, size, text, strlen(text));
		}
	}
	globfree(&paths);
	return n;
}

unsigned count_processes(const char *mark)
{
	return count_files("/proc/[0-9]*/cmdline", mark);
}
