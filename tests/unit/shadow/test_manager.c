/* SPDX-License-Identifier: Apache-2.0 */
/* The service manager's answers, asked by libsystemd's own client; and what hostile clients get. */
#include "../test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/manager.h"

#define DESTINATION "org.freedesktop.systemd1"
#define OBJECT      "/org/freedesktop/systemd1"
#define INTERFACE   "org.freedesktop.systemd1.Manager"

static char web_cgroup[] = "/system.slice/web.service", shell_cgroup[] = "/user.slice/user-0.slice/session-1.scope";
static char deep_cgroup[] = "/system.slice/web.service/worker";
static struct guest_task items[] = {
	{.pid = 300, .ppid = 200, .start_ns = 5, .cgroup = deep_cgroup},
	{.pid = 200, .ppid = 1, .start_ns = 9, .cgroup = web_cgroup},
	{.pid = 400, .ppid = 1, .start_ns = 1, .cgroup = shell_cgroup},
	{.pid = 2, .kernel_thread = true},
};
static const struct guest_task_list processes = {.items = items, .n = 4};

struct fixture {
	char dir[32], path[64], bus_path[64], log_path[64];
	int records, runner;
	pid_t pid;
	sd_bus *bus;
};

static int serve(int listener, int bus, int log, int record, int runner)
{
	struct manager_options options = {.listeners = {listener, bus, -1, log, -1},
					  .record_fd = record,
					  .runner_fd = runner,
					  .processes = &processes};

	error_destroy(manager_serve(&options));
	return 1;
}

static int setup(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct fixture *f = calloc(1, sizeof(*f));
	int listener, bus, log, records[2], runner[2];
	char text[96];

	*state = f;
	strcpy(f->dir, "/tmp/test-manager.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/private", f->dir);
	strcpy(address.sun_path, f->path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 8) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, records) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, runner) < 0)
		return -1;
	snprintf(f->bus_path, sizeof(f->bus_path), "%s/bus", f->dir);
	strcpy(address.sun_path, f->bus_path);
	bus = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(bus, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(bus, 8) < 0)
		return -1;
	snprintf(f->log_path, sizeof(f->log_path), "%s/log", f->dir);
	strcpy(address.sun_path, f->log_path);
	log = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(log, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	f->pid = fork();
	if (f->pid == 0) {
		/* As in the shadow: the units are those of its root. */
		if (geteuid() == 0 && (chroot(f->dir) < 0 || chdir("/") < 0))
			_exit(1);
		_exit(serve(listener, bus, log, records[1], runner[1]));
	}
	close(listener);
	close(bus);
	close(log);
	close(records[1]);
	close(runner[1]);
	f->records = records[0];
	/* The manager waits for one byte for each record. */
	for (unsigned i = 0; i < 100; i++)
		if (send(records[0], "\1", 1, MSG_DONTWAIT) != 1)
			return -1;
	f->runner = runner[0];
	snprintf(text, sizeof(text), "unix:path=%s", f->path);
	return sd_bus_new(&f->bus) < 0 || sd_bus_set_address(f->bus, text) < 0 || sd_bus_start(f->bus) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct error *error;

	sd_bus_flush_close_unref(f->bus);
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
	close(f->records);
	close(f->runner);
	error = io_remove_tree(f->dir);
	error_destroy(error);
	free(f);
	return error ? -1 : 0;
}

static void assert_record(const struct fixture *f, const char *verb, const char *unit)
{
	struct manager_record record;

	assert_int_equal(recv(f->records, &record, sizeof(record), MSG_DONTWAIT), sizeof(record));
	assert_int_equal(record.kind, RECORD_REQUEST);
	assert_string_equal(record.verb, verb);
	assert_string_equal(record.unit, unit);
}

static void assert_no_record(const struct fixture *f)
{
	struct manager_record record;

	assert_int_equal(recv(f->records, &record, sizeof(record), MSG_DONTWAIT), -1);
}

