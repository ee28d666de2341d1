/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manager's file verbs (enable, mask, is-enabled …): done by the guest's own systemctl, which
 * init runs inside the shadow, so that its rules are those of the guest's version.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "shadow/manager.h"

#define RUNNER_OUTPUT_MAX 262144
#define RUNNER_TIMEOUT_MS 60000
#define NAMES_MAX         256 /* unit names in one request */

static ssize_t read_bounded(int fd, char *buffer, size_t size)
{
	size_t n = 0;

	while (n < size) {
		struct pollfd pollfd = {.fd = fd, .events = POLLIN};
		ssize_t part = poll(&pollfd, 1, RUNNER_TIMEOUT_MS) == 1 ? read(fd, buffer + n, size - n) : -1;

		if (part < 0)
			return -1;
		if (part == 0)
			break;
		n += (size_t)part;
	}
	return (ssize_t)n;
}

static int send_command(int fd, const char *command, size_t size, int output)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {(void *)command, size};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.header), &output, sizeof(output));
	return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Runs `size` bytes of NUL-terminated strings as a command; output is NUL-terminated. Returns its exit status or
 * -errno. */
static int run_command(const struct manager *manager, const char *command, size_t size, char *output)
{
	struct pollfd pollfd = {.fd = manager->options->runner_fd, .events = POLLIN};
	unsigned char status;
	ssize_t n;
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	r = send_command(manager->options->runner_fd, command, size, fds[1]);
	close(fds[1]);
	n = r < 0 ? -1 : read_bounded(fds[0], output, RUNNER_OUTPUT_MAX - 1);
	close(fds[0]);
	if (n < 0)
		return -EIO;
	output[n] = '\0';
	if (poll(&pollfd, 1, RUNNER_TIMEOUT_MS) != 1 || recv(pollfd.fd, &status, 1, MSG_DONTWAIT) != 1)
		return -EIO;
	return status;
}

struct command {
	char bytes[4096];
	size_t size;
};

static int add_word(struct command *command, const char *word)
{
	size_t n = strlen(word) + 1;

	if (command->size + n > sizeof(command->bytes))
		return -E2BIG;
	memcpy(command->bytes + command->size, word, n);
	command->size += n;
	return 0;
}

static int begin_systemctl(struct command *command, const char *verb)
{
	int r;

	command->size = 0;
	r = add_word(command, "systemctl");
	if (r >= 0)
		r = add_word(command, "--root=/");
	return r < 0 ? r : add_word(command, verb);
}

int manager_run_systemctl(struct manager *manager, const char *verb, const char *const *words, char **ret_output)
{
	_cleanup_(free_ptr) char *output = malloc(RUNNER_OUTPUT_MAX);
	struct command command;
	int r = output ? begin_systemctl(&command, verb) : -ENOMEM;

	for (; r >= 0 && *words; words++)
		r = add_word(&command, *words);
	if (r >= 0)
		r = run_command(manager, command.bytes, command.size, output);
	if (r >= 0)
		*ret_output = take_ptr(output);
	return r;
}

/* The first line of what `systemctl --root=/ VERB [UNIT]` prints. */
int manager_file_question(struct manager *manager, const struct method *method, sd_bus_message *message,
			  sd_bus_error *error)
{
	_cleanup_(free_ptr) char *output = malloc(RUNNER_OUTPUT_MAX);
	struct command command;
	const char *name = NULL;
	int r = output ? begin_systemctl(&command, method->argument) : -ENOMEM;

	if (r >= 0 && strcmp(method->argument, "get-default") != 0)
		r = manager_read_unit(message, &name, error);
	if (r >= 0 && name)
		r = add_word(&command, name);
	if (r >= 0)
		r = run_command(manager, command.bytes, command.size, output);
	if (r < 0)
		return r;
	output[strcspn(output, "\n")] = '\0';
	if (!output[0])
		return sd_bus_error_setf(error, SD_BUS_ERROR_FILE_NOT_FOUND, "Unit file %s does not exist.",
					 name ? name : "default.target");
	return sd_bus_reply_method_return(message, "s", output);
}

/* Whether the reply says first that the unit files have an [Install] section. */
static bool carries_install_info(const struct method *method)
{
	static const char *const prefixes[] = {"Enable", "Reenable", "Preset"};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (strncmp(method->member, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return strstr(method->member, "InstallInfo") != NULL;
}

/* SetDefaultTarget(name, force), PresetAllUnitFiles(mode, …): done, and what changed is not listed. */
int manager_file_order(struct manager *manager, const struct method *method, sd_bus_message *message,
		       sd_bus_error *error)
{
	_cleanup_(free_ptr) char *output = NULL;
	const char *words[] = {NULL, NULL};
	int r = 0;

	if (strcmp(method->argument, "set-default") == 0)
		r = manager_read_unit(message, &words[0], error);
	if (r >= 0)
		r = manager_run_systemctl(manager, method->argument, words, &output);
	if (r < 0)
		return r;
	if (r > 0)
		return sd_bus_error_setf(error, SD_BUS_ERROR_FAILED, "systemctl %s failed with status %d.",
					 method->argument, r);
	return sd_bus_reply_method_return(message, "a(sss)", 0);
}

/* Verbs with a list of units and flags (runtime, force); the changes they made are not listed in the reply. */
int manager_file_verb(struct manager *manager, const struct method *method, sd_bus_message *message,
		      sd_bus_error *error)
{
	_cleanup_(free_ptr) char *output = malloc(RUNNER_OUTPUT_MAX);
	struct command command;
	const char *name;
	unsigned n = 0;
	int r = output ? begin_systemctl(&command, method->argument) : -ENOMEM;

	if (r >= 0)
		r = sd_bus_message_enter_container(message, 'a', "s");
	while (r >= 0 && (r = sd_bus_message_read(message, "s", &name)) > 0) {
		if (!unit_name_is_valid(name) || n++ >= NAMES_MAX)
			return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "Unit name is not valid.");
		r = add_word(&command, name);
	}
	if (r >= 0)
		r = run_command(manager, command.bytes, command.size, output);
	if (r < 0)
		return r;
	if (r > 0)
		return sd_bus_error_setf(error, SD_BUS_ERROR_FAILED, "systemctl %s failed with status %d.",
					 method->argument, r);
	if (carries_install_info(method))
		return sd_bus_reply_method_return(message, "ba(sss)", 1, 0);
	return sd_bus_reply_method_return(message, "a(sss)", 0);
}

int manager_append_file_state(struct manager *manager, sd_bus_message *reply, const char *name)
{
	_cleanup_(free_ptr) char *output = NULL;
	const char *words[] = {name, NULL};
	int r = manager_run_systemctl(manager, "is-enabled", words, &output);

	if (r >= 0)
		output[strcspn(output, "\n")] = '\0';
	return sd_bus_message_append(reply, "v", "s", r < 0 ? "" : output);
}
