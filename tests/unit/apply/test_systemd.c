/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager asked on its socket, which libsystemd's own server listens on, and what is done where nobody
 * listens there or who does is not to be believed: systemctl is called, a script that writes down how. systemd.c and
 * dbus.c are in the test itself, so that its sanitizers see them.
 */
#include <endian.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apply/systemd.h"
#include "base/io.h"
#include "fixture.h"
#include "systemd.h"
#include "systemd_server.h"

#define PATIENCE_MS   100
#define PATIENCE_TEXT "100"

static void begin(void)
{
	shell("rm -rf " SYSTEMD_CALLS " " SERVER_ASKED " " SYSTEMD_FAILS " " SYSTEMD_RUNS " && mkdir " SYSTEMD_RUNS
	      " && cd " SYSTEMD_RUNS
	      " && touch a.service b.timer && printf activating >waking.service && printf failed >broken.service"
	      " && echo '9 y.service stop running' >" SYSTEMD_JOBS);
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool runs(const char *unit)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", SYSTEMD_RUNS, unit);

	return is_there(path);
}

static void assert_file(const char *path, const char *expected)
{
	_cleanup_(free_ptr) char *text = NULL;

	assert_ok(io_read_file(path, 1 << 16, &text, NULL));
	assert_string_equal(text, expected);
}

/* --- what is asked and done, with the same result on either way --- */

static void ask_running(struct systemd *manager)
{
	static const char *const units[] = {"idle.service", "a.service", "gone.service", "b.timer"};
	bool found[] = {true, false, true, false};

	assert_ok(systemd_ask_running(manager, units, ARRAY_SIZE(units), found));
	assert_memory_equal(found, ((bool[]){false, true, false, true}), sizeof(found));
}

static void ask_states(struct systemd *manager)
{
	struct unit_state items[] = {{.unit = "a.service"}, {.unit = "b.timer"}, {.unit = "idle.service"}};
	struct unit_states states = {items, ARRAY_SIZE(items)};

	assert_ok(systemd_ask_states(manager, &states));
	for (size_t i = 0; i < states.n; i++) {
		assert_string_equal(items[i].load, "loaded");
		assert_string_equal(items[i].active, i < 2 ? "active" : "inactive");
	}
	/* Who has answered, and not a part of it each: the types are others. */
	if (is_there(SYSTEMD_CALLS)) {
		assert_string_equal(items[0].type, "simple");
		assert_string_equal(items[2].type, "simple");
	} else {
		assert_string_equal(items[0].type, "notify");
		assert_string_equal(items[0].result, "success");
		assert_string_equal(items[1].type, "");
		assert_string_equal(items[2].type, "notify");
	}
}

static void ask_stopping(struct systemd *manager)
{
	bool stopping = false;

	assert_ok(systemd_ask_stopping(manager, &stopping));
	assert_int_equal(stopping, is_there(SYSTEMD_CALLS));
}

static void stop(struct systemd *manager)
{
	static const char *const units[] = {"a.service", "idle.service", "b.timer"};

	assert_ok(systemd_stop(manager, units, ARRAY_SIZE(units)));
	assert_false(runs("a.service"));
	assert_false(runs("b.timer"));
	assert_true(runs("waking.service"));
}

static void start(struct systemd *manager)
{
	static const char *const units[] = {"idle.service", "new.service"};

	assert_ok(systemd_start(manager, units, ARRAY_SIZE(units)));
	assert_true(runs("idle.service"));
	assert_true(runs("new.service"));
}

static const struct operation {
	void (*run)(struct systemd *manager);
	const char *call; /* of systemctl */
} operations[] = {
	{ask_running,
	 "--no-pager --no-legend --plain --full list-units -- idle.service a.service gone.service b.timer\n"},
	{ask_states, "--no-pager show -pLoadState,ActiveState,Type,Result -- a.service b.timer idle.service\n"},
	{ask_stopping, "--no-pager --no-legend --plain list-jobs\n"},
	{stop, "--quiet stop -- a.service idle.service b.timer\n"},
	{start, "start --no-block -- idle.service new.service\n"},
};