static int job(const struct fixture *f, const char *method, const char *unit)
{
	return sd_bus_call_method(f->bus, DESTINATION, OBJECT, INTERFACE, method, NULL, NULL, "ss", unit, "replace");
}

static void test_jobs(void **state)
{
	const struct fixture *f = *state;
	int r;

	assert_true(job(f, "RestartUnit", "web.service") >= 0);
	assert_record(f, "restart", "web.service");
	assert_true(job(f, "ReloadOrTryRestartUnit", "web.service") >= 0);
	assert_record(f, "try-reload-or-restart", "web.service");
	r = sd_bus_call_method(f->bus, DESTINATION, OBJECT, INTERFACE, "Reload", NULL, NULL, NULL);
	assert_true(r >= 0);
	assert_record(f, "daemon-reload", "");
	r = sd_bus_call_method(f->bus, DESTINATION, OBJECT, INTERFACE, "KillUnit", NULL, NULL, "ssi", "web.service",
			       "all", 1);
	assert_true(r >= 0);
	assert_record(f, "kill", "web.service");
	assert_no_record(f);
}

static int enqueue(const struct fixture *f, const char *unit, const char *type, sd_bus_message **ret)
{
	return sd_bus_call_method(f->bus, DESTINATION, OBJECT, INTERFACE, "EnqueueUnitJob", NULL, ret, "sss", unit,
				  type, "replace");
}

static void test_enqueued(void **state)
{
	const char *job, *id, *object, *type;
	const struct fixture *f = *state;
	sd_bus_message *reply = NULL;
	uint32_t number;

	assert_true(enqueue(f, "web.service", "reload-or-try-restart", &reply) >= 0);
	assert_record(f, "try-reload-or-restart", "web.service");
	assert_true(sd_bus_message_read(reply, "uosos", &number, &job, &id, &object, &type) > 0);
	assert_int_equal(number, 1);
	assert_string_equal(id, "web.service");
	assert_string_equal(object, OBJECT "/unit/web_2eservice");
	assert_string_equal(type, "reload-or-try-restart");
	assert_true(sd_bus_message_enter_container(reply, 'a', "(uosos)") > 0);
	assert_true(sd_bus_message_at_end(reply, false) > 0);
	sd_bus_message_unref(reply);
	assert_true(enqueue(f, "web.service", "nop", NULL) < 0);
	assert_true(enqueue(f, "no-such-unit.service", "start", NULL) < 0);
	assert_no_record(f);
}

static void test_refused(void **state)
{
	const struct fixture *f = *state;
	char name[2 * SHADOW_NAME_MAX];
	sd_bus_error error = SD_BUS_ERROR_NULL;
	struct manager_record record;

	assert_true(job(f, "StartUnit", "no-such-unit.service") < 0);
	assert_true(job(f, "StartUnit", "") < 0);
	assert_true(job(f, "StartUnit", "../../etc/passwd") < 0);
	assert_true(job(f, "StartUnit", "a\nb.service") < 0);
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_true(job(f, "StartUnit", name) < 0);
	assert_no_record(f);
	/* What has no answer is refused, and we are told. */
	assert_true(sd_bus_call_method(f->bus, DESTINATION, OBJECT, INTERFACE, "PowerOff", &error, NULL, NULL) < 0);
	assert_string_equal(error.name, SD_BUS_ERROR_UNKNOWN_METHOD);
	sd_bus_error_free(&error);
	assert_int_equal(recv(f->records, &record, sizeof(record), MSG_DONTWAIT), sizeof(record));
	assert_int_equal(record.kind, RECORD_UNKNOWN);
	assert_string_equal(record.verb, "PowerOff");
	assert_string_equal(record.unit, INTERFACE);
	assert_true(sd_bus_call_method(f->bus, DESTINATION, OBJECT, "org.freedesktop.DBus.Peer", "Ping", NULL, NULL,
				       NULL) >= 0);
	assert_no_record(f);
	/* It is still there. */
	assert_true(job(f, "StopUnit", "web.service") >= 0);
	assert_record(f, "stop", "web.service");
}

