/* SPDX-License-Identifier: Apache-2.0 */
#include "update/reboot.h"

#include <string.h>
#include <time.h>

#include "base/io.h"
#include "base/log.h"

#define ASK_TIMEOUT_MS  (30 * 1000ull)
#define WAIT_TIMEOUT_MS (10 * 1000ull) /* a guest that boots answers at some time; then it is asked */

/* What a program of the guest prints, without the newline. */
static struct error *ask(struct vm *vm, const char *const *argv, char **ret)
{
	struct channel_result result = {0};
	struct error *error = vm_channel_run(vm, argv, -1, ASK_TIMEOUT_MS, &result);

	if (!error && result.status != 0)
		error = error_create(ERROR_FAILED, "%s in the guest: exit status %d: %.200s", argv[0], result.status,
				     result.errors);
	if (!error) {
		result.output[strcspn(result.output, "\n")] = '\0';
		*ret = take_ptr(result.output);
	}
	channel_result_deinit(&result);
	return error;
}

static struct error *ask_boot_id(struct vm *vm, char **ret)
{
	static const char *const argv[] = {"/bin/cat", "/proc/sys/kernel/random/boot_id", NULL};

	return ask(vm, argv, ret);
}

static struct error *ask_release(struct vm *vm, char **ret)
{
	static const char *const argv[] = {"/bin/uname", "-r", NULL};

	return ask(vm, argv, ret);
}

/* The way in may go away before the program has ended: that it does is what was asked for. */
static void ask_for_reboot(struct vm *vm)
{
	static const char script[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin; sync\n"
				     "[ -d /run/systemd/system ] && exec systemctl --no-block reboot\n"
				     "exec reboot";
	static const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	struct channel_result result = {0};
	struct error *error = vm_channel_run(vm, argv, -1, ASK_TIMEOUT_MS, &result);

	if (error)
		log_debug("asked the guest to reboot: %s", error->message);
	error_destroy(error);
	channel_result_deinit(&result);
}

static struct error *await_boot(struct vm *vm, const char *before, uint64_t timeout_ms)
{
	uint64_t deadline_ns = clock_monotonic_ns() + timeout_ms * 1000000;

	for (;;) {
		_cleanup_(free_ptr) char *now = NULL;
		struct error *error = vm_channel_wait(vm, WAIT_TIMEOUT_MS);

		if (!error)
			error = ask_boot_id(vm, &now);
		if (!error && strcmp(now, before) != 0)
			return NULL;
		if (clock_monotonic_ns() >= deadline_ns)
			return error ? error_wrap(error, "the guest does not come back from its reboot")
				     : error_create(ERROR_TIMEOUT, "the guest was asked to reboot and has not");
		error_destroy(error);
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	}
}

struct error *reboot_into(struct vm *vm, const char *release, uint64_t timeout_ms, bool *ret_rebooted)
{
	_cleanup_(free_ptr) char *boot_id = NULL, *running = NULL, *after = NULL;
	struct error *error = vm_channel_wait(vm, timeout_ms);

	if (!error)
		error = ask_release(vm, &running);
	if (!error)
		error = ask_boot_id(vm, &boot_id);
	if (error)
		return error;
	if (!strcmp(running, release)) {
		*ret_rebooted = false;
		return NULL;
	}
	ask_for_reboot(vm);
	error = await_boot(vm, boot_id, timeout_ms);
	if (!error)
		error = ask_release(vm, &after);
	if (!error && strcmp(after, release) != 0)
		error = error_create(ERROR_FAILED, "after its reboot the guest runs kernel %s, not %s", after, release);
	if (!error)
		*ret_rebooted = true;
	return error;
}
