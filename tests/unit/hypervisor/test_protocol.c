/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QMP and the guest agent against a peer that does what no honest one does. What an honest one
 * does is tested with a real QEMU (test_qemu.c) and a real agent (tests/vm/channel.test).
 */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "hypervisor/ops.h"
#include "hypervisor/qga.h"
#include "hypervisor/qmp.h"
#include "hypervisor/wire.h"
#include "test.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define CAPABLE  "{\"return\": {}, \"id\": 1}\r\n"

static char directory[] = "/tmp/ouassister-wire-XXXXXX";
static char path[64];
static pid_t peer = -1;

/* --- the peer: a function that plays one connection after the other --- */

struct play {
	int fd;       /* the connection */
	unsigned nth; /* of this peer, from 0 */
};

static void say(const struct play *play, const char *text)
{
	/* A client that has given up is no failure of the peer. */
	if (send(play->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		_exit(0);
}

/* A line of the client's, from its last sentinel on. */
static void hear(const struct play *play, char line[4096])
{
	size_t n = 0;

	while (n < 4095 && recv(play->fd, &line[n], 1, 0) == 1 && line[n] != '\n')
		n = line[n] == '\xff' ? 0 : n + 1;
	line[n] = '\0';
}

/* Answers a delimited sync. */
static void answer_sync(const struct play *play)
{
	char line[4096], text[128];
	const char *id;

	hear(play, line);
	id = strstr(line, "\"id\": ");
	id = id ? id + 6 : strstr(line, "\"id\":") ? strstr(line, "\"id\":") + 5 : "0";
	snprintf(text, sizeof(text), "\xff{\"return\": %ld}\n", strtol(id, NULL, 10));
	say(play, text);
}

static void start_peer(void (*function)(const struct play *play))
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unlink(path);
	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	peer = fork();
	if (peer == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned nth = 0;; nth++) {
			struct play play = {.fd = accept(fd, NULL, NULL), .nth = nth};

			function(&play);
			close(play.fd);
		}
	}
	close(fd);
}

static int stop_peer(void **state)
{
	if (peer > 0) {
		kill(peer, SIGKILL);
		waitpid(peer, NULL, 0);
	}
	peer = -1;
	return 0;
}

/* --- QMP --- */

static struct error *open_qmp(void)
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;

	return qmp_open(path, &qmp);
}

static void play_silent(const struct play *play)
{
	pause();
}

static void play_hang_up(const struct play *play)
{
}

static void play_not_json(const struct play *play)
{
	say(play, "220 mail.example ESMTP\r\n");
	pause();
}

static void play_other_json(const struct play *play)
{
	say(play, "[1, 2]\n");
	pause();
}

static void play_deep_json(const struct play *play)
{
	static char text[100001];

	memset(text, '[', sizeof(text) - 1);
	say(play, text);
	say(play, "\n");
	pause();
}

static void play_endless_line(const struct play *play)
{
	static char text[1 << 20];

	memset(text, 'a', sizeof(text) - 1);
	for (;;)
		say(play, text);
}

static void play_hang_up_later(const struct play *play)
{
	char line[4096];

	say(play, GREETING);
	hear(play, line);
}

static void play_refuse(const struct play *play)
{
	char line[4096];

	say(play, GREETING);
	hear(play, line);
	say(play, CAPABLE);
	hear(play, line);
	say(play, "{\"id\": 2, \"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}}\n");
	hear(play, line);
	say(play, "{\"id\": 3, \"error\": 7}\n");
	hear(play, line);
	say(play, "{\"id\": 4}\n");
	hear(play, line);
	/* Late answers to others, then ours, with events between. */
	say(play, "{\"id\": 4, \"return\": {\"a\": 1}}\n{\"event\": \"X\"}\n{\"id\": 5, \"return\": {\"a\": 2}}\n");
	pause();
}

static void play_events(const struct play *play)
{
	char line[4096];

	say(play, GREETING);
	hear(play, line);
	say(play, CAPABLE);
	for (;;)
		say(play, "{\"event\": \"NOISE\", \"data\": {}}\n");
}

static void test_qmp_bad_peers(void **state)
{
	static const struct {
		void (*play)(const struct play *play);
		enum error_code code;
	} peers[] = {
		{play_silent, ERROR_BUSY},          {play_hang_up, ERROR_FAILED},   {play_not_json, ERROR_FORMAT},
		{play_other_json, ERROR_FORMAT},    {play_deep_json, ERROR_FORMAT}, {play_endless_line, ERROR_FORMAT},
		{play_hang_up_later, ERROR_FAILED},
	};

	assert_error(open_qmp(), ERROR_NOT_FOUND);
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		start_peer(peers[i].play);
		assert_error(open_qmp(), peers[i].code);
		stop_peer(NULL);
	}
	assert_error(open_qmp(), ERROR_NOT_FOUND);
}

static void test_qmp_answers(void **state)
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;
	_cleanup_(json_decref_ptr) json_t *answer = NULL;

	start_peer(play_refuse);
	assert_ok(qmp_open(path, &qmp));
	assert_error(qmp_execute(qmp, "x", json_object(), NULL), ERROR_UNSUPPORTED);
	assert_error(qmp_execute(qmp, "x", NULL, NULL), ERROR_FAILED);
	assert_error(qmp_execute(qmp, "x", NULL, NULL), ERROR_FORMAT);
	assert_ok(qmp_execute(qmp, "x", NULL, &answer));
	assert_int_equal(json_integer_value(json_object_get(answer, "a")), 2);
	assert_ok(qmp_wait_event(qmp, "X", 10, NULL));
	assert_error(qmp_wait_event(qmp, "X", 10, NULL), ERROR_TIMEOUT);
}

