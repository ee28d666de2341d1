/* SPDX-License-Identifier: Apache-2.0 */
/* Whole disks, opened by the real daemon and mounted by the real kernel. Needs root. */
#include "tests/unit/disk/fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/process.h"
#include "disk/disk.h"

#define ROOT_UUID "11111111-2222-3333-4444-555555555555"
#define BOOT_UUID "22222222-2222-3333-4444-555555555555"

static int setup(void **state)
{
	struct error *error = geteuid() == 0 ? disk_private_namespace() : NULL;

	error_destroy(error);
	return error ? -1 : fixture_setup(state);
}

/* The directory "tree": a guest's root with this fstab. */
static void make_tree(const char *fstab)
{
	shell("rm -rf tree; mkdir -p tree/etc tree/usr/lib tree/boot/efi tree/srv/data tree/home tree/dev\n"
	      "echo ID=test > tree/usr/lib/os-release; ln -s ../usr/lib/os-release tree/etc/os-release\n"
	      "printf '%s' > tree/etc/fstab",
	      fstab);
}

static void make_ext4(const char *path)
{
	shell("rm -f %s; truncate -s 64M %s; mke2fs -q -t ext4 -U " ROOT_UUID " -d tree %s", path, path, path);
}

static struct error *open_disk_by(enum disk_way way, const char *path, const char *format, struct disk **ret)
{
	const struct disk_options options = {.way = way, .path = path, .format = format, .work_dir = "."};

	return disk_open(&options, ret);
}

static struct error *open_disk(const char *path, const char *format, struct disk **ret)
{
	return open_disk_by(DISK_WAY_USERSPACE, path, format, ret);
}

static char *cat(const struct disk *disk, const char *path)
{
	char *text;

	assert_ok(io_read_in_root(disk_root(disk), path, 65536, &text, NULL));
	return text;
}

static void assert_content(const struct disk *disk, const char *path, const char *expected)
{
	_cleanup_(free_ptr) char *text = cat(disk, path);

	assert_string_equal(text, expected);
}

static const struct disk_mount *only_mounts(const struct disk *disk, size_t expected)
{
	size_t n;
	const struct disk_mount *mounts = disk_mounts(disk, &n);

	assert_int_equal(n, expected);
	assert_string_equal(mounts[0].target, "/");
	return mounts;
}

static bool has_note(const struct disk *disk, const char *part)
{
	size_t n;
	const char *const *notes = disk_notes(disk, &n);

	for (size_t i = 0; i < n; i++)
		if (strstr(notes[i], part))
			return true;
	return false;
}

static void whole_disk_ext4(void **state)
{
	_cleanup_(disk_close_ptr) struct disk *disk = NULL;
	const struct disk_mount *mounts;

	need_root();
	make_tree("UUID=" ROOT_UUID " / ext4 errors=remount-ro 0 1\\ntmpfs /tmp tmpfs\\n");
	make_ext4("whole.raw");
	assert_ok(open_disk("whole.raw", "raw", &disk));
	mounts = only_mounts(disk, 1);
	assert_string_equal(mounts[0].type, "ext4");
	assert_string_equal(mounts[0].uuid, ROOT_UUID);
	assert_string_equal(mounts[0].options, "errors=remount-ro");
	assert_int_equal(mounts[0].unmounted, DISK_UNMOUNTED_YES);
	assert_content(disk, "/etc/os-release", "ID=test\n");
	assert_true(has_note(disk, "tmpfs on /tmp"));
}

