/* SPDX-License-Identifier: Apache-2.0 */
/* What people and programs read, from made facts: ordinary ones, and such that a guest makes to deceive. */
#include "cli/print.h"

#include <stdlib.h>
#include <time.h>

#include "base/json.h"
#include "cli/mount_tree.h"
#include "tests/unit/test.h"

/* What one call prints. */
static char *printed;
static size_t printed_size;

static FILE *begin(void)
{
	free(printed);
	printed = NULL;
	return open_memstream(&printed, &printed_size);
}

/* Prints by the call, whose stream is `out`, and compares. */
#define assert_prints(call, expected)                                                                                  \
	do {                                                                                                           \
		FILE *out = begin();                                                                                   \
		call;                                                                                                  \
		fclose(out);                                                                                           \
		assert_string_equal(printed, expected);                                                                \
	} while (0)

/* The same for JSON: *document is what a parser makes of it. */
#define parse_printed(call, document)                                                                                  \
	do {                                                                                                           \
		FILE *out = begin();                                                                                   \
		call;                                                                                                  \
		fclose(out);                                                                                           \
		assert_ok(json_parse(printed, printed_size, NULL, document));                                          \
	} while (0)

#define S        UINT64_C(1000000000)
#define BYTES(s) ((struct guest_bytes){.data = (char *)(s), .size = sizeof(s) - 1})

/* --- ps --- */

static struct guest_task tasks[] = {
	{.pid = 1,
	 .tgid = 1,
	 .state = 'S',
	 .dumpable = true,
	 .n_threads = 1,
	 .start_ns = 1127699103,
	 .comm = "systemd",
	 .user_ns = 5 * S,
	 .cmdline = {.data = "/sbin/init\0--x y\0", .size = 17},
	 .exe = "/usr/lib/systemd/systemd",
	 .cgroup = "/init.scope"},
	{.pid = 7,
	 .tgid = 7,
	 .ppid = 2,
	 .state = 'I',
	 .kernel_thread = true,
	 .n_threads = 1,
	 .start_ns = 2 * S,
	 .comm = "kworker/0:0-events",
	 .cgroup = "/"},
	{.pid = 99,
	 .tgid = 99,
	 .ppid = 1,
	 .uid = 33,
	 .euid = 33,
	 .gid = 34,
	 .state = 'R',
	 .dumpable = true,
	 .n_threads = 2,
	 .tty = 136 << 8 | 3,
	 .start_ns = 90000 * S,
	 .user_ns = 90000 * S,
	 .comm = "nginx",
	 .cmdline = {.data = "nginx: worker\0\0\0", .size = 16},
	 .cgroup = "/system.slice/nginx.service"},
	{.pid = 100,
	 .tgid = 100,
	 .ppid = 1,
	 .uid = 1000,
	 .euid = 1000,
	 .gid = 1000,
	 .state = 'S',
	 .dumpable = true,
	 .n_threads = 1,
	 .start_ns = 172000 * S,
	 .comm = "a\nroot 1",
	 .cmdline = {.data = "a\n\x1b[2J\xff\0b", .size = 9},
	 .exe = "/tmp/\xe2\x80\xae"
		"evil",
	 .cgroup = "/user.slice/user-1000.slice/session-1.scope"},
	{.pid = 101,
	 .tgid = 101,
	 .ppid = 100,
	 .uid = 5,
	 .euid = 5,
	 .state = 'Z',
	 .n_threads = 1,
	 .start_ns = 172000 * S,
	 .comm = "gone",
	 .cgroup = "/user.slice/user-1000.slice/session-1.scope"},
	{.pid = 102,
	 .tgid = 102,
	 .ppid = 1,
	 .state = 'D',
	 .dumpable = true,
	 .n_threads = 1,
	 .start_ns = 172001 * S,
	 .comm = "paged"},
};
static const struct guest_task_list task_list = {.items = tasks, .n = ARRAY_SIZE(tasks)};

/* Two days after its boot, on the 3rd of January of 2026, 12:00. */
static const struct guest_clock noon = {.realtime_ns = INT64_C(1767441600) * 1000000000, .boottime_ns = 172800 * S};

