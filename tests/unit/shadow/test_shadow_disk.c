/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way an update takes: a raw GPT disk, opened, as the shadow's root, for each kind of file system; what was
 * written there, captured. Needs root.
 */
#include "tests/unit/shadow/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "changes/changes.h"
#include "disk/disk.h"

#define BOOT_UUID "22222222-2222-3333-4444-555555555555"

static char root_uuid[40]; /* a new one for each test: mkfs.btrfs refuses one that any device has */

/* How to make a root on the loop device $l, mounted at m, from the directory tree. */
struct kind {
	const char *type, *make, *fill, *fstab;
	const char *make_upper; /* makes the file system of the layers; NULL: that of /tmp */
};

static const struct kind ext4 = {"ext4", "mke2fs -q -t ext4 -U $u $l", "cp -a tree/. m", "defaults"};
static const struct kind xfs = {"xfs", "mkfs.xfs -q -m uuid=$u $l", "cp -a tree/. m", "defaults", "mkfs.btrfs -q"};
static const struct kind btrfs = {
	"btrfs", "mkfs.btrfs -q -U $u $l",
	/* As Debian's installer does, with one that systemd makes below the root, and a copy of all that is no root. */
	"btrfs -q subvolume create m/@rootfs; mkdir -p m/@rootfs/var/lib\n"
	"btrfs -q subvolume create m/@rootfs/var/lib/nested; cp -a tree/. m/@rootfs\n"
	"btrfs -q subvolume create m/@home; echo mine >m/@home/file; mkdir m/@rootfs/home\n"
	"btrfs -q subvolume snapshot -r m/@rootfs m/@old",
	"subvol=@rootfs", "mkfs.xfs -q"};

static int setup(void **state)
{
	_cleanup_(free_ptr) char *uuid = NULL;

	assert_ok(io_read_file("/proc/sys/kernel/random/uuid", 64, &uuid, NULL));
	snprintf(root_uuid, sizeof(root_uuid), "%.36s", uuid);
	return fixture_create("/tmp/test-shadow-disk.XXXXXX", state);
}

/* Partitions: one for the boot loader, /boot (ext2), the root. */
static void make_disk(const struct fixture *f, const struct kind *kind)
{
	char tree[96];

	snprintf(tree, sizeof(tree), "%s/tree", f->dir);
	make_root(tree);
	shell("cd %s; echo ID=test >etc/os-release; mkdir -p var/lib/nested; echo deep >var/lib/nested/file\n"
	      "{ echo 'UUID=%s / %s %s 0 1'; echo 'UUID=" BOOT_UUID " /boot ext2'; } >etc/fstab\n"
	      "[ %s != btrfs ] || echo 'UUID=%s /home btrfs subvol=@home' >>etc/fstab\n"
	      "mkdir ../boot; echo kernel >../boot/vmlinuz",
	      tree, root_uuid, kind->type, kind->fstab, kind->type, root_uuid);
	shell("cd %s; truncate -s 400M disk.raw\n"
	      "printf 'label: gpt\nsize=2M,type=21686148-6449-6E6F-744E-656564454649\nsize=20M,type=L\nsize=360M,type=L"
	      "\n' | sfdisk -q disk.raw\n"
	      "mke2fs -q -t ext2 -U " BOOT_UUID " -d boot -E offset=$((3*1048576)) disk.raw 20M",
	      f->dir);
	shell("cd %s; l=$(losetup -f --show -o $((23*1048576)) --sizelimit $((360*1048576)) disk.raw)\n"
	      "u=%s; mkdir m; trap 'umount -q m || :; losetup -d $l' EXIT\n"
	      "%s; mount $l m; %s",
	      f->dir, root_uuid, kind->make, kind->fill);
}

static void mount_upper(const struct fixture *f, const struct kind *kind)
{
	if (kind->make_upper)
		shell("cd %s; truncate -s 320M upper.raw; %s upper.raw; mount -o loop upper.raw layers", f->dir,
		      kind->make_upper);
}

static void open_shadow(struct fixture *f)
{
	const struct disk_options disk_options = {.path = f->disk_path, .format = "raw", .work_dir = f->dir};
	struct shadow_options options = {.layers_dir = f->layers, .run_dir = f->run};

	assert_ok(disk_open(&disk_options, &f->disk));
	options.disk = f->disk;
	assert_ok(shadow_create(&options, &f->shadow));
}

static const struct change *find_change(const struct fixture *f, enum change_kind kind, const char *path)
{
	for (size_t i = 0; i < f->changes.n; i++)
		if (f->changes.items[i].kind == kind && strcmp(f->changes.items[i].path, path) == 0)
			return &f->changes.items[i];
	fail_msg("no change of kind %d of %s", kind, path);
	return NULL;
}

static void assert_written(const struct fixture *f, const char *path, const char *content)
{
	const struct change *change = find_change(f, CHANGE_WRITE, path);
	_cleanup_(close_fd) int fd = -1;
	_cleanup_(free_ptr) char *text = NULL;
	const struct change_layer *layers;
	size_t n;

	layers = shadow_layers(f->shadow, &n);
	assert_ok(changes_open_content(layers, n, change, &fd));
	assert_ok(io_read_all(fd, 4096, path, &text, NULL));
	assert_string_equal(text, content);
}

