/* SPDX-License-Identifier: Apache-2.0 */
#include "systemd_server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/io.h"
#include "systemd.h"
#include "tests/unit/test.h"

#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER      "org.freedesktop.systemd1.Manager"
#define SERVICE      "org.freedesktop.systemd1.Service"
#define UNITS_PATH   MANAGER_PATH "/unit"
#define NO_SUCH_UNIT "org.freedesktop.systemd1.NoSuchUnit"

/* In a process that is not the test's: assertions would not end it. */
#define must(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "server: %s\n", #condition);                                                   \
			_exit(1);                                                                                      \
		}                                                                                                      \
	} while (0)

static enum server_twist twist;

static int listen_at_socket(int backlog)
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SERVER_SOCKET};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unlink(SERVER_SOCKET);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void note(const char *method, const char *of)
{
	FILE *stream = fopen(SERVER_ASKED, "ae");

	must(stream);
	fprintf(stream, "%s %s\n", method, of);
	fclose(stream);
}

/* --- what systemd knows --- */

static void state_of(const char *unit, char active[32])
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", SYSTEMD_RUNS, unit);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	strcpy(active, "inactive");
	if (fd < 0)
		return;
	n = read(fd, active, 31);
	close(fd);
	must(n >= 0);
	active[n] = '\0';
	if (n == 0)
		strcpy(active, "active");
}

static void set_running(const char *unit, bool runs)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", SYSTEMD_RUNS, unit);
	int fd = runs ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (fd >= 0)
		close(fd);
	else
		unlink(path);
}

static void append_row(sd_bus_message *reply, const char *unit)
{
	_cleanup_(free_ptr) char *path = NULL;
	char active[32];

	state_of(unit, active);
	must(sd_bus_path_encode(UNITS_PATH, unit, &path) >= 0);
	must(sd_bus_message_append(reply, "(ssssssouso)", unit, "What it is",
				   strcmp(unit, "gone.service") ? "loaded" : "not-found", active, "substate", "", path,
				   0, "", "/") >= 0);
}

static int answer_units(sd_bus_message *m, bool by_pattern)
{
	_cleanup_(free_ptr) char **states = NULL, **names = NULL;
	sd_bus_message *reply = NULL;
	int r;

	if (by_pattern)
		must(sd_bus_message_read_strv(m, &states) >= 0 && (!states || !*states));
	must(sd_bus_message_read_strv(m, &names) >= 0 && names && *names);
	must(sd_bus_message_new_method_return(m, &reply) >= 0);
	must(sd_bus_message_open_container(reply, 'a', "(ssssssouso)") >= 0);
	if (by_pattern)
		append_row(reply, "unasked.service");
	for (char **name = names; *name; free(*name++)) {
		char active[32];

		state_of(*name, active);
		/* By pattern only what is loaded is there. */
		if (by_pattern && !strcmp(active, "inactive") && strcmp(*name, "idle.service") != 0)
			continue;
		if (twist != SERVER_FEWER_ROWS || name[1])
			append_row(reply, *name);
	}
	must(sd_bus_message_close_container(reply) >= 0);
	r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r < 0 ? r : 1;
}

static int answer_property(sd_bus_message *m)
{
	_cleanup_(free_ptr) char *unit = NULL;
	const char *interface, *property;

	must(sd_bus_message_read(m, "ss", &interface, &property) >= 0);
	must(!strcmp(interface, SERVICE) && sd_bus_path_decode(sd_bus_message_get_path(m), UNITS_PATH, &unit) > 0);
	note(property, unit);
	if (twist == SERVER_DIES)
		_exit(0);
	return sd_bus_reply_method_return(m, "v", "s", !strcmp(property, "Type") ? "notify" : "success");
}

static int answer_jobs(sd_bus_message *m)
{
	const char *path = UNITS_PATH "/x_2eservice";

	if (twist != SERVER_STOPPING)
		return sd_bus_reply_method_return(m, "a(usssoo)", 1, 7, "x.service", "start", "running", "/job/7",
						  path);
	return sd_bus_reply_method_return(m, "a(usssoo)", 2, 7, "x.service", "start", "running", "/job/7", path, 8,
					  "y.service", "restart", "waiting", "/job/8", UNITS_PATH "/y_2eservice");
}

/* --- what it does --- */

/* Who asked may have gone. */
static void must_send(int r)
{
	must(r >= 0 || r == -ENOTCONN || r == -ECONNRESET || r == -EPIPE);
}

static void tell_end(sd_bus *bus, uint32_t job, const char *unit, const char *result)
{
	_cleanup_(free_ptr) char *path = string_format(MANAGER_PATH "/job/%u", job);

	must_send(sd_bus_emit_signal(bus, MANAGER_PATH, MANAGER, "JobRemoved", "uoss", job, path, unit, result));
}