/* A flood of events neither fills the memory nor keeps us. */
static void test_qmp_flood(void **state)
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;

	start_peer(play_events);
	assert_ok(qmp_open(path, &qmp));
	assert_error(qmp_wait_event(qmp, "X", 300, NULL), ERROR_TIMEOUT);
}

/* --- the agent --- */

static void play_agent_stale(const struct play *play)
{
	char line[4096];

	say(play, "{\"return\": 5}\n{\"retu");
	say(play, "\xff{\"return\": 99999999999}\n\xff garbage\n");
	answer_sync(play);
	hear(play, line);
	say(play, "{\"return\": {\"ok\": true}}\n");
	hear(play, line);
	say(play, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"disabled\"}}\n");
	hear(play, line);
	say(play, "nonsense\n");
	pause();
}

static void test_agent_in_step(void **state)
{
	_cleanup_(qga_close_ptr) struct qga *qga = NULL;

	start_peer(play_agent_stale);
	assert_ok(qga_open(path, &qga));
	assert_false(qga_in_step(qga));
	assert_ok(qga_sync(qga, 2000));
	assert_true(qga_in_step(qga));
	assert_ok(qga_execute(qga, "x", NULL, 2000, NULL));
	assert_error(qga_execute(qga, "x", json_object(), 2000, NULL), ERROR_UNSUPPORTED);
	assert_true(qga_in_step(qga));
	assert_error(qga_execute(qga, "x", NULL, 2000, NULL), ERROR_FORMAT);
	assert_false(qga_in_step(qga));
	assert_error(qga_sync(qga, 100), ERROR_TIMEOUT);
}

static struct vm *agent_vm(void)
{
	static struct vm_settings settings = {.name = "x", .qmp = "/nonexistent/q", .channel = CHANNEL_AGENT};
	struct vm *vm;

	settings.agent = path;
	assert_ok(vm_create("qemu", &settings, &vm));
	return vm;
}

static struct error *run_in(struct vm *vm, uint64_t timeout_ms)
{
	static const char *const argv[] = {"/bin/true", NULL};
	struct channel_result result = {};
	struct error *error = vm_channel_run(vm, argv, -1, timeout_ms, &result);

	if (!error)
		assert_int_equal(result.status, 128 + 9);
	channel_result_deinit(&result);
	return error;
}

static void test_agent_silent(void **state)
{
	_cleanup_(vm_destroy_ptr) struct vm *vm = agent_vm();
	uint64_t start = clock_monotonic_ns();
	bool synced = true;

	assert_error(vm_channel_wait(vm, 200), ERROR_TIMEOUT); /* nobody listens */
	start_peer(play_silent);
	assert_error(vm_channel_wait(vm, 300), ERROR_TIMEOUT);
	assert_error(run_in(vm, 300), ERROR_TIMEOUT);
	assert_true(clock_monotonic_ns() - start < 3000000000ull);
	assert_ok(vm_sync(vm, &synced));
	assert_false(synced);
}

/* Restarted in the middle: the connection falls, the next one knows the program, or does not. */
static void play_agent_restarts(const struct play *play)
{
	char line[4096];

	answer_sync(play);
	hear(play, line);
	if (play->nth == 0) {
		say(play, "{\"return\": {\"pid\": 7}}\n");
		hear(play, line);
		return;
	}
	if (play->nth == 1) {
		say(play, "{\"return\": {\"exited\": false}}\n");
		hear(play, line);
		return;
	}
	if (play->nth == 2)
		say(play, "{\"return\": {\"exited\": true, \"signal\": 9, \"out-data\": \"aGk=\"}}\n");
	hear(play, line);
	say(play, "{\"return\": {\"pid\": 8}}\n");
	hear(play, line);
	say(play, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"PID 8 does not exist\"}}\n");
	hear(play, line);
	say(play, "{\"return\": {\"pid\": 9}}\n");
	hear(play, line);
	say(play, "{\"return\": {\"exited\": true, \"exitcode\": 0, \"out-data\": \"*\"}}\n");
	hear(play, line);
	say(play, "{\"return\": {\"pid\": \"9\"}}\n");
	hear(play, line);
	say(play, "{\"return\": {\"pid\": 9}}\n");
	hear(play, line);
	say(play, "{\"return\": {\"exited\": true}}\n");
	pause();
}

static void test_agent_restarts(void **state)
{
	_cleanup_(vm_destroy_ptr) struct vm *vm = agent_vm();

	start_peer(play_agent_restarts);
	assert_ok(run_in(vm, 5000));
	assert_error(run_in(vm, 5000), ERROR_NOT_FOUND);
	assert_error(run_in(vm, 5000), ERROR_FORMAT);
	assert_error(run_in(vm, 5000), ERROR_FORMAT);
	assert_error(run_in(vm, 5000), ERROR_FORMAT);
}

static int setup_group(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/s", directory);
	return 0;
}

static int teardown_group(void **state)
{
	error_destroy(io_remove_tree(directory));
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_qmp_bad_peers, stop_peer),
		cmocka_unit_test_teardown(test_qmp_answers, stop_peer),
		cmocka_unit_test_teardown(test_qmp_flood, stop_peer),
		cmocka_unit_test_teardown(test_agent_in_step, stop_peer),
		cmocka_unit_test_teardown(test_agent_silent, stop_peer),
		cmocka_unit_test_teardown(test_agent_restarts, stop_peer),
	};

	return cmocka_run_group_tests_name("protocol", tests, setup_group, teardown_group);
}