static void gpt_with_boot_and_esp(void **state)
{
	_cleanup_(free_ptr) char *before = NULL;
	_cleanup_(free_ptr) char *after = NULL;
	struct disk *disk = NULL;
	const struct disk_mount *mounts;
	struct stat below, tree;

	need_root();
	make_tree("UUID=" BOOT_UUID " /boot ext4\\nLABEL=top / ext4\\n/dev/vda1 /boot/efi vfat umask=0077\\n"
		  "/dev/vda2 none swap sw\\nUUID=77777777-0000-0000-0000-000000000000 /srv/data xfs\\n");
	shell("mkdir -p kernel; echo linux > kernel/vmlinuz; truncate -s 96M gpt.raw\n"
	      "printf 'label: gpt\\nsize=2M,type=U\\nsize=4M,type=S\\nsize=20M,type=L\\nsize=60M,type=L\\n' | sfdisk "
	      "-q gpt.raw\n"
	      "mke2fs -q -t ext2 -U " BOOT_UUID " -d kernel -E offset=$((7*1048576)) gpt.raw 20M\n"
	      "mke2fs -q -t ext4 -L top -d tree -E offset=$((27*1048576)) gpt.raw 60M");
	before = digest_of("gpt.raw");
	assert_ok(open_disk("gpt.raw", "raw", &disk));
	mounts = only_mounts(disk, 2);
	assert_string_equal(mounts[1].target, "/boot");
	assert_string_equal(mounts[1].uuid, BOOT_UUID);
	assert_content(disk, "/boot/vmlinuz", "linux\n");
	/* by itself, the root shows its own /boot */
	shell("test -d %s/boot/efi; test ! -e %s/boot/vmlinuz", mounts[0].path, mounts[0].path);
	assert_int_equal(stat(mounts[0].path, &below), 0);
	assert_int_equal(fstatat(disk_root(disk), ".", &tree, 0), 0);
	assert_int_equal(below.st_dev, tree.st_dev);
	assert_true(has_note(disk, "partition 1, is left alone"));
	assert_true(has_note(disk, "/boot/efi is left out"));
	assert_true(has_note(disk, "/dev/vda2 on none is ignored: swap"));
	assert_true(has_note(disk, "/srv/data is left out: it is not on this disk"));
	disk_close(disk);
	after = digest_of("gpt.raw");
	assert_string_equal(before, after);
	assert_int_equal(count_leftovers(), 0);
	shell("test -z \"$(ls -d disk.* overlay.* 2>/dev/null)\"; ! grep -q disk-test /proc/self/mountinfo");
}

static void mbr_logical_root(void **state)
{
	_cleanup_(disk_close_ptr) struct disk *disk = NULL;

	need_root();
	make_tree("/dev/sda5 / ext4\\n");
	shell("truncate -s 64M mbr.raw; printf 'label: dos\\nsize=4M\\ntype=5\\nstart=8M,size=40M\\n' | sfdisk -q "
	      "mbr.raw\n"
	      "mke2fs -q -t ext4 -d tree -E offset=$((8*1048576)) mbr.raw 40M");
	assert_ok(open_disk("mbr.raw", "raw", &disk));
	only_mounts(disk, 1);
	assert_content(disk, "/etc/fstab", "/dev/sda5 / ext4\n");
}

/* A base that was changed through its overlays, the first of which does not state the base's format. */
static void backing_chain(void **state)
{
	_cleanup_(free_ptr) char *before = NULL;
	_cleanup_(free_ptr) char *after = NULL;
	struct disk *disk = NULL;

	need_root();
	make_tree("UUID=" ROOT_UUID " / ext4\\n");
	shell("mkdir -p base top");
	make_ext4("base/new.raw");
	shell("cp base/new.raw base/0.raw; debugfs -w -R 'rm /etc/os-release' base/0.raw\n"
	      "cd base; qemu-img create -q -f qcow2 -b 0.raw -F raw 1.qcow2\n"
	      "qemu-img create -q -f qcow2 -b ../base/1.qcow2 -F qcow2 ../top/2.qcow2\n"
	      "qemu-img rebase -u -b new.raw -F raw 1.qcow2; qemu-img rebase -b 0.raw -F raw 1.qcow2\n"
	      "python3 -c 'f=open(\"1.qcow2\",\"r+b\"); d=f.read(4096); i=d.index(bytes.fromhex(\"e2792aca\"));"
	      " f.seek(i); f.write(b\"\\0\\0\\0\\1\")'");
	before = digest_of("base/0.raw base/1.qcow2 top/2.qcow2");
	assert_ok(open_disk("top/2.qcow2", "qcow2", &disk));
	assert_content(disk, "/etc/os-release", "ID=test\n");
	disk_close(disk);
	after = digest_of("base/0.raw base/1.qcow2 top/2.qcow2");
	assert_string_equal(before, after);
}

/*
 * A copy of the image of a file system that is mounted, right after an fsync. On ext4 the copy is
 * made anew until the file is in nothing but the journal: the host may write back at any moment.
 */
