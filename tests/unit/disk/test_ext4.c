/* SPDX-License-Identifier: Apache-2.0 */
/* What the reader of ext4 shows, beside what the kernel shows of the same image. Needs root. */
#include "tests/unit/disk/fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "disk/disk.h"

#define ID_BASE  0x80000000u
#define ID_COUNT 0x40000000u

static int setup(void **state)
{
	struct error *error = geteuid() == 0 ? disk_private_namespace() : NULL;

	error_destroy(error);
	return error ? -1 : fixture_setup(state);
}

static struct error *open_disk(enum disk_way way, const char *path, struct disk **ret)
{
	const struct disk_options options = {.way = way, .path = path, .format = "raw", .work_dir = "."};

	return disk_open(&options, ret);
}

static const char *mounted_at(const struct disk *disk)
{
	size_t n;

	return disk_mounts(disk, &n)[0].path;
}

/* "ext4.raw" of this kind, filled. */
static void make(const char *options, const char *hole)
{
	shell("rm -f ext4.raw; truncate -s 300M ext4.raw; mke2fs -q -F %s ext4.raw; mkdir -p made\n"
	      "mount -o loop,user_xattr,acl ext4.raw made; trap 'umount made' EXIT\n" TREE_SCRIPT " made %s",
	      options, hole);
}

/* The same tree by the reader and by the kernel, with the guest's ids and with those of a shadow. */
static void compare(const char *options, const char *hole)
{
	_cleanup_(disk_close_ptr) struct disk *disk = NULL;
	_cleanup_(close_fd) int shifted = -1;

	make(options, hole);
	assert_ok(open_disk(DISK_WAY_USERSPACE, "ext4.raw", &disk));
	shell("mkdir -p kernel shifted; mount -o loop,ro ext4.raw kernel; trap 'umount kernel' EXIT\n" COMPARE_SCRIPT
	      " kernel %s",
	      mounted_at(disk));
	assert_ok(disk_mount_shifted(disk, 0, ID_BASE, ID_COUNT, &shifted));
	assert_int_equal(move_mount(shifted, "", AT_FDCWD, "shifted", MOVE_MOUNT_F_EMPTY_PATH), 0);
	shell("mount -o loop,ro ext4.raw kernel; trap 'umount kernel; umount -l shifted' EXIT\n" COMPARE_SCRIPT
	      " kernel shifted %u",
	      ID_BASE);
}

static void as_mke2fs_makes_it(void **state)
{
	need_root();
	compare("-t ext4", "5000000000");
}

static void small_blocks_inline_data(void **state)
{
	need_root();
	compare("-t ext4 -b 1024 -I 512 -O inline_data,ea_inode,^resize_inode", "5000000000");
}

static void tables_of_blocks(void **state)
{
	need_root();
	compare("-t ext3 -b 1024", "9000000");
}

static void small_inodes(void **state)
{
	need_root();
	compare("-t ext4 -I 128 -O ^metadata_csum,^64bit,^extent,^dir_index,^flex_bg,^filetype", "9000000");
}

static void big_allocation(void **state)
{
	need_root();
	compare("-t ext4 -O bigalloc,large_dir,^has_journal -C 16384", "5000000000");
}

/* Everything that the process still has when it serves. */
static void the_reader_has_nothing(void **state)
{
	_cleanup_(disk_close_ptr) struct disk *disk = NULL;

	need_root();
	shell("mkdir -p t/etc; echo ID=test >t/etc/os-release; echo '/dev/vda / auto' >t/etc/fstab\n"
	      "truncate -s 32M small.raw; mke2fs -q -F -t ext4 -d t small.raw");
	assert_ok(open_disk(DISK_WAY_USERSPACE, "small.raw", &disk));
	shell("n=0; for p in $(pgrep -P %d); do\n"
	      "  grep -q '^Uid:.3221225475.3221225475.3221225475.3221225475$' /proc/$p/status || continue\n"
	      "  n=$((n + 1)); grep -q '^CapBnd\\|^CapEff:.0*$' /proc/$p/status; grep -q '^CapPrm:.0*$' "
	      "/proc/$p/status\n"
	      "  grep -q '^Seccomp:.2$' /proc/$p/status; grep -q '^NoNewPrivs:.1$' /proc/$p/status\n"
	      "  ! grep -q '^Groups:.*[0-9]' /proc/$p/status; test \"$(wc -l </proc/$p/mountinfo)\" = 1\n"
	      "  test -z \"$(ls -A /proc/$p/root/)\"\n"
	      "  test \"$(ls -l /proc/$p/fd | grep -vc '/dev/null\\|/dev/fuse\\|/disk$\\|^total')\" = 0\n"
	      "  test \"$(sed -n 's/^flags:.*\\(.\\)$/\\1/p' /proc/$p/fdinfo/3)\" = 0\n"
	      "done; test $n = 1",
	      (int)getpid());
	shell("! grep ' ext[234] ' /proc/self/mounts | grep -F \"$PWD\"");
}

/* Old ones have no feature for them until the first is written: every program's start, and each copy up, asks. */
static void without_attributes(void **state)
{
	_cleanup_(disk_close_ptr) struct disk *disk = NULL;

	need_root();
	shell("mkdir -p t/etc t/bin; echo ID=test >t/etc/os-release; echo '/dev/vda / auto' >t/etc/fstab; cp /bin/true "
	      "t/bin\n"
	      "rm -f small.raw; truncate -s 32M small.raw; mke2fs -q -F -t ext4 -O ^ext_attr -d t small.raw");
	assert_ok(open_disk(DISK_WAY_USERSPACE, "small.raw", &disk));
	shell("cd %s; bin/true; test -z \"$(getfattr -d -m - etc/fstab 2>&1)\"", mounted_at(disk));
	shell("mkdir -p o/up o/work o/all; mount -t overlay overlay -o lowerdir=%s,upperdir=o/up,workdir=o/work o/all\n"
	      "trap 'umount o/all' EXIT; echo new >>o/all/etc/fstab; test \"$(wc -l <o/up/etc/fstab)\" = 2",
	      mounted_at(disk));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_mke2fs_makes_it), cmocka_unit_test(small_blocks_inline_data),
		cmocka_unit_test(tables_of_blocks),   cmocka_unit_test(small_inodes),
		cmocka_unit_test(big_allocation),     cmocka_unit_test(the_reader_has_nothing),
		cmocka_unit_test(without_attributes),
	};

	return cmocka_run_group_tests(tests, setup, fixture_teardown);
}