static void ps_is_like_ps(void **state)
{
	char passwd[] = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/:\nverylongname:x:1000:1000::/:\n"
			"bad\x1bname:x:5:5::/:\n";
	struct ps_view view = {.clock = noon};

	assert_ok(users_parse(strdup(passwd), strlen(passwd), &view.users));
	assert_prints(print_ps(out, &task_list, &view),
		      "UID          PID    PPID  C STIME TTY          TIME CMD\n"
		      "root           1       0  0 Jan01 ?        00:00:05 /sbin/init --x y\n"
		      "root           7       2  0 Jan01 ?        00:00:00 [kworker/0:0-events]\n"
		      "www-data      99       1 99 Jan02 pts/3    1-01:00:00 nginx: worker\n"
		      "verylon+     100       1  0 11:46 ?        00:00:00 a\\n\\x1b[2J\\xff b\n"
		      "5            101     100  0 11:46 ?        00:00:00 [gone] <defunct>\n"
		      "root         102       1  0 11:46 ?        00:00:00 [paged]\n");
	users_deinit(&view.users);
	view.threads = true;
	assert_prints(print_ps(out, &(struct guest_task_list){.items = &tasks[2], .n = 1}, &view),
		      "UID          PID    PPID     LWP  C NLWP STIME TTY          TIME CMD\n"
		      "33            99       1      99 99    2 Jan02 pts/3    1-01:00:00 nginx: worker\n");
}

static void ps_as_a_document(void **state)
{
	_cleanup_(json_decref_ptr) json_t *document = NULL;
	json_t *processes, *one;

	parse_printed(print_ps_json(out, &task_list), &document);
	assert_int_equal(json_integer_value(json_object_get(document, "version")), 1);
	assert_null(json_object_get(document, "incomplete"));
	processes = json_object_get(document, "processes");
	assert_int_equal(json_array_size(processes), ARRAY_SIZE(tasks));
	assert_non_null(strstr(printed,
			       "\n  {\"pid\": 1, \"tgid\": 1, \"ppid\": 0, \"uid\": 0, \"euid\": 0, \"gid\": 0, "
			       "\"comm\": \"systemd\", \"cmdline\": [\"/sbin/init\", \"--x y\"], "
			       "\"state\": \"S\", \"start_s\": 1.127699103, \"cgroup\": \"/init.scope\", "
			       "\"exe\": \"/usr/lib/systemd/systemd\"},\n"));
	/* A kernel thread has no arguments and no executable; those of a process may be unknown. */
	one = json_array_get(processes, 1);
	assert_int_equal(json_array_size(json_object_get(one, "cmdline")), 0);
	assert_true(json_is_null(json_object_get(one, "exe")));
	assert_true(json_is_null(json_object_get(json_array_get(processes, 5), "cmdline")));
	/* Bytes that are not UTF-8: the array is given again. */
	one = json_array_get(processes, 3);
	assert_string_equal(json_string_value(json_array_get(json_object_get(one, "cmdline_b64"), 0)), "YQobWzJK/w==");
	assert_string_equal(json_string_value(json_array_get(json_object_get(one, "cmdline_b64"), 1)), "Yg==");
	assert_null(json_object_get(json_array_get(processes, 0), "cmdline_b64"));
}

static void a_damaged_list_says_so(void **state)
{
	_cleanup_(json_decref_ptr) json_t *document = NULL;
	struct guest_task_list list = {.incomplete = error_create(ERROR_FORMAT, "a bad pointer")};

	parse_printed(print_ps_json(out, &list), &document);
	assert_string_equal(json_string_value(json_object_get(document, "incomplete")), "a bad pointer");
	error_destroy(list.incomplete);
}

static void terminals(void **state)
{
	static const struct {
		uint32_t tty;
		const char *name;
	} cases[] = {
		{0, "?"},
		{4 << 8 | 1, "tty1"},
		{4 << 8 | 64, "ttyS0"},
		{136 << 8 | 3, "pts/3"},
		{136 << 8 | 44 | 1 << 20, "pts/300"},
		{137 << 8 | 1, "pts/257"},
		{5 << 8 | 1, "console"},
		{229 << 8, "hvc0"},
		{204 << 8 | 64, "ttyAMA0"},
		{77 << 8 | 9, "77:9"},
	};
	char name[32];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		terminal_name(cases[i].tty, name, sizeof(name));
		assert_string_equal(name, cases[i].name);
	}
}