/* It is systemctl that does it, once; and again, without another word to the socket. */
static void by_call(const struct operation *operation)
{
	_cleanup_(free_ptr) char *twice = string_format("%s%s", operation->call, operation->call);
	uint64_t start_ns = clock_monotonic_ns();
	struct systemd manager;

	systemd_open(&manager);
	operation->run(&manager);
	assert_file(SYSTEMD_CALLS, operation->call);
	assert_int_equal(manager.bus.fd, -1);
	operation->run(&manager);
	assert_file(SYSTEMD_CALLS, twice);
	systemd_close(&manager);
	/* A greeting and an answer that do not come, and two scripts: far from what systemctl may take. */
	assert_true(clock_monotonic_ns() - start_ns < (2 * PATIENCE_MS + 20000) * 1000000ull);
}

/* --- libsystemd's server --- */

static void answers_what_it_knows(void **state)
{
	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		struct systemd manager;
		pid_t pid;

		begin();
		pid = server_start(SERVER_RIGHT);
		systemd_open(&manager);
		assert_true(manager.bus.fd >= 0);
		operations[i].run(&manager);
		assert_true(is_there(SERVER_ASKED));
		assert_false(is_there(SYSTEMD_CALLS));
		assert_true(manager.bus.fd >= 0);
		systemd_close(&manager);
		server_stop(pid);
	}
}

/* One connection for many questions, with signals between them that nobody has read. */
static void answers_on_one_connection(void **state)
{
	static const char *const units[] = {"a.service", "b.timer"}, *const one[] = {"a.service"};
	struct systemd manager;
	bool found[2];
	pid_t pid;

	need_root();
	begin();
	pid = server_start(SERVER_RIGHT);
	systemd_open(&manager);
	for (unsigned i = 0; i < 50; i++) {
		ask_running(&manager);
		ask_states(&manager);
		ask_stopping(&manager);
		stop(&manager);
		assert_ok(systemd_ask_running(&manager, units, 2, found));
		assert_false(found[0] || found[1]);
		assert_ok(systemd_start(&manager, one, 1));
		assert_ok(systemd_ask_running(&manager, units, 2, found));
		assert_true(found[0] && !found[1]);
		assert_ok(systemd_start(&manager, units + 1, 1));
		shell("rm -f " SYSTEMD_RUNS "/idle.service");
	}
	assert_false(is_there(SYSTEMD_CALLS));
	systemd_close(&manager);
	server_stop(pid);
}

static void tells_states_apart(void **state)
{
	struct unit_state items[] = {{.unit = "gone.service"}, {.unit = "waking.service"}, {.unit = "broken.service"}};
	static const char *const units[] = {"gone.service", "waking.service", "broken.service"};
	struct unit_states states = {items, ARRAY_SIZE(items)};
	bool found[] = {true, false, true};
	struct systemd manager;
	pid_t pid;

	need_root();
	begin();
	pid = server_start(SERVER_RIGHT);
	systemd_open(&manager);
	assert_ok(systemd_ask_states(&manager, &states));
	assert_ok(systemd_ask_running(&manager, units, ARRAY_SIZE(units), found));
	assert_string_equal(items[0].load, "not-found");
	assert_string_equal(items[0].type, "");
	assert_string_equal(items[1].active, "activating");
	assert_string_equal(items[2].active, "failed");
	assert_string_equal(items[2].type, "notify");
	assert_memory_equal(found, ((bool[]){false, true, false}), sizeof(found));
	assert_false(is_there(SYSTEMD_CALLS));
	systemd_close(&manager);
	server_stop(pid);
	pid = server_start(SERVER_STOPPING);
	systemd_open(&manager);
	assert_ok(systemd_ask_stopping(&manager, &found[0]));
	assert_true(found[0]);
	assert_false(is_there(SYSTEMD_CALLS));
	systemd_close(&manager);
	server_stop(pid);
}