static void make_dirty(const char *mkfs, const char *size)
{
	shell("rm -f live.raw; truncate -s %s live.raw; %s live.raw >/dev/null 2>&1; mkdir -p m; mount -o loop "
	      "live.raw m\n"
	      "trap 'umount m' EXIT; cp -a tree/. m; sync -f m\n"
	      "for i in 1 2 3 4 5 6 7 8 9; do\n"
	      "rm -f m/etc/fresh; sync -f m; echo precious > m/etc/fresh\n"
	      "python3 -c 'import os; os.fsync(os.open(\"m/etc/fresh\", os.O_RDWR))'\n"
	      "cp --sparse=always live.raw dirty.raw\n"
	      "[ %s = mkfs.ext4 ] && debugfs -R 'cat /etc/fresh' dirty.raw 2>/dev/null | grep -q precious || exit 0\n"
	      "done; exit 1",
	      size, mkfs, mkfs);
}

static void dirty_journal(const char *mkfs, const char *size, const char *type)
{
	_cleanup_(free_ptr) char *before = NULL;
	_cleanup_(free_ptr) char *after = NULL;
	struct disk *disk = NULL;

	make_tree("/dev/vda / auto\\n");
	make_dirty(mkfs, size);
	before = digest_of("dirty.raw");
	for (enum disk_way way = 0; way < DISK_WAYS; way++) {
		const struct disk_mount *mounts;

		assert_ok(open_disk_by(way, "dirty.raw", "raw", &disk));
		mounts = only_mounts(disk, 1);
		assert_string_equal(mounts[0].type, type);
		assert_int_equal(has_note(disk, "is mounted by the host's kernel"),
				 way == DISK_WAY_USERSPACE && strcmp(type, "ext4") != 0);
		assert_content(disk, "/etc/fresh", "precious\n");
		assert_int_equal(mounts[0].ext4_mount_count, strcmp(type, "ext4") == 0 ? 1 : 0);
		assert_int_equal(mounts[0].unmounted,
				 strcmp(type, "xfs") == 0 ? DISK_UNMOUNTED_UNKNOWN : DISK_UNMOUNTED_NO);
		assert_int_equal(mounts[0].ext4_mount_time_s > 1000000000, strcmp(type, "ext4") == 0);
		disk_close(disk);
	}
	after = digest_of("dirty.raw");
	assert_string_equal(before, after);
}

static void dirty_ext4(void **state)
{
	need_root();
	dirty_journal("mkfs.ext4", "64M", "ext4");
}

static void dirty_xfs(void **state)
{
	need_root();
	dirty_journal("mkfs.xfs", "320M", "xfs");
}

static void dirty_btrfs(void **state)
{
	need_root();
	dirty_journal("mkfs.btrfs", "128M", "btrfs");
}

static void btrfs_subvolumes(void **state)
{
	_cleanup_(disk_close_ptr) struct disk *disk = NULL;
	const struct disk_mount *mounts;

	need_root();
	make_tree("/dev/vda / btrfs subvol=@rootfs\\n/dev/vda /home btrfs subvol=/@home,noatime\\n");
	shell("truncate -s 320M sub.raw; mkfs.btrfs -q sub.raw 2>/dev/null; mkdir -p m; mount -o loop sub.raw m\n"
	      "trap 'umount m' EXIT\n"
	      "for s in @rootfs @home; do btrfs -q subvolume create m/$s; done\n"
	      "cp -a tree/. m/@rootfs; echo mine > m/@home/file; btrfs -q subvolume snapshot m/@rootfs m/@old");
	assert_ok(open_disk("sub.raw", "raw", &disk));
	mounts = only_mounts(disk, 2);
	assert_string_equal(mounts[1].target, "/home");
	assert_content(disk, "/home/file", "mine\n");
	assert_content(disk, "/etc/os-release", "ID=test\n");
}

static void forge_lvm(const char *path, unsigned sector)
{
	shell("python3 - <<'E'\n"
	      "import struct, zlib\n"
	      "body = struct.pack('<I8s32s', 32, b'LVM2 001', b'A'*32).ljust(492, b'\\0')\n"
	      "crc = zlib.crc32(body, 0xf597a6cf ^ 0xffffffff) ^ 0xffffffff\n"
	      "f = open('%s', 'r+b'); f.seek(512 * %u); f.write(struct.pack('<8sQI', b'LABELONE', 1, crc) + body)\n"
	      "E",
	      path, sector);
}