static void users(void **state)
{
	char text[] = "a:x:1:\nb:x:1:1\n:x:2:\nno line\nc:x:-3:\nd:x:4\ne:x:99999999999:\nf:x:0:0::\ncut:x:7:0";
	struct users users = {0};

	assert_ok(users_parse(strdup(text), strlen(text), &users));
	assert_string_equal(users_find(&users, 1), "a");
	assert_string_equal(users_find(&users, 0), "f");
	for (uint32_t uid = 2; uid < 8; uid++)
		assert_null(users_find(&users, uid));
	users_deinit(&users);
	assert_ok(users_parse(strdup(""), 0, &users));
	assert_null(users_find(&users, 0));
	users_deinit(&users);
}

/* --- services --- */

static void services(void **state)
{
	struct guest_task made[] = {
		{.pid = 9, .comm = "b", .cgroup = "/system.slice/b.service"},
		{.pid = 5, .comm = "k", .kernel_thread = true, .cgroup = "/system.slice/b.service"},
		{.pid = 4, .comm = "a", .cgroup = "/user.slice/user-0.slice/user@0.service/app.slice/x.service"},
		{.pid = 3, .comm = "b", .cmdline = BYTES("b\0-f\0"), .cgroup = "/system.slice/b.service/sub"},
		{.pid = 2, .comm = "n", .cgroup = NULL},
		{.pid = 1, .comm = "r", .cgroup = "/"},
	};
	struct guest_task_list list = {.items = made, .n = ARRAY_SIZE(made)};
	struct services found = {0};

	assert_ok(services_find(&list, &found));
	assert_prints(print_services(out, &found), "b.service\n├─3 b -f\n└─9 [b]\nuser@0.service\n└─4 [a]\n");
	assert_prints(print_services_json(out, &found, NULL),
		      "{\"version\": 1, \"services\": [\n  {\"unit\": \"b.service\", \"pids\": [3, 9]},\n"
		      "  {\"unit\": \"user@0.service\", \"pids\": [4]}\n]}\n");
	services_deinit(&found);
	assert_ok(services_find(&(struct guest_task_list){0}, &found));
	assert_prints(print_services_json(out, &found, NULL), "{\"version\": 1, \"services\": []}\n");
	services_deinit(&found);
}

/* --- maps --- */

static void maps_are_like_proc(void **state)
{
	struct guest_map maps[] = {
		{.start = 0x562b9f4ba000,
		 .end = 0x562b9f4bc000,
		 .perms = "r--p",
		 .major = 0xfe,
		 .inode = 247498,
		 .path = "/usr/bin/head"},
		{.start = 0x1000, .end = 0x2000, .perms = "rwxs", .offset = 0x3000, .path = ""},
		{.start = 0x7f0000000000, .end = 0x7f0000001000, .perms = "rw-p", .path = "/tmp/a b\nc (deleted)"},
		{.start = 0xffffffffff600000, .end = 0xffffffffff601000, .perms = "--xp", .path = "[vsyscall]"},
	};
	struct guest_map_list list = {.items = maps, .n = ARRAY_SIZE(maps)};

	assert_prints(
		print_maps(out, &list),
		"562b9f4ba000-562b9f4bc000 r--p 00000000 fe:00 247498                     /usr/bin/head\n"
		"00001000-00002000 rwxs 00003000 00:00 0 \n"
		"7f0000000000-7f0000001000 rw-p 00000000 00:00 0                          /tmp/a b\\012c (deleted)\n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n");
	list.n = 2;
	assert_prints(print_maps_json(out, &list),
		      "{\"version\": 1, \"maps\": [\n"
		      "  {\"start\": 94745356115968, \"end\": 94745356124160, \"perms\": \"r--p\", \"offset\": 0, "
		      "\"inode\": 247498, \"path\": \"/usr/bin/head\"},\n"
		      "  {\"start\": 4096, \"end\": 8192, \"perms\": \"rwxs\", \"offset\": 12288, \"inode\": 0, "
		      "\"path\": \"\"}\n]}\n");
}

