/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the user keeps of a layer, mounted again by the kernel as an upper directory, shows the very tree that the layer
 * showed.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/process.h"
#include "changes/changes.h"

struct fixture {
	char directory[32];
};

static void shell(const char *script)
{
	assert_ok(process_check((const char *const[]){"sh", "-ec", script, NULL}));
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	/* The mounts go with us. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	strcpy(f->directory, "/var/tmp/test-keep.XXXXXX");
	if (!mkdtemp(f->directory) || chdir(f->directory) < 0)
		return -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	(void)umount2("merged", MNT_DETACH);
	(void)umount2("again", MNT_DETACH);
	assert_int_equal(chdir("/"), 0);
	assert_ok(io_remove_tree(f->directory));
	free(f);
	return 0;
}

static int open_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static const char make_guest[] =
	"umask 022; mkdir -p lower/dir/sub lower/gone lower/moved/deep lower/boot upper work merged kept again work2\n"
	"cd lower; echo one >dir/one; ln dir/one dir/sub/two; ln dir/one three; echo x >gone/x; echo y >moved/deep/y\n"
	"echo plain >plain; ln -s plain link; chown 5:6 plain; echo kernel >boot/kernel; mkdir replaced; echo r "
	">replaced/r";

static const char mount_guest[] =
	"mount -t overlay o -o lowerdir=lower,upperdir=upper,workdir=work,index=on,redirect_dir=on,xino=off merged";

static const char change_guest[] =
	"cd merged; echo two >>dir/one; rm -r gone; mv moved renamed; rm -r replaced; mkdir replaced; echo n "
	">replaced/n\n"
	"chown 70000:80000 plain; chmod 4711 plain; ln -sf elsewhere link; mkfifo -m 600 pipe; echo a >new; ln new "
	"dir/new\n"
	"setfattr -n user.mark -v value new; setfacl -m u:1000:r new; mknod -m 640 node c 1 3\n"
	"truncate -s 1G sparse; echo end >>sparse; touch -d @1000000000.5 dir/one; mkdir -m 1777 empty";

/* Every name with all that stat tells, and the sums of the files. */
#define LIST                                                                                                           \
	"find . -mindepth 1 ! -path ./sparse -printf '%%p %%y %%m %%U:%%G %%s %%n %%T@ %%l\\n' | sort\n"               \
	"find . -type f ! -path ./sparse -print0 | sort -z | xargs -0 sha256sum; tail -c 4 sparse; stat -c %%s "       \
	"sparse\n"                                                                                                     \
	"getfattr -R -h -d -m '^(user|system|security)' . ; readlink link"

static void list(const char *tree, const char *out)
{
	_cleanup_(free_ptr) char *script = string_format("cd %s; { " LIST "; } >../%s 2>&1", tree, out);

	/* Sizes and link counts of directories are the file system's own. */
	shell(script);
	free(take_ptr(script));
	script = string_format("sed -i -E 's/^(\\S+ d \\S+ \\S+) [0-9]+ [0-9]+/\\1/' %s", out);
	shell(script);
}

static void test_round_trip(void **state)
{
	struct change_layer layer = {.target = "/", .xattr_prefix = "trusted.overlay."};
	int kept;

	need_root();
	shell(make_guest);
	shell(mount_guest);
	shell(change_guest);
	list("merged", "before");
	shell("umount merged");
	layer.lower_fd = open_directory("lower");
	layer.upper_fd = open_directory("upper");
	kept = open_directory("kept");
	assert_ok(changes_keep_probe(kept));
	assert_ok(changes_keep(&layer, 1, kept));
	shell("mount -t overlay o -o lowerdir=lower,upperdir=kept,workdir=work2,index=off,redirect_dir=on,xino=off "
	      "again");
	list("again", "after");
	shell("diff before after >&2");
	/* A gigabyte of nothing takes no room. */
	shell("test \"$(du -sm kept | cut -f1)\" -lt 10");
	close(kept);
	close(layer.lower_fd);
	close(layer.upper_fd);
}

/* As an idmapped mount of Linux 6.1 shows them: the ids of an ACL with the shadow's base still on them, or without. */
static void test_ids_of_acls(void **state)
{
	struct change_layer layer = {.target = "/", .xattr_prefix = "trusted.overlay.", .acl_id_base = 0x80000000};
	int kept;

	need_root();
	shell("mkdir lower upper kept; cd upper; touch stored shown; mkdir both; "
	      "setfacl -m u:2147484648:r,g:2147485648:rw stored; setfacl -m u:1000:r,g:2000:rw shown; "
	      "setfacl -m u:2147484648:r,g:2000:rw,d:u:1000:r,d:g:2147485648:rw both");
	layer.lower_fd = open_directory("lower");
	layer.upper_fd = open_directory("upper");
	kept = open_directory("kept");
	assert_ok(changes_keep(&layer, 1, kept));
	shell("cd kept; for name in stored shown both; do getfacl -nc \"$name\" | grep -x user:1000:r-- && "
	      "getfacl -nc \"$name\" | grep -x group:2000:rw- || exit 1; done >/dev/null; "
	      "getfacl -nc both | grep -qx default:user:1000:r-- && getfacl -nc both | grep -qx "
	      "default:group:2000:rw-");
	close(kept);
	close(layer.lower_fd);
	close(layer.upper_fd);
}

/* Two file systems of the guest are one directory, and a directory moved in the second is found again. */
static void test_two_layers(void **state)
{
	struct change_layer layers[] = {{.target = "/", .xattr_prefix = "trusted.overlay."},
					{.target = "/srv/data", .xattr_prefix = "trusted.overlay."}};
	int kept;

	need_root();
	shell("mkdir -p root/srv/data root/etc data/a/b data/c root-upper data-upper work merged kept work2 again all\n"
	      "echo x >data/a/b/x; chmod 2750 root/srv; chown 7:8 root/srv");
	shell("mount -t overlay o -o lowerdir=data,upperdir=data-upper,workdir=work,index=on,redirect_dir=on merged\n"
	      "mv merged/a/b merged/c/b; echo new >merged/new; umount merged");
	layers[0].lower_fd = open_directory("root");
	layers[0].upper_fd = open_directory("root-upper");
	layers[1].lower_fd = open_directory("data");
	layers[1].upper_fd = open_directory("data-upper");
	kept = open_directory("kept");
	assert_ok(changes_keep(layers, 2, kept));
	shell("test \"$(ls kept)\" = srv; test \"$(stat -c %a:%u:%g kept/srv)\" = 2750:7:8");
	shell("cp -a root/. all; cp -a data/. all/srv/data\n"
	      "mount -t overlay o -o lowerdir=all,upperdir=kept,workdir=work2,redirect_dir=on again\n"
	      "test \"$(cat again/srv/data/c/b/x)\" = x; test ! -e again/srv/data/a/b; test -e again/srv/data/new");
	close(kept);
	for (size_t i = 0; i < 2; i++) {
		close(layers[i].lower_fd);
		close(layers[i].upper_fd);
	}
}

static void test_file_system_that_cannot(void **state)
{
	int fd;

	need_root();
	shell("mkdir -p flat merged; mount -t ramfs r flat");
	fd = open_directory("flat");
	assert_error(changes_keep_probe(fd), ERROR_SYSTEM);
	close(fd);
	shell("test -z \"$(ls -A flat)\"; umount flat");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ids_of_acls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_layers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_system_that_cannot, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