static void containers_are_named(void **state)
{
	struct disk *disk = NULL;
	struct error *error;

	need_root();
	shell("truncate -s 64M lvm.raw; printf 'label: gpt\\nsize=8M\\nsize=40M\\n' | sfdisk -q lvm.raw");
	forge_lvm("lvm.raw", 9 * 2048 + 1);
	error = open_disk("lvm.raw", "raw", &disk);
	assert_non_null(error);
	assert_int_equal(error->code, ERROR_UNSUPPORTED);
	assert_non_null(strstr(error->message, "partition 2 (LVM2_member)"));
	error_destroy(error);
	shell("truncate -s 8M luks.raw; printf 'LUKS\\272\\276\\0\\1' | dd of=luks.raw conv=notrunc status=none");
	assert_error(open_disk("luks.raw", "raw", &disk), ERROR_UNSUPPORTED);
	assert_int_equal(count_leftovers(), 0);
}

static void bad_images(void **state)
{
	struct disk *disk = NULL;

	need_root();
	make_tree("UUID=" ROOT_UUID " / ext4\\n");
	make_ext4("good.raw");
	shell("qemu-img convert -f raw -O qcow2 good.raw good.qcow2; head -c 300000 good.qcow2 > short.qcow2\n"
	      "truncate -s 8M blank.raw; truncate -s 8M empty.raw; mke2fs -q -t ext4 empty.raw\n"
	      "cp good.raw broken.raw; dd if=/dev/urandom of=broken.raw bs=1024 seek=2 count=1 conv=notrunc "
	      "status=none");
	assert_error(open_disk("gone.raw", "raw", &disk), ERROR_NOT_FOUND);
	assert_error(open_disk("good.raw", "qcow2", &disk), ERROR_FORMAT);
	assert_error(open_disk("good.qcow2", "raw", &disk), ERROR_UNSUPPORTED);
	assert_error(open_disk("short.qcow2", "qcow2", &disk), ERROR_FORMAT);
	assert_error(open_disk("blank.raw", "raw", &disk), ERROR_UNSUPPORTED);
	assert_error(open_disk("empty.raw", "raw", &disk), ERROR_UNSUPPORTED);
	{
		struct error *error = open_disk("broken.raw", "raw", &disk);

		assert_non_null(error); /* by e2fsck or by the kernel */
		error_destroy(error);
	}
	assert_int_equal(count_leftovers(), 0);
}

static enum error_code code_with_fstab(const char *fstab, struct disk **ret)
{
	struct error *error;
	enum error_code code;

	make_tree(fstab);
	shell("ln -s ../../../../../../../../../tmp tree/link; ln -s /srv/data tree/inside; mkdir -p tree/var "
	      "tree/opt");
	/* a second file system, small, for other places */
	shell("rm -rf two.raw other; mkdir other; echo two > other/file; truncate -s 96M two.raw\n"
	      "printf 'label: gpt\\nsize=68M\\nsize=8M\\n' | sfdisk -q two.raw\n"
	      "mke2fs -q -t ext4 -U " ROOT_UUID " -d tree -E offset=1048576 two.raw 68M\n"
	      "mke2fs -q -t ext4 -d other -L other -E offset=$((69*1048576)) two.raw 8M");
	error = open_disk("two.raw", "raw", ret);
	code = error ? error->code : 0;
	error_destroy(error);
	return code;
}

#define ROOT_LINE "UUID=" ROOT_UUID " / ext4\\n"