static void assert_property(const struct fixture *f, const char *unit, const char *name, const char *expected)
{
	char *path = NULL, *value = NULL;

	assert_true(sd_bus_path_encode(OBJECT "/unit", unit, &path) >= 0);
	assert_true(sd_bus_get_property_string(f->bus, DESTINATION, path, DESTINATION ".Unit", name, NULL, &value) >=
		    0);
	assert_string_equal(value, expected);
	free(value);
	free(path);
}

static void test_properties(void **state)
{
	const struct fixture *f = *state;
	uint32_t pid = 0;

	assert_property(f, "web.service", "ActiveState", "active");
	assert_property(f, "web.service", "SubState", "running");
	assert_property(f, "session-1.scope", "ActiveState", "active");
	assert_property(f, "user.slice", "ActiveState", "active");
	assert_property(f, "dead.service", "ActiveState", "inactive");
	assert_property(f, "dead.service", "LoadState", "not-found");
	/* The oldest child of init, not the oldest process. */
	assert_true(sd_bus_get_property_trivial(f->bus, DESTINATION, OBJECT "/unit/web_2eservice",
						DESTINATION ".Service", "MainPID", NULL, 'u', &pid) >= 0);
	assert_int_equal(pid, 200);
}

static void write_unit(const struct fixture *f, const char *name, const char *content)
{
	_cleanup_(free_ptr) char *directory = string_format("%s/etc/systemd/system/multi-user.target.wants", f->dir);
	_cleanup_(free_ptr) char *path = string_format("%s/etc/systemd/system/%s", f->dir, name);
	_cleanup_(free_ptr) char *link = string_format("%s/%s", directory, name);
	_cleanup_(free_ptr) char *target = string_format("/etc/systemd/system/%s", name);

	assert_ok(io_mkdirs(directory, 0755));
	assert_ok(io_replace_file(path, content, strlen(content), 0644));
	assert_int_equal(symlink(target, link), 0);
}

/* What did its work at the boot and remains has no process. */
static void test_remaining(void **state)
{
	const struct fixture *f = *state;

	need_root();
	write_unit(f, "once.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\n");
	write_unit(f, "gone.service", "[Service]\nType=oneshot\n");
	write_unit(f, "daemon.service", "[Service]\nRemainAfterExit=yes\n");
	assert_property(f, "once.service", "ActiveState", "active");
	assert_property(f, "once.service", "SubState", "exited");
	assert_property(f, "gone.service", "LoadState", "loaded");
	assert_property(f, "gone.service", "ActiveState", "inactive");
	assert_property(f, "daemon.service", "ActiveState", "inactive");
}

static void make_directory(const struct fixture *f, const char *name)
{
	_cleanup_(free_ptr) char *path = string_format("%s%s", f->dir, name);

	assert_ok(io_mkdirs(path, 0755));
}

/* systemd's own links say which unit has started a program and not gone down since; drop-ins count. */
static void test_invocations(void **state)
{
	const struct fixture *f = *state;
	_cleanup_(free_ptr) char *link = string_format("%s/run/systemd/units/invocation:done.service", f->dir);
	_cleanup_(free_ptr) char *drop_in = string_format("%s/etc/systemd/system/done.service.d/x.conf", f->dir);
	static const char text[] = "[Unit]\nDescription = other %n\n[Service]\nType=forking\n";
	uint64_t since = 0;

	need_root();
	make_directory(f, "/run/systemd/units");
	make_directory(f, "/etc/systemd/system/done.service.d");
	write_unit(f, "done.service", "[Unit]\nDescription=one\n[Service]\nType=oneshot\n");
	write_unit(f, "once.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\n");
	assert_int_equal(symlink("0123456789abcdef0123456789abcdef", link), 0);
	assert_ok(io_replace_file(drop_in, text, strlen(text), 0644));
	assert_property(f, "done.service", "ActiveState", "active");
	assert_property(f, "done.service", "SubState", "exited");
	assert_property(f, "done.service", "Description", "other done.service");
	assert_property(f, "done.service", "Type", "forking");
	/* It is wanted and would remain, but has no link. */
	assert_property(f, "once.service", "ActiveState", "inactive");
	assert_true(sd_bus_get_property_trivial(f->bus, DESTINATION, OBJECT "/unit/done_2eservice", DESTINATION ".Unit",
						"ActiveEnterTimestamp", NULL, 't', &since) >= 0);
	assert_true(since > 1600000000000000);
}

