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

/* What uname says, by its options. */
static struct error *ask_kernel(struct vm *vm, struct kernel_names *ret)
{
	static const char *const release[] = {"/bin/uname", "-r", NULL}, *const build[] = {"/bin/uname", "-v", NULL};
	struct error *error = ask(vm, release, &ret->release);

	return error ? error : ask(vm, build, &ret->build);
}

static bool same(const struct kernel_names *running, const struct kernel_names *wanted)
{
	return !strcmp(running->release, wanted->release) && (!wanted->build || !strcmp(running->build, wanted->build));
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

/* A hypervisor may be told to end the process where its guest reboots. */
static struct error *check_process(struct vm *vm)
{
	enum vm_state state;
	struct error *error = vm_state(vm, &state);

	if (error || state != VM_OFF)
		return error;
	return error_remedy(error_create(ERROR_FAILED, "the VM's process has ended with the guest's reboot"),
			    "resume boots it from its disk");
}

static struct error *not_back(struct error *error, const struct kernel_names *before, const struct kernel_names *wanted)
{
	error = error ? error_wrap(error, "the guest does not come back from its reboot into kernel %s",
				   wanted->release)
		      : error_create(ERROR_TIMEOUT, "the guest was asked to reboot into kernel %s, and has not",
				     wanted->release);
	return error_remedy(error,
			    "its console says why; the menu of its boot loader still has kernel %s, if the update has "
			    "not removed that",
			    before->release);
}

static struct error *await_boot(struct vm *vm, const char *boot_id, uint64_t timeout_ms,
				const struct kernel_names *before, const struct kernel_names *wanted)
{
	uint64_t deadline_ns = clock_monotonic_ns() + timeout_ms * 1000000;

	for (;;) {
		_cleanup_(free_ptr) char *now = NULL;
		struct error *error = check_process(vm);

		if (error)
			return error;
		error = vm_channel_wait(vm, WAIT_TIMEOUT_MS);
		if (!error)
			error = ask_boot_id(vm, &now);
		if (!error && strcmp(now, boot_id) != 0)
			return NULL;
		if (clock_monotonic_ns() >= deadline_ns)
			return not_back(error, before, wanted);
		error_destroy(error);
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	}
}

static struct error *check_running(struct vm *vm, const struct kernel_names *wanted)
{
	_cleanup_(kernel_names_deinit) struct kernel_names running = {0};
	struct error *error = ask_kernel(vm, &running);

	if (error || same(&running, wanted))
		return error;
	error = error_create(ERROR_FAILED, "after its reboot the guest runs kernel %s (%s), not %s%s%s%s",
			     running.release, running.build, wanted->release, wanted->build ? " (" : "",
			     wanted->build ? wanted->build : "", wanted->build ? ")" : "");
	return error_remedy(error, "its boot loader chose so, or whoever sat at its console");
}

struct error *reboot_into(struct vm *vm, const struct kernel_names *wanted, uint64_t timeout_ms, bool *ret_rebooted)
{
	_cleanup_(kernel_names_deinit) struct kernel_names before = {0};
	_cleanup_(free_ptr) char *boot_id = NULL;
	struct error *error = vm_channel_wait(vm, timeout_ms);

	if (!error)
		error = ask_kernel(vm, &before);
	if (!error)
		error = ask_boot_id(vm, &boot_id);
	if (error)
		return error;
	if (same(&before, wanted)) {
		*ret_rebooted = false;
		return NULL;
	}
	ask_for_reboot(vm);
	error = await_boot(vm, boot_id, timeout_ms, &before, wanted);
	if (!error)
		error = check_running(vm, wanted);
	if (!error)
		*ret_rebooted = true;
	return error;
}
