/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/disk/fixture.h"

#include "disk/disk.h"

static struct disk_file *files;
static size_t n_files;

static struct error *chain(const char *path, const char *format)
{
	disk_files_free(files, n_files);
	files = NULL;
	n_files = 0;
	return disk_files(path, format, &files, &n_files);
}

static void raw_file(void **state)
{
	shell("truncate -s 1000 a.raw");
	assert_ok(chain("a.raw", "raw"));
	assert_int_equal(n_files, 1);
	assert_int_equal(files[0].size, 1000);
	assert_int_equal(files[0].virtual_size, 1000);
	assert_int_equal(files[0].path[0], '/');
	assert_string_equal(files[0].format, "raw");
	assert_true(files[0].inode > 0 && files[0].mtime_ns > 0);
}

static void chain_relative_to_each_image(void **state)
{
	shell("mkdir -p vm base; truncate -s 1M base/0.raw\n"
	      "(cd base; qemu-img create -q -f qcow2 -b 0.raw -F raw 1.qcow2)\n"
	      "(cd vm; qemu-img create -q -f qcow2 -b ../base/1.qcow2 -F qcow2 2.qcow2 2M)");
	assert_ok(chain("vm/2.qcow2", "qcow2"));
	assert_int_equal(n_files, 3);
	assert_non_null(strstr(files[1].path, "/vm/../base/1.qcow2"));
	assert_non_null(strstr(files[2].path, "/base/0.raw"));
	assert_string_equal(files[1].format, "qcow2");
	assert_string_equal(files[2].format, "raw");
	assert_int_equal(files[0].virtual_size, 2 << 20);
	assert_int_equal(files[1].virtual_size, 1 << 20);
}

/* Even over a base that is qcow2 by content: probing would let a guest choose its backing file. */
static void missing_backing_format_means_raw(void **state)
{
	shell("qemu-img create -q -f qcow2 b.qcow2 1M; qemu-img create -q -f qcow2 -u -b b.qcow2 -F raw m.qcow2 1M\n"
	      "python3 -c 'f=open(\"m.qcow2\",\"r+b\"); d=f.read(4096); i=d.index(bytes.fromhex(\"e2792aca\"));"
	      " f.seek(i); f.write(b\"\\0\\0\\0\\1\")'");
	assert_ok(chain("m.qcow2", "qcow2"));
	assert_int_equal(n_files, 2);
	assert_string_equal(files[1].format, "raw");
}

static void names_that_are_not_files(void **state)
{
	shell("for b in nbd://h/x json:{} a:b; do qemu-img create -q -f qcow2 -u -b $b -F raw p.qcow2 1M; mv p.qcow2 "
	      "p-${b%%:*}; done\n"
	      "qemu-img create -q -f qcow2 -u -b file:a.raw -F raw p-file 1M; truncate -s 1M a.raw\n"
	      "qemu-img create -q -f qcow2 -u -b a.raw -F vmdk p-vmdk 1M; mkfifo fifo");
	assert_error(chain("p-nbd", "qcow2"), ERROR_UNSUPPORTED);
	assert_error(chain("p-json", "qcow2"), ERROR_UNSUPPORTED);
	assert_error(chain("p-a", "qcow2"), ERROR_UNSUPPORTED);
	assert_error(chain("p-vmdk", "qcow2"), ERROR_UNSUPPORTED);
	assert_ok(chain("p-file", "qcow2"));
	assert_int_equal(n_files, 2);
	assert_error(chain("a.raw", "vmdk"), ERROR_UNSUPPORTED);
	assert_error(chain(".", "raw"), ERROR_UNSUPPORTED);
	assert_error(chain("fifo", "raw"), ERROR_UNSUPPORTED);
	assert_error(chain("/dev/null", "raw"), ERROR_UNSUPPORTED);
}

static void loops_and_depth_end(void **state)
{
	shell("qemu-img create -q -f qcow2 -u -b l2 -F qcow2 l1 1M; sed s/l2/l1/ l1 > l2\n"
	      "qemu-img create -q -f qcow2 -u -b self -F qcow2 other 1M; cp other self\n"
	      "qemu-img create -q -f qcow2 -u -b e02 -F qcow2 e01 1M\n"
	      "for i in $(seq -w 02 80); do n=$(printf %%02d $((${i#0}+1))); sed \"s/e02/e$n/\" e01 > e$i; done");
	assert_error(chain("l1", "qcow2"), ERROR_FORMAT);
	assert_error(chain("self", "qcow2"), ERROR_FORMAT);
	assert_error(chain("e01", "qcow2"), ERROR_UNSUPPORTED);
}