/* What is logged is taken, more than a queue holds, and an empty message. */
static void test_log(void **state)
{
	const struct fixture *f = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = 10};
	_cleanup_(close_fd) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, f->log_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), 0);
	assert_int_equal(send(fd, "", 0, MSG_NOSIGNAL), 0);
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(send(fd, "<13>hello", 9, MSG_NOSIGNAL), 9);
	assert_no_record(f);
	assert_true(job(f, "RestartUnit", "web.service") >= 0);
}

/* A package's init script without a unit file: what systemd would make of it at the daemon-reload that was recorded. */
static void test_init_script(void **state)
{
	const struct fixture *f = *state;
	_cleanup_(free_ptr) char *directory = string_format("%s/etc/init.d", f->dir);
	_cleanup_(free_ptr) char *path = string_format("%s/etc/init.d/old", f->dir);
	_cleanup_(free_ptr) char *closed = string_format("%s/etc/init.d/closed", f->dir);

	if (geteuid() != 0)
		skip();
	assert_ok(io_mkdirs(directory, 0755));
	assert_ok(io_replace_file(path, "#!/bin/sh\n", 10, 0755));
	assert_ok(io_replace_file(closed, "#!/bin/sh\n", 10, 0644));
	assert_property(f, "old.service", "LoadState", "loaded");
	assert_property(f, "old.service", "SourcePath", "/etc/init.d/old");
	assert_property(f, "old.service", "FragmentPath", "/run/systemd/generator.late/old.service");
	assert_property(f, "closed.service", "LoadState", "not-found");
	assert_property(f, "closed.service", "SourcePath", "");
	assert_true(job(f, "StartUnit", "old.service") >= 0);
	assert_record(f, "start", "old.service");
	/* A unit file of its name goes before it. */
	write_unit(f, "old.service", "[Service]\nExecStart=/bin/true\n");
	assert_property(f, "old.service", "SourcePath", "");
}

static void test_names_of_paths(void **state)
{
	char name[SHADOW_NAME_MAX];

	unit_name_of_path("/", ".mount", name);
	assert_string_equal(name, "-.mount");
	unit_name_of_path("/run//user/1000/", ".mount", name);
	assert_string_equal(name, "run-user-1000.mount");
	unit_name_of_path("/.a-b c", ".mount", name);
	assert_string_equal(name, "\\x2ea\\x2db\\x20c.mount");
}

/* A job with another mode, and a signal, are recorded as options. */
static void test_options(void **state)
{
	const struct fixture *f = *state;
	struct manager_record record;

	assert_true(sd_bus_call_method(f->bus, DESTINATION, OBJECT, INTERFACE, "StopUnit", NULL, NULL, "ss",
				       "web.service", "ignore-dependencies") >= 0);
	assert_int_equal(recv(f->records, &record, sizeof(record), MSG_DONTWAIT), sizeof(record));
	assert_int_equal(record.n_words, 1);
	assert_string_equal((char *)record.data, "--job-mode=ignore-dependencies");
	assert_int_equal(record.pid, getpid());
	assert_true(sd_bus_call_method(f->bus, DESTINATION, OBJECT, INTERFACE, "StopUnit", NULL, NULL, "ss",
				       "web.service", "x --force") < 0);
	assert_no_record(f);
	assert_true(sd_bus_call_method(f->bus, DESTINATION, OBJECT, INTERFACE, "KillUnit", NULL, NULL, "ssi",
				       "web.service", "main", 1) >= 0);
	assert_int_equal(recv(f->records, &record, sizeof(record), MSG_DONTWAIT), sizeof(record));
	assert_int_equal(record.n_words, 2);
	assert_memory_equal(record.data, "--kill-who=main\0--signal=1", 27);
}