/* What each job was asked for is what was done, in that order. */
static void asks_for_each_unit(void **state)
{
	struct systemd manager;
	pid_t pid;

	need_root();
	begin();
	pid = server_start(SERVER_RIGHT);
	systemd_open(&manager);
	stop(&manager);
	start(&manager);
	systemd_close(&manager);
	assert_file(SERVER_ASKED, "stop a.service\nstop idle.service\nstop b.timer\nstart idle.service\n"
				  "start new.service\n");
	server_stop(pid);
}

static void without_a_socket_calls(void **state)
{
	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		begin();
		by_call(&operations[i]);
	}
}

/* Whatever the server has done until then, it is done once more and by systemctl alone. */
static void calls_where_the_server_fails(void **state)
{
	static const struct {
		enum server_twist twist;
		const char *operations; /* which of them it fails: their numbers */
	} cases[] = {{SERVER_REFUSES, "01234"},
		     {SERVER_ANSWERS_NUMBERS, "01234"},
		     {SERVER_JOBS_FAIL, "3"},
		     {SERVER_DIES, "134"},
		     {SERVER_FEWER_ROWS, "1"}};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (const char *number = cases[i].operations; *number; number++) {
			pid_t pid;

			begin();
			pid = server_start(cases[i].twist);
			by_call(&operations[*number - '0']);
			assert_true(is_there(SERVER_ASKED));
			server_stop(pid);
		}
	}
}

static void says_what_systemctl_says(void **state)
{
	static const char *const units[] = {"a.service"};
	struct systemd manager;
	struct error *error;
	pid_t pid;

	need_root();
	begin();
	shell("echo 'it does not want to' >" SYSTEMD_FAILS);
	pid = server_start(SERVER_JOBS_FAIL);
	systemd_open(&manager);
	error = systemd_stop(&manager, units, 1);
	assert_non_null(error);
	assert_int_equal(error->code, ERROR_FAILED);
	assert_string_equal(error->message, "it does not want to\n");
	error_destroy(error);
	assert_file(SYSTEMD_CALLS, "--quiet stop -- a.service\n");
	assert_error(systemd_start(&manager, units, 1), ERROR_FAILED);
	systemd_close(&manager);
	server_stop(pid);
}

/* Of a unit nothing is known where neither says all of it. */
static void keeps_no_half_an_answer(void **state)
{
	struct unit_state item = {.unit = "a.service"};
	struct systemd manager;
	pid_t pid;

	need_root();
	begin();
	shell(": >" SYSTEMD_FAILS);
	pid = server_start(SERVER_DIES);
	systemd_open(&manager);
	assert_ok(systemd_ask_states(&manager, &(struct unit_states){&item, 1}));
	assert_file(SERVER_ASKED, "ListUnitsByNames \nType a.service\n");
	assert_string_equal(item.unit, "a.service");
	assert_string_equal(item.load, "");
	assert_string_equal(item.active, "");
	systemd_close(&manager);
	server_stop(pid);
}

/* --- peers that send what they like --- */

struct bytes {
	uint8_t bytes[512];
	size_t size;
};

static void put(struct bytes *to, const void *bytes, size_t n)
{
	assert_true(to->size + n <= sizeof(to->bytes));
	memcpy(to->bytes + to->size, bytes, n);
	to->size += n;
}

static void put_u32(struct bytes *to, uint32_t value, bool big)
{
	value = big ? htobe32(value) : htole32(value);
	put(to, &value, sizeof(value));
}

static void pad(struct bytes *to, size_t alignment)
{
	while (to->size % alignment)
		put(to, "", 1);
}

/* An answer to the first call, with the field of its serial and that of its signature, and a body as it is given. */
static struct bytes make_answer(bool big, const char *signature, const void *body, size_t body_size)
{
	struct bytes fields = {}, answer = {};