/* What else systemd has to tell at any moment. */
static void tell_others(sd_bus *bus)
{
	tell_end(bus, 4711, "other.service", "failed");
	must_send(sd_bus_emit_signal(bus, MANAGER_PATH, MANAGER, "Reloading", "b", 0));
	must_send(sd_bus_emit_signal(bus, UNITS_PATH "/other_2eservice", "org.freedesktop.DBus.Properties",
				     "PropertiesChanged", "sa{sv}as", SERVICE, 1, "MainPID", "u", 17, 1, "ExecStart"));
}

static int answer_job(sd_bus_message *m, bool start)
{
	static uint32_t job = 100;
	sd_bus *bus = sd_bus_message_get_bus(m);
	_cleanup_(free_ptr) char *path = string_format(MANAGER_PATH "/job/%u", ++job);
	const char *unit, *mode;
	int r;

	must(sd_bus_message_read(m, "ss", &unit, &mode) >= 0 && !strcmp(mode, "replace"));
	note(start ? "start" : "stop", unit);
	tell_others(bus);
	if (start)
		set_running(unit, true);
	r = sd_bus_reply_method_return(m, "o", path);
	if (twist == SERVER_DIES) {
		sd_bus_flush(bus);
		_exit(0);
	}
	tell_others(bus);
	if (!start && twist != SERVER_JOBS_FAIL)
		set_running(unit, false);
	tell_end(bus, job, unit, twist == SERVER_JOBS_FAIL ? "failed" : "done");
	tell_others(bus);
	return r;
}

static int answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *method = sd_bus_message_get_member(m);
	uint8_t type;

	if (sd_bus_message_get_type(m, &type) < 0 || type != SD_BUS_MESSAGE_METHOD_CALL)
		return 0;
	if (twist == SERVER_REFUSES || twist == SERVER_ANSWERS_NUMBERS) {
		note(method, "");
		return twist == SERVER_REFUSES ? sd_bus_reply_method_errorf(m, NO_SUCH_UNIT, "There is none.")
					       : sd_bus_reply_method_return(m, "u", 12);
	}
	if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "Get"))
		return answer_property(m);
	must(!strcmp(sd_bus_message_get_path(m), MANAGER_PATH) && !strcmp(sd_bus_message_get_interface(m), MANAGER));
	if (!strcmp(method, "StopUnit") || !strcmp(method, "StartUnit"))
		return answer_job(m, method[3] == 'r');
	note(method, "");
	tell_others(sd_bus_message_get_bus(m));
	if (!strcmp(method, "ListJobs"))
		return answer_jobs(m);
	must(!strcmp(method, "ListUnitsByPatterns") || !strcmp(method, "ListUnitsByNames"));
	return answer_units(m, method[11] == 'P');
}

static void serve(int fd)
{
	sd_bus *bus = NULL;
	sd_id128_t id;
	int r;

	must(sd_id128_randomize(&id) >= 0 && sd_bus_new(&bus) >= 0 && sd_bus_set_fd(bus, fd, fd) >= 0);
	must(sd_bus_set_server(bus, 1, id) >= 0 && sd_bus_add_filter(bus, NULL, answer, NULL) >= 0);
	must(sd_bus_start(bus) >= 0);
	do {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
	} while (r >= 0);
	sd_bus_unref(bus);
}

/* --- a peer of bytes --- */

static bool await_text(int fd, const char *text)
{
	char bytes[4096];
	size_t have = 0;
	ssize_t n;

	while (have < sizeof(bytes) && (n = recv(fd, bytes + have, sizeof(bytes) - have, 0)) > 0) {
		have += n;
		if (memmem(bytes, have, text, strlen(text)))
			return true;
	}
	return false;
}

static void serve_raw(int fd, const struct raw_server *raw)
{
	const char *greeting = raw->greeting ? raw->greeting : "OK 0123456789abcdef0123456789abcdef\r\n";
	bool open = await_text(fd, "BEGIN\r\n") && send(fd, greeting, strlen(greeting), MSG_NOSIGNAL) >= 0;

	if (!raw->greeting)
		open = open && await_text(fd, "org.freedesktop.systemd1");
	while (open && raw->size) {
		open = send(fd, raw->bytes, raw->size, MSG_NOSIGNAL) >= 0;
		if (!raw->forever)
			break;
	}
	while (open && !raw->ends && await_text(fd, "no such text"))
		;
	close(fd);
}

static pid_t start(const struct raw_server *raw)
{
	int listener = listen_at_socket(8);
	pid_t pid = fork();
	int fd;

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
			if (raw)
				serve_raw(fd, raw);
			else
				serve(fd);
		}
		_exit(1);
	}
	close(listener);
	return pid;
}

pid_t server_start(enum server_twist wanted)
{
	twist = wanted;
	return start(NULL);
}

pid_t server_start_raw(const struct raw_server *raw)
{
	return start(raw);
}

void server_crowded(int ret_fds[2])
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SERVER_SOCKET};

	ret_fds[0] = listen_at_socket(0);
	ret_fds[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(ret_fds[1], (const struct sockaddr *)&address, sizeof(address)), 0);
}

void server_stop(pid_t pid)
{
	int status;

	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* It found nothing in the questions that should not be there. */
	assert_true((WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) || WEXITSTATUS(status) == 0);
	unlink(SERVER_SOCKET);
}