/* --- modules --- */

static void modules_are_like_lsmod(void **state)
{
	struct guest_module made[] = {
		{.name = "kvm",
		 .address = 0xffffffffc0677000,
		 .size = 1146880,
		 .refcount = 1,
		 .users = "kvm_amd",
		 .state = 'L'},
		{.name = "a_name_longer_than_its_column",
		 .size = 1,
		 .refcount = 3,
		 .users = "b,c,[permanent]",
		 .state = 'C',
		 .taint = "OE"},
	};
	struct guest_module_list list = {.items = made, .n = ARRAY_SIZE(made)};

	assert_prints(print_modules(out, &list), "Module                  Size  Used by\n"
						 "kvm                  1146880  1 kvm_amd\n"
						 "a_name_longer_than_its_column        1  3 b,c\n");
	assert_prints(
		print_modules_json(out, &list),
		"{\"version\": 1, \"modules\": [\n"
		"  {\"name\": \"kvm\", \"size\": 1146880, \"refcount\": 1, \"used_by\": [\"kvm_amd\"], "
		"\"permanent\": false, \"state\": \"Live\", \"address\": \"0xffffffffc0677000\", \"taint\": \"\"},\n"
		"  {\"name\": \"a_name_longer_than_its_column\", \"size\": 1, \"refcount\": 3, "
		"\"used_by\": [\"b\", \"c\"], \"permanent\": true, \"state\": \"Loading\", \"address\": \"0x0\", "
		"\"taint\": \"OE\"}\n]}\n");
}

/* --- dmesg --- */

static void dmesg_is_like_dmesg(void **state)
{
	struct guest_log_record records[] = {
		{.sequence = 1, .level = 6, .text = BYTES("cleared")},
		{.sequence = 2, .time_ns = 1000, .level = 5, .caller = 1u << 31, .text = BYTES("Linux version")},
		{.sequence = 3,
		 .time_ns = 123456 * S + 7000,
		 .level = 3,
		 .facility = 3,
		 .caller = 42,
		 .text = BYTES("one\n[    0.000000] forged\x1b")},
	};
	struct guest_log log = {.items = records, .n = ARRAY_SIZE(records), .cleared = 2};
	struct dmesg_view view = {.levels = DMESG_ALL_LEVELS, .clock = noon};

	assert_prints(print_dmesg(out, &log, &view), "[    0.000001] Linux version\n"
						     "[123456.000007] one\n"
						     "                [    0.000000] forged\\x1b\n");
	view.decode = view.wall_clock = true;
	assert_true(dmesg_parse_levels("err+", &view.levels));
	assert_prints(print_dmesg(out, &log, &view),
		      "daemon:err   : [Fri Jan  2 22:17:36 2026] one\n"
		      "                                          [    0.000000] forged\\x1b\n");
	view = (struct dmesg_view){.levels = 1u << 6, .all = true};
	assert_prints(print_dmesg_json(out, &log, &view),
		      "{\"version\": 1, \"records\": [\n  {\"sequence\": 1, \"time_s\": 0.0, \"level\": 6, "
		      "\"facility\": 0, \"caller\": null, \"text\": \"cleared\"}\n]}\n");
}

static void levels(void **state)
{
	unsigned found = 77;

	assert_true(dmesg_parse_levels("err,warn", &found));
	assert_int_equal(found, 1u << 3 | 1u << 4);
	assert_true(dmesg_parse_levels("debug+", &found));
	assert_int_equal(found, DMESG_ALL_LEVELS);
	assert_true(dmesg_parse_levels("emerg+,info", &found));
	assert_int_equal(found, 1u << 0 | 1u << 6);
	assert_false(dmesg_parse_levels("", &found));
	assert_false(dmesg_parse_levels("+", &found));
	assert_false(dmesg_parse_levels("err,", &found));
	assert_false(dmesg_parse_levels("error", &found));
	assert_false(dmesg_parse_levels("er", &found));
}

/* --- mounts --- */