static void assert_captured(struct fixture *f)
{
	const struct change_options options = {0};
	const struct change_layer *layers;
	struct stat st;
	size_t n;

	layers = shadow_layers(f->shadow, &n);
	assert_ok(changes_read(layers, n, &options, &f->changes));
	assert_written(f, "data/file", "one\nmore\n");
	assert_string_equal(find_change(f, CHANGE_LINK, "data/link")->target, "data/file");
	assert_written(f, "data/renamed/below", "below\n");
	find_change(f, CHANGE_DELETE, "data/dir/below");
	find_change(f, CHANGE_DELETE, "data/gone");
	assert_written(f, "var/lib/nested/file", "deep\ndeeper\n");
	assert_written(f, "boot/initrd", "initrd\n");
	find_change(f, CHANGE_DELETE, "boot/vmlinuz");
	assert_int_equal(find_change(f, CHANGE_ATTRIBUTES, "data/ids")->attributes.gid, 100000);
	assert_int_equal(find_change(f, CHANGE_WRITE, "data/new")->attributes.uid, 3000000);
	/* What was there before is told by the guest's own inode numbers. */
	assert_int_equal(fstatat(layers[0].lower_fd, "data/file", &st, 0), 0);
	assert_int_equal(find_change(f, CHANGE_WRITE, "data/file")->before.inode, st.st_ino);
}

static void assert_disk_shows(struct fixture *f)
{
	char inode[32], link[96];
	const struct change_layer *layers;
	struct stat st;
	size_t n;

	layers = shadow_layers(f->shadow, &n);
	assert_int_equal(fstatat(layers[0].lower_fd, "bin/busybox", &st, 0), 0);
	snprintf(inode, sizeof(inode), "%ju", (uintmax_t)st.st_ino);
	assert_says(f->shadow, "stat -c %i /bin/busybox", inode);
	/* What grub-probe goes by. */
	assert_says(f->shadow,
		    "while read a b c d m o; do [ $m != / ] || echo ${o##* - }; done </proc/self/mountinfo |"
		    " { read type source rest; echo $type $source; }",
		    "overlay /dev/vda3");
	snprintf(link, sizeof(link), "readlink /dev/disk/by-uuid/%s", root_uuid);
	assert_says(f->shadow, link, "../../vda3");
	assert_says(f->shadow, "readlink /dev/disk/by-uuid/" BOOT_UUID, "../../vda2");
	/* The partition is that file system: the UUID in its superblock. */
	assert_says(f->shadow,
		    "busybox dd if=/dev/vda2 bs=8 skip=141 count=2 2>/dev/null | busybox hexdump -ve '1/1 \"%02x\"'",
		    "22222222222233334444555555555555");
	assert_int_equal(status_of(f->shadow, "echo x 2>/dev/null >/dev/vda3"), 1);
}

/* Everything an update does to files, and then what the capture makes of it. */
static void update(struct fixture *f)
{
	assert_int_equal(
		status_of(f->shadow,
			  "set -e; echo new >/data/new; chown 3000000:65535 /data/new; echo more >>/data/file\n"
			  "[ \"$(cat /data/link)\" = \"$(cat /data/file)\" ]\n"
			  "rm /data/gone; mv /data/dir /data/renamed; touch /data/ids\n"
			  "echo deeper >>/var/lib/nested/file; echo initrd >/boot/initrd; rm /boot/vmlinuz"),
		0);
	assert_captured(f);
}

static void assert_update(struct fixture *f, const struct kind *kind)
{
	make_disk(f, kind);
	shell("sha256sum %s >%s/before", f->disk_path, f->dir);
	mount_upper(f, kind);
	open_shadow(f);
	assert_disk_shows(f);
	update(f);
	shell("sha256sum --quiet -c %s/before", f->dir);
}

static void ext4_root(void **state)
{
	need_root();
	assert_update(*state, &ext4);
}

static void xfs_root(void **state)
{
	need_root();
	assert_update(*state, &xfs);
}

static void btrfs_root(void **state)
{
	struct fixture *f = *state;
	size_t n;

	need_root();
	assert_update(f, &btrfs);
	shadow_layers(f->shadow, &n);
	assert_int_equal(n, 3);
	assert_says(f->shadow, "cat /home/file", "mine");
}

/* What a shadow over this fixture's disk consists of, on the whole host. */
static unsigned count_parts(const struct fixture *f)
{
	return count_files("/proc/[0-9]*/mountinfo", f->dir) +
	       count_files("/sys/block/loop*/loop/backing_file", f->dir) + count_processes(f->dir);
}

/* Killed in the middle of a run, ouassister leaves no mount, no loop device, no process. */
static void killed(void **state)
{
	struct fixture *f = *state;
	const char *const argv[] = {"sh", "-c", "echo x >/data/new; sleep 1000", f->dir, NULL};
	struct shadow_run_options options = {.argv = argv, .env = shadow_env};
	char written[96];
	int status;
	pid_t pid;

	need_root();
	make_disk(f, &ext4);
	assert_int_equal(count_parts(f), 0);
	pid = fork();
	if (pid == 0) {
		/* Should the test fail before it kills us. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		assert_ok(disk_private_namespace());
		open_shadow(f);
		error_destroy(shadow_run(f->shadow, &options, &status));
		_exit(1);
	}
	snprintf(written, sizeof(written), "%s/layers/0/upper/data/new", f->dir);
	for (int i = 0; i < 600 && access(written, F_OK) < 0; i++)
		usleep(50000);
	/* Two loop devices, init, the storage daemon, its mounts and ours; readers of ext4 have no name of ours. */
	assert_in_range(count_parts(f), 6, 100);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 200 && count_parts(f) > 0; i++)
		usleep(50000);
	assert_int_equal(count_parts(f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ext4_root, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(xfs_root, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(btrfs_root, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(killed, setup, fixture_teardown),
	};

	if (!fixture_private_mounts())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
