/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "disk/fstab.h"

static struct error *parse(const char *text, struct fstab *fstab)
{
	return fstab_parse(text, strlen(text), fstab);
}

static void ordinary_lines(void **state)
{
	_cleanup_(fstab_deinit) struct fstab fstab = {0};

	assert_ok(parse("# comment\n\nUUID=1234 / ext4 errors=remount-ro 0 1\n"
			"/dev/vda2\t/boot\text4\n"
			"LABEL=my\\040disk /srv/a\\040b xfs defaults,nofail 0 2",
			&fstab));
	assert_int_equal(fstab.n, 3);
	assert_string_equal(fstab.entries[0].source, "UUID=1234");
	assert_string_equal(fstab.entries[0].options, "errors=remount-ro");
	assert_string_equal(fstab.entries[1].target, "/boot");
	assert_string_equal(fstab.entries[1].options, "defaults");
	assert_string_equal(fstab.entries[2].source, "LABEL=my disk");
	assert_string_equal(fstab.entries[2].target, "/srv/a b");
	assert_true(fstab_has_option(&fstab.entries[2], "nofail"));
	assert_false(fstab_has_option(&fstab.entries[2], "fail"));
}

static void a_first_line_like_mountinfo_stays_fstab(void **state)
{
	_cleanup_(fstab_deinit) struct fstab fstab = {0};

	assert_ok(parse("36 35 98:0 / /mnt rw\nUUID=1 / ext4\n", &fstab));
	assert_int_equal(fstab.n + fstab.n_malformed, 2);
	assert_string_equal(fstab.entries[fstab.n - 1].source, "UUID=1");
}

static void targets_are_normalised(void **state)
{
	_cleanup_(fstab_deinit) struct fstab fstab = {0};

	assert_ok(parse("a // x\nb //boot/./efi// x\nc none swap\nd /a..b/...  x\n", &fstab));
	assert_int_equal(fstab.n, 4);
	assert_string_equal(fstab.entries[0].target, "/");
	assert_string_equal(fstab.entries[1].target, "/boot/efi");
	assert_string_equal(fstab.entries[2].target, "none");
	assert_string_equal(fstab.entries[3].target, "/a..b/...");
}

static void dot_dot_is_refused(void **state)
{
	struct fstab fstab;

	assert_error(parse("UUID=1 /srv/../etc ext4\n", &fstab), ERROR_FORMAT);
	assert_error(parse("UUID=1 /.. ext4\n", &fstab), ERROR_FORMAT);
}

static void bounds(void **state)
{
	_cleanup_(fstab_deinit) struct fstab fstab = {0};
	char *text = malloc(FSTAB_SIZE_MAX + 1);

	/* one line as long as the file may be */
	memset(text, 'x', FSTAB_SIZE_MAX + 1);
	assert_error(fstab_parse(text, FSTAB_SIZE_MAX + 1, &fstab), ERROR_FORMAT);
	memcpy(text + FSTAB_SIZE_MAX - 16, "\nUUID=1 / ext4 a", 16);
	assert_ok(fstab_parse(text, FSTAB_SIZE_MAX, &fstab));
	assert_string_equal(fstab.entries[fstab.n - 1].source, "UUID=1");
	fstab_deinit(&fstab);

	text[0] = 0;
	for (int i = 0; i <= FSTAB_LINES_MAX; i++)
		strcpy(text + i * 6, "a b c\n");
	assert_error(parse(text, &fstab), ERROR_FORMAT);
	free(text);
}