static sd_bus *system_bus(const struct fixture *f)
{
	_cleanup_(free_ptr) char *text = string_format("unix:path=%s", f->bus_path);
	sd_bus *bus;

	assert_true(sd_bus_new(&bus) >= 0);
	assert_true(sd_bus_set_address(bus, text) >= 0);
	assert_true(sd_bus_set_bus_client(bus, 1) >= 0);
	assert_true(sd_bus_start(bus) >= 0);
	return bus;
}

/* Names, the service manager, and what nobody answers. */
static void test_system_bus(void **state)
{
	const struct fixture *f = *state;
	sd_bus *bus = system_bus(f);
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	const char *unique, *path;
	int has;

	assert_true(sd_bus_get_unique_name(bus, &unique) >= 0);
	assert_int_equal(unique[0], ':');
	assert_true(sd_bus_call_method(bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "NameHasOwner", NULL,
				       &reply, "s", "org.nobody") >= 0);
	assert_true(sd_bus_message_read(reply, "b", &has) >= 0);
	assert_false(has);
	sd_bus_message_unref(reply);
	assert_true(sd_bus_call_method(bus, DESTINATION, OBJECT, INTERFACE, "RestartUnit", NULL, &reply, "ss",
				       "web.service", "replace") >= 0);
	assert_true(sd_bus_message_read(reply, "o", &path) >= 0);
	sd_bus_message_unref(reply);
	assert_record(f, "restart", "web.service");
	assert_true(sd_bus_call_method(bus, "org.nobody", "/", "org.nobody", "Do", &error, NULL, NULL) < 0);
	assert_string_equal(error.name, SD_BUS_ERROR_SERVICE_UNKNOWN);
	assert_no_record(f);
	assert_true(sd_bus_call_method(bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "ReloadConfig", NULL,
				       NULL, NULL) >= 0);
	sd_bus_flush_close_unref(bus);
}

static void send_text(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* As libdbus does it: what follows the authentication comes in the same packet as its end. */
static void test_pipelined(void **state)
{
	static const unsigned char hello[] = {
		'l', 1,   0,   1,   0,   0,   0,   0,   1,   0,   0,   0,   0x4e, 0,   0,   0,   1,   1,   'o', 0,
		1,   0,   0,   0,   '/', 0,   0,   0,   0,   0,   0,   0,   3,    1,   's', 0,   5,   0,   0,   0,
		'H', 'e', 'l', 'l', 'o', 0,   0,   0,   2,   1,   's', 0,   20,   0,   0,   0,   'o', 'r', 'g', '.',
		'f', 'r', 'e', 'e', 'd', 'e', 's', 'k', 't', 'o', 'p', '.', 'D',  'B', 'u', 's', 0,   0,   0,   0,
		6,   1,   's', 0,   6,   0,   0,   0,   'a', '.', 'b', 'c', 'd',  'e', 0,   0};
	const struct fixture *f = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = 10};
	unsigned char packet[256], answer[1024];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, f->bus_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	assert_int_equal(send(fd, "", 1, MSG_NOSIGNAL), 1);
	send_text(fd, "AUTH ANONYMOUS 61\r\n");
	assert_true(recv(fd, answer, sizeof(answer), 0) > 3);
	assert_memory_equal(answer, "OK ", 3);
	memcpy(packet, "BEGIN\r\n", 7);
	memcpy(packet + 7, hello, sizeof(hello));
	/* The length of the fields does not count their padding at the end. */
	packet[7 + 12] = (unsigned char)(sizeof(hello) - 16 - 1);
	assert_int_equal(send(fd, packet, 7 + sizeof(hello), MSG_NOSIGNAL), 7 + sizeof(hello));
	assert_true(recv(fd, answer, sizeof(answer), 0) > 16);
	assert_int_equal(answer[1], 3 - (answer[1] == 2));
	close(fd);
}

