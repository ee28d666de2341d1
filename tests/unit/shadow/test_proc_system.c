/* SPDX-License-Identifier: Apache-2.0 */
/* The files of /proc that are of the whole system, of the two kernels in tests/data. */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "image/image.h"
#include "shadow/proc/proc.h"

struct kernel {
	struct image *image;
	struct guest *guest;
	struct proc_facts facts;
};

static void kernel_open(const char *name, struct kernel *ret)
{
	_cleanup_(free_ptr) char *path = string_format("%s/kernel-%s.core.zst", TEST_DATA, name);

	*ret = (struct kernel){0};
	assert_ok(image_open(path, NULL, &ret->image));
	assert_ok(guest_open(ret->image, NULL, &ret->guest));
	ret->facts.guest = ret->guest;
	assert_ok(guest_uts(ret->guest, &ret->facts.uts));
	assert_ok(guest_clock(ret->guest, &ret->facts.clock));
	ret->facts.boottime_offset_ns = (int64_t)ret->facts.clock.boottime_ns - (int64_t)clock_boottime_ns();
}

static void kernel_close(struct kernel *kernel)
{
	guest_close(kernel->guest);
	image_close(kernel->image);
}

/* NULL: the file does not exist. */
static char *text_of(const struct kernel *kernel, const char *path)
{
	const struct proc_file *const tables[] = {proc_system_files, proc_device_files};
	char *text = NULL;
	size_t size = 0;

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		for (const struct proc_file *file = tables[i]; file->path; file++) {
			FILE *out = strcmp(file->path, path) ? NULL : open_memstream(&text, &size);
			struct error *error = out ? file->write(&kernel->facts, out) : NULL;

			if (!out)
				continue;
			fclose(out);
			if (error)
				free_ptr(&text), text = NULL;
			error_destroy(error);
			return text;
		}
	}
	return NULL;
}

static void assert_text(const struct kernel *kernel, const char *path, const char *wanted)
{
	_cleanup_(free_ptr) char *text = text_of(kernel, path);

	assert_non_null(text);
	assert_string_equal(text, wanted);
}

static void assert_has(const struct kernel *kernel, const char *path, const char *wanted)
{
	_cleanup_(free_ptr) char *text = text_of(kernel, path);

	assert_non_null(text);
	if (!strstr(text, wanted))
		fail_msg("%s lacks \"%s\": %.300s", path, wanted, text);
}

/* Every file of the tables, of both kernels: lines, and nothing behind the last. */
static void test_all(void **state)
{
	static const char *const names[] = {"5.10", "7.2"};
	const struct proc_file *const tables[] = {proc_system_files, proc_device_files};

	for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
		struct kernel kernel;

		kernel_open(names[k], &kernel);
		for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
			for (const struct proc_file *file = tables[i]; file->path; file++) {
				_cleanup_(free_ptr) char *text = text_of(&kernel, file->path);
				size_t size = text ? strlen(text) : 0;
				/* A cloud kernel has no such controller. */
				bool absent = k == 0 && !strcmp(file->path, "dma");

				if (absent != !text)
					fail_msg("%s of %s is %s", file->path, names[k], text ? "made up" : "missing");
				assert_true(size < PROC_TEXT_MAX);
				if (size)
					assert_int_equal(text[size - 1], '\n');
			}
		}
		kernel_close(&kernel);
	}
}

static void test_old(void **state)
{
	struct kernel kernel;

	kernel_open("5.10", &kernel);
	assert_text(&kernel, "cmdline", "console=ttyS0 panic=-1\n");
	assert_text(&kernel, "consoles", "ttyS0                -W- (EC p a)    4:64\n");
	assert_text(&kernel, "partitions",
		    "major minor  #blocks  name\n\n 254        0      98304 vda\n 254       16     131072 vdb\n");
	assert_text(&kernel, "swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	assert_has(&kernel, "version", "Linux version 5.10.0-");
	assert_has(&kernel, "filesystems", "nodev\tsysfs\n");
	assert_has(&kernel, "cpuinfo", "\nmodel name\t: QEMU Virtual CPU version 2.5+\nstepping\t: 1\n");
	assert_has(&kernel, "interrupts", "  1:          9   IO-APIC   1-edge      i8042\n");
	assert_has(&kernel, "meminfo", "HugePages_Total:       2\nHugePages_Free:        2\n");
	assert_has(&kernel, "cgroups", "\ncpuset\t0\t13\t1\n");
	assert_has(&kernel, "iomem", "\n  000f0000-000fffff : System ROM\n");
	assert_has(&kernel, "kallsyms", "\t[virtio_net]\n");
	assert_text(&kernel, "fb", "");
	kernel_close(&kernel);
}

static void test_new(void **state)
{
	struct kernel kernel;

	kernel_open("7.2", &kernel);
	assert_text(&kernel, "consoles", "ttyS0                -W- (EC  p a)    4:64\n");
	assert_text(&kernel, "execdomains", "0-0\tLinux           \t[kernel]\n");
	assert_has(&kernel, "interrupts", "\n  24:          0  PCI-MSIX-0000:00:03.0    0-edge      virtio1-config\n");
	assert_has(&kernel, "interrupts", "\n NMI:          0  Non-maskable interrupts\n");
	assert_has(&kernel, "filesystems", "\text4\n");
	assert_has(&kernel, "tty/drivers", "serial_8250          /dev/ttyS       4 64-95 serial\n");
	assert_has(&kernel, "vmstat", "\nnr_unstable 0\n");
	assert_has(&kernel, "meminfo", "\nVmallocTotal:   34359738367 kB\n");
	assert_text(&kernel, "dma", " 4: cascade\n");
	assert_has(&kernel, "diskstats", " 254      16 vdb ");
	kernel_close(&kernel);
}

/* The guest does nothing, and time goes on. */
static void test_uptime(void **state)
{
	_cleanup_(free_ptr) char *before = NULL;
	_cleanup_(free_ptr) char *after = NULL;
	struct kernel kernel;

	kernel_open("7.2", &kernel);
	before = text_of(&kernel, "uptime");
	kernel.facts.boottime_offset_ns += INT64_C(1000000000000);
	after = text_of(&kernel, "uptime");
	assert_non_null(before);
	assert_non_null(after);
	assert_in_range(strtoul(after, NULL, 10) - strtoul(before, NULL, 10), 999, 1060);
	assert_in_range(strtoul(strchr(after, ' '), NULL, 10) - strtoul(strchr(before, ' '), NULL, 10), 999, 1060);
	kernel_close(&kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_old),
		cmocka_unit_test(test_new),
		cmocka_unit_test(test_uptime),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