static void nasty_fstabs(void **state)
{
	struct disk *disk = NULL;
	size_t n;

	need_root();
	/* no line for /, or none that says anything: there is but one root */
	assert_int_equal(code_with_fstab("", &disk), 0);
	disk_close(disk);
	assert_int_equal(code_with_fstab("/dev/root / ext4\\n", &disk), 0);
	disk_close(disk);
	/* the root is somewhere else */
	assert_int_equal(code_with_fstab("UUID=12345678-1111-1111-1111-111111111111 / ext4\\n", &disk),
			 ERROR_UNSUPPORTED);
	assert_int_equal(code_with_fstab("LABEL=other / ext4\\n", &disk), ERROR_UNSUPPORTED);
	/* an update would write below a mount we do not have */
	assert_int_equal(code_with_fstab(ROOT_LINE "/dev/mapper/vg-var /var ext4\\n", &disk), ERROR_UNSUPPORTED);
	assert_int_equal(code_with_fstab(ROOT_LINE "/dev/vda2 /srv/../var ext4\\n", &disk), ERROR_FORMAT);
	/* a symlink out of the guest leads to the guest's own /tmp, which is not there */
	assert_int_equal(code_with_fstab(ROOT_LINE "/dev/vda2 /link ext4\\n", &disk), 0);
	assert_true(has_note(disk, "/link is left out"));
	disk_close(disk);
	/* one inside is followed, and the place is named by its real name */
	assert_int_equal(code_with_fstab(ROOT_LINE "/dev/vda2 /inside ext4\\n", &disk), 0);
	assert_string_equal(disk_mounts(disk, &n)[1].target, "/srv/data");
	assert_content(disk, "/inside/file", "two\n");
	disk_close(disk);
	/* twice the same place: the later line; one mount over another: no tree */
	assert_int_equal(code_with_fstab(ROOT_LINE
					 "UUID=1 /opt ext4\\n/dev/vda2 /home ext4\\nLABEL=other /home ext4 ro\\n",
					 &disk),
			 ERROR_UNSUPPORTED);
	assert_int_equal(code_with_fstab(ROOT_LINE "/dev/vda2 /home ext4\\nLABEL=other /home ext4 ro\\n", &disk), 0);
	assert_string_equal(only_mounts(disk, 2)[1].options, "ro");
	disk_close(disk);
	assert_int_equal(code_with_fstab(ROOT_LINE "/dev/vda2 /srv/data ext4\\n/dev/vda2 /inside ext4\\n", &disk),
			 ERROR_UNSUPPORTED);
	assert_int_equal(count_leftovers(), 0);
}

static void two_roots(void **state)
{
	struct disk *disk = NULL;
	struct error *error;

	need_root();
	make_tree("/dev/vda1 / ext4\\n");
	make_ext4("r.raw");
	make_tree("/dev/vda2 / ext4\\n");
	shell("truncate -s 160M roots.raw; printf 'label: gpt\\nsize=64M\\nsize=64M\\n' | sfdisk -q roots.raw\n"
	      "dd if=r.raw of=roots.raw bs=1M seek=1 conv=notrunc,sparse status=none\n"
	      "mke2fs -q -t ext4 -d tree -E offset=$((65*1048576)) roots.raw 64M");
	error = open_disk("roots.raw", "raw", &disk);
	assert_non_null(error);
	assert_int_equal(error->code, ERROR_UNSUPPORTED);
	assert_non_null(strstr(error->message, "partition 1 (ext4), partition 2 (ext4)"));
	error_destroy(error);
}

static void hostile_paths(void **state)
{
	static const char *const links[] = {"abs", "up", "chain", "dir/passwd", "proc", "fifo", "null", "loop"};
	_cleanup_(disk_close_ptr) struct disk *disk = NULL;

	need_root();
	make_tree("UUID=" ROOT_UUID " / ext4\\n");
	shell("cd tree; ln -s /etc/passwd abs; ln -s ../../../../../../../../etc/passwd up; ln -s up chain\n"
	      "ln -s /../../../../etc dir; ln -s /proc/self/root/etc/passwd proc; mkfifo fifo; mknod null c 1 3\n"
	      "ln -s loop loop; mknod dev/sda b 8 0; cp /bin/true suid; chmod 4755 suid");
	make_ext4("hostile.raw");
	assert_ok(open_disk("hostile.raw", "raw", &disk));
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		struct error *error;
		int fd = -1;

		/* the host has /etc/passwd, the guest does not */
		error = io_open_in_root(disk_root(disk), links[i], O_RDONLY, &fd);
		if (!error)
			fail_msg("%s can be opened", links[i]);
		error_destroy(error);
	}
}