	put(&fields, "\x05\x01u", 4);
	put_u32(&fields, 1, big);
	put(&fields, "\x08\x01g", 4);
	put(&fields, &(uint8_t){strlen(signature)}, 1);
	put(&fields, signature, strlen(signature) + 1);
	put(&answer, big ? "B\x02\x01\x01" : "l\x02\x01\x01", 4);
	put_u32(&answer, body_size, big);
	put_u32(&answer, 77, big);
	put_u32(&answer, fields.size, big);
	put(&answer, fields.bytes, fields.size);
	pad(&answer, 8);
	put(&answer, body, body_size);
	return answer;
}

/* Only these are given no time: who answers is given what it takes. */
static void calls_impatiently(const struct operation *operation)
{
	assert_int_equal(setenv("OUA_MANAGER_MS", PATIENCE_TEXT, 1), 0);
	by_call(operation);
	assert_int_equal(unsetenv("OUA_MANAGER_MS"), 0);
}

static void calls_behind(const struct raw_server *raw)
{
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		pid_t pid;

		begin();
		pid = server_start_raw(raw);
		calls_impatiently(&operations[i]);
		server_stop(pid);
	}
}

static void is_not_fooled_by_greetings(void **state)
{
	char endless[4096];
	const struct raw_server peers[] = {
		{.greeting = "REJECTED\r\n"},
		{.greeting = "", .ends = true},
		{.greeting = ""},
		{.greeting = "\r\n", .ends = true},
		{.greeting = "OK", .ends = true},
		{.greeting = "OKAY\r\n", .ends = true},
		{.greeting = "OK 0\n\n\n", .ends = true},
		{.greeting = endless},
		{.greeting = endless, .bytes = endless, .size = sizeof(endless), .forever = true},
	};

	need_root();
	memset(endless, 'O', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		pid_t pid;

		begin();
		pid = server_start_raw(&peers[i]);
		calls_impatiently(&operations[0]);
		server_stop(pid);
	}
}

static void is_not_fooled_by_messages(void **state)
{
	static const char *const heads[] = {
		"l\x02\x01\x01\xff\xff\xff\xff\1\0\0\0\0\0\0\0",             /* a body of 4 GiB */
		"l\x02\x01\x01\0\0\0\0\1\0\0\0\xff\xff\xff\xff",             /* such fields */
		"l\x02\x01\x01\xff\xff\xff\xff\1\0\0\0\xff\xff\xff\xff",     /* both */
		"l\x02\x01\x01\0\0\x10\0\1\0\0\0\0\0\0\0",                   /* one byte more than is taken */
		"l\x02\x01\x01\xf0\xff\x0f\0\1\0\0\0\0\0\0\0",               /* what just is, and does not come */
		"l\x02\x01\x02\0\0\0\0\1\0\0\0\0\0\0\0",                     /* another protocol */
		"l\x02\x01\x01\0\0\0\0\1\0\0\0\x08\0\0\0\x05\x01u\0\1\0\0",  /* a field cut off */
		"l\x02\x01\x01\0\0\0\0\1\0\0\0\x08\0\0\0\x05\xffu\0\1\0\0",  /* its type beyond the header */
		"l\x02\x01\x01\0\0\0\0\1\0\0\0\x08\0\0\0\x05\x01vu\1\0\0\0", /* types that no field has */
		"l\x02\x01\x01\0\0\0\0\1\0\0\0\x08\0\0\0\x03\x01s\0\xff\xff\xff\xff",
	};
	uint8_t noise[8192];

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		uint8_t head[24] = {};

		memcpy(head, heads[i], i < 6 ? 16 : 24);
		calls_behind(&(struct raw_server){.bytes = head, .size = i < 6 ? 16 : sizeof(head)});
	}
	/* The same numbers each time. */
	srandom(4711);
	for (unsigned i = 0; i < 5; i++) {
		for (size_t n = 0; n < sizeof(noise); n++)
			noise[n] = random();
		if (i > 2)
			memcpy(noise, "l\x02\x01\x01\0\x10\0\0\1\0\0\0\0\x04\0\0", 16);
		calls_behind(&(struct raw_server){.bytes = noise, .size = sizeof(noise), .ends = i % 2});
	}
}