static struct guest_mount mount(int32_t id, int32_t parent, const char *target)
{
	return (struct guest_mount){.id = id,
				    .parent = parent,
				    .root = "/",
				    .target = (char *)target,
				    .fstype = "tmpfs",
				    .source = "none",
				    .options = "rw"};
}

static void mounts_are_like_findmnt(void **state)
{
	struct guest_mount made[] = {
		{.id = 20,
		 .parent = 1,
		 .root = "/",
		 .target = "/",
		 .fstype = "ext4",
		 .source = "/dev/vda2",
		 .options = "rw,relatime"},
		mount(21, 20, "/proc"),
		mount(22, 20, "/sys"),
		mount(24, 22, "/sys/fs/cgroup"),
		{.id = 25,
		 .parent = 20,
		 .root = "/srv",
		 .target = "/mnt/a\nb \x1b",
		 .fstype = "ext4",
		 .source = "/dev/vda2",
		 .options = "ro"},
		mount(26, 21, "/proc/sys/fs/binfmt_misc"),
	};
	struct guest_mount_list list = {.items = made, .n = ARRAY_SIZE(made)};

	assert_prints(assert_ok(print_mounts(out, &list, true)),
		      "TARGET                       SOURCE          FSTYPE OPTIONS\n"
		      "/                            /dev/vda2       ext4   rw,relatime\n"
		      "├─/proc                      none            tmpfs  rw\n"
		      "│ └─/proc/sys/fs/binfmt_misc none            tmpfs  rw\n"
		      "├─/sys                       none            tmpfs  rw\n"
		      "│ └─/sys/fs/cgroup           none            tmpfs  rw\n"
		      "└─/mnt/a\\nb \\x1b             /dev/vda2[/srv] ext4   ro\n");
	list.n = 2;
	assert_prints(assert_ok(print_mounts(out, &list, false)), "TARGET SOURCE    FSTYPE OPTIONS\n"
								  "/      /dev/vda2 ext4   rw,relatime\n"
								  "/proc  none      tmpfs  rw\n");
	assert_prints(
		print_mounts_json(out, &list),
		"{\"version\": 1, \"mounts\": [\n"
		"  {\"source\": \"/dev/vda2\", \"target\": \"/\", \"fstype\": \"ext4\", \"options\": "
		"\"rw,relatime\"},\n"
		"  {\"source\": \"none\", \"target\": \"/proc\", \"fstype\": \"tmpfs\", \"options\": \"rw\"}\n]}\n");
}

static void print_long_chain(const struct guest_mount_list *list)
{
	FILE *out = begin();

	assert_ok(print_mounts(out, list, true));
	fclose(out);
}

/* Circles, doubled ids, a mount on itself: each comes once, and a long chain ends no line too late. */
static void hostile_mounts(void **state)
{
	struct guest_mount made[] = {
		mount(1, 1, "/self"),   mount(2, 3, "/circle"), mount(3, 2, "/circle"),
		mount(4, 9, "/orphan"), mount(4, 4, "/double"), mount(5, 4, "/child"),
	};
	struct guest_mount_list list = {.items = made, .n = ARRAY_SIZE(made)};
	struct mount_row *rows;
	unsigned seen = 0;

	assert_ok(mount_tree(&list, &rows));
	for (size_t i = 0; i < list.n; i++) {
		assert_true(rows[i].parent == MOUNT_TREE_ROOT || rows[i].parent < i);
		seen |= 1u << rows[i].mount;
	}
	assert_int_equal(seen, (1u << list.n) - 1);
	free(rows);
	list = (struct guest_mount_list){.items = calloc(5000, sizeof(*made)), .n = 5000};
	for (int32_t i = 0; i < 5000; i++)
		list.items[i] = mount(i + 1, i, "/");
	print_long_chain(&list);
	assert_true(printed_size < 5000 * 200);
	free(list.items);
	assert_prints(assert_ok(print_mounts(out, &(struct guest_mount_list){0}, true)),
		      "TARGET SOURCE FSTYPE OPTIONS\n");
}

/* --- sockets --- */