static void missing_and_wrong_files(void **state)
{
	shell("truncate -s 1M a.raw; : > empty; qemu-img create -q -f qcow2 -u -b gone -F raw orphan 1M");
	assert_error(chain("gone", "raw"), ERROR_NOT_FOUND);
	assert_error(chain("orphan", "qcow2"), ERROR_NOT_FOUND);
	assert_error(chain("a.raw", "qcow2"), ERROR_FORMAT);
	assert_error(chain("empty", "qcow2"), ERROR_FORMAT);
	/* qcow2 content, stated raw: legal, it is what the VM sees */
	assert_ok(chain("orphan", "raw"));
	assert_int_equal(n_files, 1);
}

static void truncated_copies(void **state)
{
	shell("head -c 300000 /dev/urandom > r.raw; truncate -s 4M r.raw; qemu-img convert -f raw -O qcow2 r.raw t\n"
	      "qemu-img convert -c -f raw -O qcow2 r.raw c\n"
	      "for i in 0 4 100 511 65536 200000 400000; do head -c $i t > t$i; done; head -c 300000 c > c0");
	assert_ok(chain("t", "qcow2"));
	assert_ok(chain("c", "qcow2"));
	assert_error(chain("t0", "qcow2"), ERROR_FORMAT);
	assert_error(chain("t4", "qcow2"), ERROR_FORMAT);
	assert_error(chain("t100", "qcow2"), ERROR_FORMAT);
	assert_error(chain("t511", "qcow2"), ERROR_FORMAT);
	assert_error(chain("t65536", "qcow2"), ERROR_FORMAT);
	assert_error(chain("t200000", "qcow2"), ERROR_FORMAT);
	assert_error(chain("t400000", "qcow2"), ERROR_FORMAT);
	assert_error(chain("c0", "qcow2"), ERROR_FORMAT);
}

/* 512 KiB of file, 4,096 L1 entries that all name the same L2 table. */
static void tables_named_again_and_again(void **state)
{
	shell("qemu-img create -q -f qcow2 -o cluster_size=512 again 128M; qemu-io -f qcow2 -c 'write 0 512' again\n"
	      "python3 - <<'E'\n"
	      "import struct\n"
	      "f = open('again', 'r+b'); f.seek(36); n, at = struct.unpack('>IQ', f.read(12)); f.seek(at)\n"
	      "first = f.read(8); f.seek(at); f.write(first * n)\n"
	      "E");
	assert_error(chain("again", "qcow2"), ERROR_FORMAT);
}

static void kinds_that_are_refused(void **state)
{
	shell("qemu-img create -q -f qcow2 -o data_file=ext.raw,data_file_raw=on x.qcow2 1M\n"
	      "qemu-img create -q -f qcow2 --object secret,id=s,data=x -o encrypt.format=luks,encrypt.key-secret=s,"
	      "encrypt.iter-time=10 y.qcow2 1M\n"
	      "qemu-img create -q -f qcow2 -o cluster_size=512,compat=0.10 z.qcow2 1M\n"
	      "qemu-img create -q -f qcow2 -o cluster_size=2M,extended_l2=on w.qcow2 1M");
	assert_error(chain("x.qcow2", "qcow2"), ERROR_UNSUPPORTED);
	assert_error(chain("y.qcow2", "qcow2"), ERROR_UNSUPPORTED);
	assert_ok(chain("z.qcow2", "qcow2"));
	assert_ok(chain("w.qcow2", "qcow2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(raw_file),
		cmocka_unit_test(chain_relative_to_each_image),
		cmocka_unit_test(missing_backing_format_means_raw),
		cmocka_unit_test(names_that_are_not_files),
		cmocka_unit_test(loops_and_depth_end),
		cmocka_unit_test(missing_and_wrong_files),
		cmocka_unit_test(truncated_copies),
		cmocka_unit_test(tables_named_again_and_again),
		cmocka_unit_test(kinds_that_are_refused),
	};
	int failed = cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);

	disk_files_free(files, n_files);
	return failed;
}