static void test_unit_by_pid(void **state)
{
	const struct fixture *f = *state;
	sd_bus_message *reply = NULL;
	const char *path;

	assert_true(sd_bus_call_method(f->bus, DESTINATION, OBJECT, INTERFACE, "GetUnitByPID", NULL, &reply, "u",
				       300) >= 0);
	assert_true(sd_bus_message_read(reply, "o", &path) >= 0);
	assert_string_equal(path, OBJECT "/unit/web_2eservice");
	sd_bus_message_unref(reply);
	assert_true(sd_bus_call_method(f->bus, DESTINATION, OBJECT, INTERFACE, "GetUnitByPID", NULL, NULL, "u", 2) < 0);
}

static int raw_connection(const struct fixture *f)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, f->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Garbage, half a message and connections without end: the next honest client is served. */
static void test_hostile(void **state)
{
	const struct fixture *f = *state;
	int fds[100], n = 0;

	for (int i = 0; i < 50; i++) {
		fds[n] = raw_connection(f);
		(void)!send(fds[n++], "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n\377\377\377\377\377\377\377", 37,
			    MSG_NOSIGNAL);
		if (i % 2)
			close(fds[--n]);
	}
	assert_true(job(f, "RestartUnit", "web.service") >= 0);
	assert_record(f, "restart", "web.service");
	while (n > 0)
		close(fds[--n]);
	assert_true(job(f, "StopUnit", "web.service") >= 0);
	assert_record(f, "stop", "web.service");
}

/* The names that a list has, with a space behind each. `state` and `pattern`: one each, or NULL. */
static void assert_units(const struct fixture *f, const char *method, const char *state, const char *pattern,
			 const char *expected)
{
	char *states[] = {(char *)state, NULL}, *patterns[] = {(char *)pattern, NULL}, found[256] = "";
	sd_bus_message *call = NULL, *reply = NULL;
	const char *name;

	assert_true(sd_bus_message_new_method_call(f->bus, &call, DESTINATION, OBJECT, INTERFACE, method) >= 0);
	assert_true(sd_bus_message_append_strv(call, states) >= 0);
	if (strstr(method, "Patterns"))
		assert_true(sd_bus_message_append_strv(call, patterns) >= 0);
	assert_true(sd_bus_call(f->bus, call, 0, NULL, &reply) >= 0);
	assert_true(sd_bus_message_enter_container(reply, 'a', "(ssssssouso)") > 0);
	while (sd_bus_message_enter_container(reply, 'r', "ssssssouso") > 0) {
		assert_true(sd_bus_message_read(reply, "s", &name) > 0);
		assert_true(strlen(found) + strlen(name) + 2 < sizeof(found));
		strcat(strcat(found, name), " ");
		assert_true(sd_bus_message_skip(reply, "sssssouso") >= 0);
		assert_true(sd_bus_message_exit_container(reply) >= 0);
	}
	assert_string_equal(found, expected);
	sd_bus_message_unref(reply);
	sd_bus_message_unref(call);
}

/* Only what is asked for: systemctl stops all that it gets for "stop 'web*'". */
static void test_lists(void **state)
{
	const struct fixture *f = *state;

	need_root();
	write_unit(f, "web@1.service", "[Service]\nExecStart=/bin/true\n");
	assert_units(f, "ListUnitsByPatterns", NULL, "web*", "web.service web@1.service ");
	assert_units(f, "ListUnitsByPatterns", NULL, "web@*.service", "web@1.service ");
	assert_units(f, "ListUnitsByPatterns", NULL, "no-such@*.service", "");
	assert_units(f, "ListUnitsByPatterns", "inactive", "web*", "web@1.service ");
	assert_units(f, "ListUnitsByPatterns", "running", NULL, "session-1.scope web.service ");
	assert_units(f, "ListUnitsFiltered", "failed", NULL, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_jobs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_enqueued, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_properties, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remaining, setup, teardown),
		cmocka_unit_test_setup_teardown(test_invocations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_options, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_init_script, setup, teardown),
		cmocka_unit_test(test_names_of_paths),
		cmocka_unit_test_setup_teardown(test_system_bus, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pipelined, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unit_by_pid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