static void is_not_fooled_by_bodies(void **state)
{
	static const struct {
		const char *signature, *body;
		size_t size;
	} cases[] = {
		{"a(ssssssouso)", "", 0},
		{"a(ssssssouso)", "\1\0\0\0\0\0\0\0", 8},
		{"a(ssssssouso)", "\xff\xff\xff\xff\0\0\0\0", 8},
		{"a(ssssssouso)", "\x08\0\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0", 16},
		{"a(ssssssouso)", "\x08\0\0\0\0\0\0\0\3\0\0\0abcd", 16},
		{"a(ssssssouso)", "\x08\0\0\0\0\0\0\0\3\0\0\0a\0c", 16},
		{"a(usssoo)", "\x08\0\0\0\0\0\0\0\1\0\0\0\xf0\xff\xff\xff", 16},
		{"a(usssoo)", "\x10\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24},
		{"o", "\xff\xff\xff\xff", 4},
		{"o", "", 0},
		{"v", "\1s", 3},
		{"", "", 0},
	};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bytes answer = make_answer(false, cases[i].signature, cases[i].body, cases[i].size);

		calls_behind(&(struct raw_server){.bytes = answer.bytes, .size = answer.size});
	}
}

/* Units that run, none, one job: all of it right, in the other byte order; and the same in ours is taken. */
static void takes_one_byte_order(void **state)
{
	static const char none[8] = "";
	struct bytes answer;
	struct systemd manager;
	bool stopping = true;
	pid_t pid;

	need_root();
	answer = make_answer(true, "a(usssoo)", none, sizeof(none));
	calls_behind(&(struct raw_server){.bytes = answer.bytes, .size = answer.size});
	begin();
	answer = make_answer(false, "a(usssoo)", none, sizeof(none));
	pid = server_start_raw(&(struct raw_server){.bytes = answer.bytes, .size = answer.size});
	systemd_open(&manager);
	assert_ok(systemd_ask_stopping(&manager, &stopping));
	assert_false(stopping);
	assert_false(is_there(SYSTEMD_CALLS));
	systemd_close(&manager);
	server_stop(pid);
}

static void does_not_wait_for_long(void **state)
{
	static const uint8_t signal[16] = "l\x04\x01\x01\0\0\0\0\1\0\0\0\0\0\0";
	int fds[2];

	need_root();
	calls_behind(&(struct raw_server){});
	/* It always has something to say. */
	calls_behind(&(struct raw_server){.bytes = signal, .size = sizeof(signal), .forever = true});
	server_crowded(fds);
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		begin();
		calls_impatiently(&operations[i]);
	}
	close(fds[0]);
	close(fds[1]);
}

static int setup(void **state)
{
	systemd_setup(state);
	/* Where systemctl looks when it starts something. */
	if (geteuid() == 0)
		fixture_copy();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_what_it_knows),      cmocka_unit_test(answers_on_one_connection),
		cmocka_unit_test(tells_states_apart),         cmocka_unit_test(asks_for_each_unit),
		cmocka_unit_test(without_a_socket_calls),     cmocka_unit_test(calls_where_the_server_fails),
		cmocka_unit_test(says_what_systemctl_says),   cmocka_unit_test(keeps_no_half_an_answer),
		cmocka_unit_test(is_not_fooled_by_greetings), cmocka_unit_test(is_not_fooled_by_messages),
		cmocka_unit_test(is_not_fooled_by_bodies),    cmocka_unit_test(takes_one_byte_order),
		cmocka_unit_test(does_not_wait_for_long),
	};

	return cmocka_run_group_tests(tests, setup, systemd_teardown);
}