static void lines_that_are_no_disk(void **state)
{
	static const struct {
		const char *line, *reason;
	} cases[] = {
		{"UUID=1 none swap sw", "swap"},
		{"UUID=1 / ext4 noauto", "noauto"},
		{"tmpfs /tmp tmpfs", "not on a disk"},
		{"proc /proc proc", "not on a disk"},
		{"h:/x /x nfs4", "network file system"},
		{"//h/x /x cifs", "network file system"},
		{"/dev/vdb1 /x ext4 _netdev", "network file system"},
		{"/dev/sr0 /media/cdrom auto", "removable medium"},
		{"x#y /x fuse", "not on a disk"},
		{"y /x fuse.mergerfs", "not on a disk"},
		{"UUID=1 none ext4", "no mount point"},
		{"UUID=1 /x ext4 defaults", NULL},
		{"UUID=1 /x auto", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fstab fstab;
		const char *reason;

		assert_ok(parse(cases[i].line, &fstab));
		assert_int_equal(fstab.n, 1);
		reason = fstab_skip_reason(&fstab.entries[0]);
		if (cases[i].reason)
			assert_string_equal(reason, cases[i].reason);
		else
			assert_null(reason);
		fstab_deinit(&fstab);
	}
}

static void option_values(void **state)
{
	_cleanup_(fstab_deinit) struct fstab fstab = {0};
	_cleanup_(free_ptr) char *value = NULL;
	_cleanup_(free_ptr) char *none = NULL;

	assert_ok(parse("UUID=1 / btrfs subvol=/@,subvolid=256,ro", &fstab));
	assert_ok(fstab_option_value(&fstab.entries[0], "subvol", &value));
	assert_string_equal(value, "/@");
	assert_ok(fstab_option_value(&fstab.entries[0], "ro", &none));
	assert_null(none);
}

static struct partition partitions[] = {
	{.number = 1, .uuid = (char *)"ABCD-1234", .part_label = (char *)"esp"},
	{.number = 2, .uuid = (char *)"6140e352-9e7e", .label = (char *)"my root", .part_uuid = (char *)"0fdb60b1-02"},
	{.number = 15, .label = (char *)"twin"},
	{.number = 16, .label = (char *)"twin"},
};

/* The number of the partition found, -1 for none, -2 for several. */
static int find(const char *source)
{
	const struct partition_list list = {partitions, ARRAY_SIZE(partitions)};
	struct fstab_entry entry = {.source = (char *)source};
	const struct partition *found;

	switch (fstab_find(&entry, &list, &found)) {
	case FSTAB_MATCH_NONE:
		return -1;
	case FSTAB_MATCH_SEVERAL:
		return -2;
	case FSTAB_MATCH_ONE:
		break;
	}
	return (int)found->number;
}

static void sources(void **state)
{
	static const struct {
		const char *source;
		int number;
	} cases[] = {
		{"UUID=6140E352-9E7E", 2},
		{"UUID=\"abcd-1234\"", 1},
		{"UUID=", -1},
		{"UUID=\"", -1},
		{"LABEL=my root", 2},
		{"LABEL=MY ROOT", -1},
		{"LABEL=twin", -2},
		{"PARTUUID=0FDB60B1-02", 2},
		{"PARTLABEL=esp", 1},
		{"/dev/disk/by-uuid/ABCD-1234", 1},
		{"/dev/disk/by-label/my\\x20root", 2},
		{"/dev/disk/by-partuuid/0fdb60b1-02", 2},
		{"/dev/vda2", 2},
		{"/dev/sda15", 15},
		{"/dev/xvda1", 1},
		{"/dev/nvme0n1p2", 2},
		{"/dev/mmcblk0p1", 1},
		{"/dev/vda", -1},
		{"/dev/vda3", -1},
		{"/dev/vda02", -1},
		{"/dev/vda2x", -1},
		{"/dev/vda99999999999", -1},
		{"/dev/nvme0n12", -1},
		{"/dev/vdb2", -1},
		{"/dev/mapper/vg-root", -1},
		{"/dev/../vda2", -1},
		{"tmpfs", -1},
		{"", -1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (find(cases[i].source) != cases[i].number)
			fail_msg("%s: %d", cases[i].source, find(cases[i].source));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_lines),
		cmocka_unit_test(a_first_line_like_mountinfo_stays_fstab),
		cmocka_unit_test(targets_are_normalised),
		cmocka_unit_test(dot_dot_is_refused),
		cmocka_unit_test(bounds),
		cmocka_unit_test(lines_that_are_no_disk),
		cmocka_unit_test(option_values),
		cmocka_unit_test(sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
