/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the peer on the service manager's socket sends, from its greeting on: the first byte says which question was
 * asked, the rest is what comes, and then the connection ends. systemctl, which is called for every bad answer, is
 * none: run() is here.
 */
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "apply/run.h"
#include "apply/systemd.h"
#include "base/io.h"

#define ANSWER_MAX (64 * 1024) /* what a socket has room for */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);

static const uint8_t *answer;
static size_t answer_size;
static int peer = -1;

struct error *run(char *const *argv, uint64_t timeout_ms, struct run_result *ret)
{
	return error_create(ERROR_FAILED, "%s is not called here", argv[0]);
}

void run_result_deinit(struct run_result *result)
{
	free(result->output);
	*result = (struct run_result){};
}

/*
 * The socket becomes one end of a pair. All that will ever come is there before anything is asked; what is asked has
 * somewhere to go, although nobody reads it.
 */
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	if (send(pair[1], answer, answer_size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)answer_size ||
	    shutdown(pair[1], SHUT_WR) < 0 || dup3(pair[0], fd, O_CLOEXEC) < 0)
		abort();
	close(pair[0]);
	close_fd(&peer);
	peer = pair[1];
	return 0;
}

static struct error *ask(struct systemd *manager, unsigned question)
{
	static const char *const units[] = {"a.service", "b.timer", "c.service"};
	struct unit_state items[] = {{.unit = "a.service"}, {.unit = "b.timer"}, {.unit = "c.service"}};
	bool found[ARRAY_SIZE(units)];

	switch (question % 5) {
	case 0:
		return systemd_ask_running(manager, units, ARRAY_SIZE(units), found);
	case 1:
		return systemd_ask_states(manager, &(struct unit_states){items, ARRAY_SIZE(items)});
	case 2:
		return systemd_ask_stopping(manager, found);
	case 3:
		return systemd_stop(manager, units, ARRAY_SIZE(units));
	default:
		return systemd_start(manager, units, ARRAY_SIZE(units));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct systemd manager;

	if (size < 2 || size > ANSWER_MAX)
		return 0;
	answer = data + 1;
	answer_size = size - 1;
	systemd_open(&manager);
	error_destroy(ask(&manager, data[0]));
	systemd_close(&manager);
	close_fd(&peer);
	return 0;
}