/* A guest's superblock can tell the kernel that mounts it to panic. */
static void superblock_does_not_command_the_host(void **state)
{
	_cleanup_(disk_close_ptr) struct disk *disk = NULL;

	need_root();
	make_tree("UUID=" ROOT_UUID " / ext4 errors=panic\\n");
	make_ext4("panic.raw");
	shell("tune2fs -e panic -o debug panic.raw");
	assert_ok(open_disk("panic.raw", "raw", &disk));
	shell("! findmnt -n -t ext4 %s", only_mounts(disk, 1)->path);
	disk_close(take_ptr(disk));
	assert_ok(open_disk_by(DISK_WAY_KERNEL, "panic.raw", "raw", &disk));
	shell("findmnt -n -t ext4 -o OPTIONS %s | grep errors=continue", only_mounts(disk, 1)->path);
}

/* The others of a btrfs over several devices would be whatever the host has. */
static void btrfs_over_several_devices(void **state)
{
	struct disk *disk = NULL;

	need_root();
	shell("truncate -s 128M b1.raw b2.raw; l=$(losetup -f --show b1.raw); m=$(losetup -f --show b2.raw)\n"
	      "trap \"losetup -d $l $m\" EXIT; mkfs.btrfs -q -d single $l $m 2>/dev/null");
	assert_error(open_disk("b1.raw", "raw", &disk), ERROR_UNSUPPORTED);
}

/* A process in a user namespace of its own, whose path is put into `path`. */
static pid_t start_user_namespace(char *path, size_t size)
{
	struct stat mine, its;
	pid_t pid = fork();

	if (pid == 0) {
		unshare(CLONE_NEWUSER);
		pause();
		_exit(0);
	}
	snprintf(path, size, "/proc/%d/ns/user", pid);
	assert_int_equal(stat("/proc/self/ns/user", &mine), 0);
	for (int i = 0; i < 1000; i++) {
		if (stat(path, &its) == 0 && its.st_ino != mine.st_ino)
			break;
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	shell("echo 0 1000000 65536 > /proc/%d/uid_map; echo 0 1000000 65536 > /proc/%d/gid_map", pid, pid);
	return pid;
}

static void assert_idmappable(const char *mount)
{
	_cleanup_(close_fd) int tree = open_tree(AT_FDCWD, mount, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	_cleanup_(close_fd) int user_ns = -1;
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP};
	char path[64];
	pid_t pid = start_user_namespace(path, sizeof(path));
	struct stat st;

	user_ns = open(path, O_RDONLY | O_CLOEXEC);
	attr.userns_fd = (uint64_t)user_ns;
	assert_int_equal(mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)), 0);
	assert_int_equal(fstatat(tree, "etc/fstab", &st, 0), 0);
	assert_int_equal(st.st_uid, 1000000);
	process_stop(&pid, 0);
}

/* A mount with the ids that the shadow takes, as the userspace reader makes it where the kernel cannot. */
static void assert_shifted(struct disk *disk)
{
	_cleanup_(close_fd) int fd = -1;
	struct stat st;

	assert_ok(disk_mount_shifted(disk, 0, 1000000, 65536, &fd));
	assert_true(fd >= 0);
	assert_int_equal(fstatat(fd, "etc/fstab", &st, 0), 0);
	assert_int_equal(st.st_uid, 1000000);
}

/* The tree is what the shadow puts its overlay on: modes and devices as they are, and with the ids of the host. */
static void check_fit(enum disk_way way)
{
	_cleanup_(disk_close_ptr) struct disk *disk = NULL;
	const struct disk_mount *mounts;
	struct stat st;
	char path[4096];

	assert_ok(open_disk_by(way, "hostile.raw", "raw", &disk));
	mounts = only_mounts(disk, 1);
	snprintf(path, sizeof(path), "%s/suid", mounts[0].path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 04755);
	snprintf(path, sizeof(path), "%s/dev/sda", mounts[0].path);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISBLK(st.st_mode));
	assert_int_equal(open(path, O_RDONLY), -1);
	shell("rm -rf o; mkdir -p o/up o/work o/all\n"
	      "mount -t overlay overlay -o lowerdir=%s,upperdir=o/up,workdir=o/work o/all\n"
	      "trap 'umount o/all' EXIT; test -u o/all/suid; test -b o/all/dev/sda; echo new > o/all/etc/fstab; "
	      "o/all/suid\n"
	      "grep -q new o/up/etc/fstab; rm o/all/suid; test -c o/up/suid",
	      mounts[0].path);
	shell("test -e %s/suid; ! touch %s/x 2>/dev/null", mounts[0].path, mounts[0].path);
	if (way == DISK_WAY_KERNEL)
		assert_idmappable(mounts[0].path);
	else
		assert_shifted(disk);
}