static struct guest_socket sockets[] = {
	{.kind = GUEST_SOCKET_TCP, .family = 4, .state = 10, .local_port = 22, .inode = 100, .send_queue = 128},
	{.kind = GUEST_SOCKET_TCP,
	 .family = 6,
	 .state = 1,
	 .local = {[15] = 1},
	 .remote = {[15] = 1},
	 .local_port = 80,
	 .remote_port = 4000,
	 .inode = 101,
	 .receive_queue = 7,
	 .uid = 33},
	{.kind = GUEST_SOCKET_UDP, .family = 4, .state = 7, .local_port = 68, .interface = 2, .inode = 102},
	{.kind = GUEST_SOCKET_UNIX, .type = 1, .state = 1, .flags = 1u << 16, .inode = 103, .path = BYTES("/run/a b")},
	{.kind = GUEST_SOCKET_UNIX, .type = 2, .state = 3, .inode = 104, .peer_inode = 103, .path = BYTES("\0x\0\n")},
	{.kind = GUEST_SOCKET_UNIX, .type = 5, .state = 3, .inode = 105, .path = {0}},
	{.kind = GUEST_SOCKET_TCP, .family = 4, .state = 99},
	{.kind = GUEST_SOCKET_UDPLITE, .family = 6, .state = 7, .local_port = 9},
	{.kind = GUEST_SOCKET_UDP, .family = 6, .state = 7, .local_port = 9, .ipv6_only = true},
};
static const struct guest_socket_list socket_list = {.items = sockets, .n = ARRAY_SIZE(sockets)};

static struct socket_owners make_owners(void)
{
	struct guest_task task = {.tgid = 9, .comm = "sshd\""};
	struct guest_fd fds[] = {
		{.fd = 3, .inode = 100, .path = "socket:[100]"},
		{.fd = 4, .inode = 101, .path = "/etc/passwd"},
		{.fd = 5, .inode = 100, .path = "socket:[100]"},
		{.fd = 6, .inode = 102, .path = NULL}, /* what memory does not say */
	};
	struct guest_fd_list list = {.items = fds, .n = ARRAY_SIZE(fds)};
	struct socket_owners owners = {0};

	assert_ok(socket_owners_add(&owners, &task, &list));
	task.tgid = 8;
	list.n = 1;
	assert_ok(socket_owners_add(&owners, &task, &list));
	socket_owners_sort(&owners);
	return owners;
}

static void sockets_are_like_ss(void **state)
{
	struct guest_interface eth0 = {.index = 2, .name = "eth0"};
	struct guest_interface_list interfaces = {.items = &eth0, .n = 1};
	struct sockets_view view = {.interfaces = &interfaces};

	assert_prints(assert_ok(print_sockets(out, &socket_list, &view)),
		      "Netid   State   Recv-Q Send-Q Local Address:Port Peer Address:Port\n"
		      "tcp     LISTEN  0      128    0.0.0.0:22         0.0.0.0:*\n"
		      "tcp     ESTAB   7      0      [::1]:80           [::1]:4000\n"
		      "udp     UNCONN  0      0      0.0.0.0%eth0:68    0.0.0.0:*\n"
		      "u_str   LISTEN  0      0      /run/a b 103       * 0\n"
		      "u_dgr   ESTAB   0      0      @x\\x00\\n 104       * 103\n"
		      "u_seq   ESTAB   0      0      * 105              * 0\n"
		      "tcp     UNKNOWN 0      0      0.0.0.0:*          0.0.0.0:*\n"
		      "udplite UNCONN  0      0      *:9                *:*\n"
		      "udp     UNCONN  0      0      [::]:9             [::]:*\n");
	view = (struct sockets_view){.listening = true, .kinds = 1u << GUEST_SOCKET_UDP};
	assert_prints(assert_ok(print_sockets(out, &socket_list, &view)),
		      "Netid State  Recv-Q Send-Q Local Address:Port Peer Address:Port\n"
		      "udp   UNCONN 0      0      0.0.0.0%2:68       0.0.0.0:*\n"
		      "udp   UNCONN 0      0      [::]:9             [::]:*\n");
}

