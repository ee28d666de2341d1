/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/disk/fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/partition.h"

static struct error *read_list(const char *path, struct partition_list *list)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return partition_list_read(fd, (uint64_t)st.st_size, path, list);
}

static void gpt(void **state)
{
	_cleanup_(partition_list_deinit) struct partition_list list = {0};

	shell("truncate -s 64M gpt\n"
	      "printf 'label: gpt\\nsize=2M,type=U,name=esp\\nsize=10M,type=S\\nsize=4M,type=L\\nname=\"my root\"\\n' |"
	      " sfdisk -q gpt\n"
	      "mke2fs -q -t ext4 -L top -U 11111111-2222-3333-4444-555555555555 -E offset=$((17*1048576)) gpt 30M");
	assert_ok(read_list("gpt", &list));
	assert_int_equal(list.n, 4);
	assert_int_equal(list.items[0].kind, PARTITION_ESP);
	assert_string_equal(list.items[0].part_label, "esp");
	assert_int_equal(list.items[0].start, 1 << 20);
	assert_int_equal(list.items[0].size, 2 << 20);
	assert_int_equal(list.items[1].kind, PARTITION_EMPTY);
	assert_int_equal(list.items[3].number, 4);
	assert_int_equal(list.items[3].kind, PARTITION_FILE_SYSTEM);
	assert_string_equal(list.items[3].type, "ext4");
	assert_string_equal(list.items[3].uuid, "11111111-2222-3333-4444-555555555555");
	assert_string_equal(list.items[3].label, "top");
	assert_string_equal(list.items[3].part_label, "my root");
	assert_int_equal(strlen(list.items[3].part_uuid), 36);
}

static void mbr_with_logical_partitions(void **state)
{
	_cleanup_(partition_list_deinit) struct partition_list list = {0};

	shell("truncate -s 64M mbr\n"
	      "printf 'label: dos\\nlabel-id: 0x12345678\\nsize=8M,type=82\\ntype=5\\nsize=8M\\nsize=20M\\n' |"
	      " sfdisk -q mbr");
	assert_ok(read_list("mbr", &list));
	assert_int_equal(list.n, 3); /* the extended one is no place for a file system */
	assert_int_equal(list.items[1].number, 5);
	assert_int_equal(list.items[2].number, 6);
	assert_string_equal(list.items[2].part_uuid, "12345678-06");
}

static void whole_disk(void **state)
{
	_cleanup_(partition_list_deinit) struct partition_list list = {0};

	shell("truncate -s 8M whole; mke2fs -q -t ext4 whole");
	assert_ok(read_list("whole", &list));
	assert_int_equal(list.n, 1);
	assert_int_equal(list.items[0].number, 0);
	assert_int_equal(list.items[0].kind, PARTITION_FILE_SYSTEM);
	assert_int_equal(list.items[0].size, 8 << 20);
}

static void nothing_on_it(void **state)
{
	struct partition_list list;

	shell(": > zero; truncate -s 100 tiny; truncate -s 8M blank; head -c 1M /dev/urandom > noise\n"
	      "qemu-img create -q -f qcow2 image.qcow2 1M");
	assert_error(read_list("zero", &list), ERROR_UNSUPPORTED);
	assert_error(read_list("tiny", &list), ERROR_UNSUPPORTED);
	assert_error(read_list("blank", &list), ERROR_UNSUPPORTED);
	assert_error(read_list("noise", &list), ERROR_UNSUPPORTED);
	assert_error(read_list("image.qcow2", &list), ERROR_UNSUPPORTED);
}

/* A table that promises more than the disk has. */
static void partitions_behind_the_end(void **state)
{
	_cleanup_(partition_list_deinit) struct partition_list list = {0};

	shell("truncate -s 64M cut; printf 'label: dos\\nsize=8M\\nsize=16M\\nsize=16M\\n' | sfdisk -q cut; truncate "
	      "-s 12M cut");
	assert_ok(read_list("cut", &list));
	assert_int_equal(list.n, 2);
	assert_int_equal(list.items[1].start + list.items[1].size, 12 << 20);
}

static void one(const char *script, enum partition_kind kind, const char *type)
{
	_cleanup_(partition_list_deinit) struct partition_list list = {0};

	shell("rm -f one; truncate -s 64M one; %s", script);
	assert_ok(read_list("one", &list));
	assert_int_equal(list.n, 1);
	if (list.items[0].kind != kind || (type && strcmp(list.items[0].type, type) != 0))
		fail_msg("%s: kind %d, type %s", script, list.items[0].kind, list.items[0].type);
}

#define PUT(offset, bytes) "printf '" bytes "' | dd of=one bs=1 seek=" #offset " conv=notrunc status=none\n"

static void containers(void **state)
{
	/* An LVM2 label in sector 1: id, sector, checksum of the rest (initial value 0xf597a6cf), offset, type, uuid.
	 */
	one("python3 - <<'E'\n"
	    "import struct, zlib\n"
	    "body = struct.pack('<I8s32s', 32, b'LVM2 001', b'A'*32).ljust(492, b'\\0')\n"
	    "crc = zlib.crc32(body, 0xf597a6cf ^ 0xffffffff) ^ 0xffffffff\n"
	    "f = open('one', 'r+b'); f.seek(512); f.write(struct.pack('<8sQI', b'LABELONE', 1, crc) + body)\n"
	    "E",
	    PARTITION_CONTAINER, "LVM2_member");
	one(PUT(0, "LUKS\\272\\276\\0\\1"), PARTITION_CONTAINER, "crypto_LUKS");
	one("python3 - <<'E'\n"
	    "import struct\n"
	    "sb = bytearray(4096); sb[0:8] = struct.pack('<II', 0xa92b4efc, 1); sb[16:32] = b'u'*16\n"
	    "struct.pack_into('<Q', sb, 144, 8); struct.pack_into('<I', sb, 220, 0)\n"
	    "s = sum(struct.unpack('<64I', sb[:256])); s = (s & 0xffffffff) + (s >> 32)\n"
	    "struct.pack_into('<I', sb, 216, s & 0xffffffff)\n"
	    "f = open('one', 'r+b'); f.seek(4096); f.write(sb)\n"
	    "E",
	    PARTITION_CONTAINER, "linux_raid_member");
}

static void file_systems_and_swap(void **state)
{
	one("mkswap -q one", PARTITION_SWAP, "swap");
	one("mke2fs -q -t ext2 one", PARTITION_FILE_SYSTEM, "ext2");
	one("truncate -s 320M one; mkfs.xfs -q one", PARTITION_FILE_SYSTEM, "xfs");
	one("truncate -s 320M one; mkfs.btrfs -q one", PARTITION_FILE_SYSTEM, "btrfs");
	one(PUT(0, "hsqs") PUT(28, "\\4\\0\\0\\0"), PARTITION_OTHER, "squashfs");
	/* swap and ext4 at once: nobody can tell */
	one("mke2fs -q -t ext4 one; " PUT(4086, "SWAPSPACE2") PUT(1024, "\\1\\0\\0\\0\\377\\0\\0\\0"),
	    PARTITION_AMBIGUOUS, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gpt),
		cmocka_unit_test(mbr_with_logical_partitions),
		cmocka_unit_test(whole_disk),
		cmocka_unit_test(nothing_on_it),
		cmocka_unit_test(partitions_behind_the_end),
		cmocka_unit_test(containers),
		cmocka_unit_test(file_systems_and_swap),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