static void fit_for_the_shadow(void **state)
{
	need_root();
	check_fit(DISK_WAY_USERSPACE);
	check_fit(DISK_WAY_KERNEL);
}

static void an_image_in_use_is_busy(void **state)
{
	static const char *const argv[] = {"qemu-system-x86_64",
					   "-accel",
					   "tcg",
					   "-S",
					   "-display",
					   "none",
					   "-m",
					   "16",
					   "-nodefaults",
					   "-drive",
					   "file=used.qcow2,format=qcow2,if=virtio",
					   NULL};
	struct disk *disk = NULL;
	pid_t qemu = -1;

	need_root();
	make_tree("UUID=" ROOT_UUID " / ext4\\n");
	make_ext4("shared.raw");
	shell("for i in used free; do qemu-img create -q -f qcow2 -b shared.raw -F raw $i.qcow2; done");
	assert_ok(process_start(&(struct process_options){.argv = argv, .die_with_parent = true}, &qemu));
	/* nothing QEMU tells us comes as late as its locks */
	shell("for i in $(seq 200); do qemu-img info used.qcow2 >/dev/null 2>&1 || exit 0; sleep 0.05; done; exit 1");
	assert_error(open_disk("used.qcow2", "qcow2", &disk), ERROR_BUSY);
	/* another VM on the same backing file is not in the way */
	assert_ok(open_disk("free.qcow2", "qcow2", &disk));
	disk_close(disk);
	process_stop(&qemu, 5000);

	/* and the other way round */
	assert_ok(open_disk("used.qcow2", "qcow2", &disk));
	shell("! qemu-io -f qcow2 -c 'write 0 512' used.qcow2 2>/dev/null; ! qemu-io -f raw -c 'write 0 512' "
	      "shared.raw 2>/dev/null");
	disk_close(disk);
	shell("qemu-io -f qcow2 -c 'write 0 512' used.qcow2");
}

/* Killed at any moment, a process leaves no mount, no loop device and no daemon. */
static void killed_at_any_moment(void **state)
{
	need_root();
	make_tree("/dev/vda / auto\\n");
	make_dirty("mkfs.ext4", "64M");
	for (int ms = 0; ms <= 100; ms += 10) {
		struct timespec delay = {.tv_nsec = ms * 1000000L};
		int left = 1;
		pid_t pid = fork();

		if (pid == 0) {
			struct disk *disk;
			struct error *error = disk_private_namespace();

			if (!error)
				error = open_disk("dirty.raw", "raw", &disk);
			if (!error)
				pause();
			_exit(1);
		}
		nanosleep(&delay, NULL);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		for (int i = 0; i < 40 && left; i++) {
			nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
			left = count_leftovers();
		}
		if (left)
			fail_msg("killed after %d ms: %d left", ms, left);
		shell("! grep -q disk-test /proc/self/mountinfo; rm -rf disk.*");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_disk_ext4),
		cmocka_unit_test(gpt_with_boot_and_esp),
		cmocka_unit_test(mbr_logical_root),
		cmocka_unit_test(backing_chain),
		cmocka_unit_test(dirty_ext4),
		cmocka_unit_test(dirty_xfs),
		cmocka_unit_test(dirty_btrfs),
		cmocka_unit_test(btrfs_subvolumes),
		cmocka_unit_test(containers_are_named),
		cmocka_unit_test(bad_images),
		cmocka_unit_test(nasty_fstabs),
		cmocka_unit_test(two_roots),
		cmocka_unit_test(hostile_paths),
		cmocka_unit_test(superblock_does_not_command_the_host),
		cmocka_unit_test(btrfs_over_several_devices),
		cmocka_unit_test(fit_for_the_shadow),
		cmocka_unit_test(an_image_in_use_is_busy),
		cmocka_unit_test(killed_at_any_moment),
	};

	return cmocka_run_group_tests(tests, setup, fixture_teardown);
}