static void sockets_have_owners(void **state)
{
	struct socket_owners owners = make_owners();
	struct sockets_view view = {.owners = &owners};
	struct guest_socket_list list = {.items = sockets, .n = 2};

	assert_prints(assert_ok(print_sockets(out, &list, &view)),
		      "Netid State  Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n"
		      "tcp   LISTEN 0      128    0.0.0.0:22         0.0.0.0:*         "
		      "users:((\"sshd\"\",pid=8,fd=3),(\"sshd\"\",pid=9,fd=3),(\"sshd\"\",pid=9,fd=5))\n"
		      "tcp   ESTAB  7      0      [::1]:80           [::1]:4000\n");
	list.n = 1;
	assert_prints(print_sockets_json(out, &list, &view, NULL),
		      "{\"version\": 1, \"sockets\": [\n  {\"netid\": \"tcp\", \"family\": 4, \"state\": \"LISTEN\", "
		      "\"recv_q\": 0, \"send_q\": 128, \"local_address\": \"0.0.0.0\", \"local_port\": 22, "
		      "\"peer_address\": \"0.0.0.0\", \"peer_port\": 0, \"ipv6_only\": false, \"interface\": 0, "
		      "\"uid\": 0, \"inode\": 100, "
		      "\"processes\": [{\"pid\": 8, \"fd\": 3, \"comm\": \"sshd\\\"\"}, {\"pid\": 9, \"fd\": 3, "
		      "\"comm\": \"sshd\\\"\"}, {\"pid\": 9, \"fd\": 5, \"comm\": \"sshd\\\"\"}]}\n]}\n");
	socket_owners_deinit(&owners);
}

static void unix_sockets_as_a_document(void **state)
{
	struct guest_socket_list list = {.items = &sockets[3], .n = 3};
	struct sockets_view view = {0};

	assert_prints(
		print_sockets_json(out, &list, &view, "why"),
		"{\"version\": 1, \"sockets\": [\n"
		"  {\"netid\": \"u_str\", \"family\": 0, \"state\": \"LISTEN\", \"recv_q\": 0, \"send_q\": 0, "
		"\"path\": \"/run/a b\", \"abstract\": false, \"peer_inode\": 0, \"uid\": 0, \"inode\": 103},\n"
		"  {\"netid\": \"u_dgr\", \"family\": 0, \"state\": \"ESTAB\", \"recv_q\": 0, \"send_q\": 0, "
		"\"path\": \"x\xef\xbf\xbd\\n\", \"path_b64\": \"eAAK\", \"abstract\": true, \"peer_inode\": 103, "
		"\"uid\": 0, \"inode\": 104},\n"
		"  {\"netid\": \"u_seq\", \"family\": 0, \"state\": \"ESTAB\", \"recv_q\": 0, \"send_q\": 0, "
		"\"path\": null, \"abstract\": false, \"peer_inode\": 0, \"uid\": 0, \"inode\": 105}\n"
		"], \"incomplete\": \"why\"}\n");
}

/* A list without end: printing it stops when nobody reads any more. */
static void a_full_disk_ends_the_list(void **state)
{
	struct guest_task_list list = {.items = calloc(200000, sizeof(tasks[0])), .n = 200000};
	struct ps_view view = {.clock = noon};
	FILE *full = fopen("/dev/full", "w");

	assert_non_null(full);
	print_ps(full, &list, &view);
	assert_true(ferror(full));
	print_ps_json(full, &list);
	assert_true(ferror(full));
	fclose(full);
	free(list.items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ps_is_like_ps),
		cmocka_unit_test(ps_as_a_document),
		cmocka_unit_test(a_damaged_list_says_so),
		cmocka_unit_test(terminals),
		cmocka_unit_test(users),
		cmocka_unit_test(services),
		cmocka_unit_test(maps_are_like_proc),
		cmocka_unit_test(modules_are_like_lsmod),
		cmocka_unit_test(dmesg_is_like_dmesg),
		cmocka_unit_test(levels),
		cmocka_unit_test(mounts_are_like_findmnt),
		cmocka_unit_test(hostile_mounts),
		cmocka_unit_test(sockets_are_like_ss),
		cmocka_unit_test(sockets_have_owners),
		cmocka_unit_test(unix_sockets_as_a_document),
		cmocka_unit_test(a_full_disk_ends_the_list),
	};
	int failed;

	setenv("TZ", "UTC", 1);
	tzset();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(printed);
	return failed;
}
