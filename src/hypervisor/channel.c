/* SPDX-License-Identifier: Apache-2.0 */
/* "No channel" as a backend: everything fails alike, with the remedy. */
#include "hypervisor/ops.h"

static struct error *no_channel(void)
{
	return error_remedy(error_create(ERROR_UNSUPPORTED, "there is no channel into the guest"),
			    "set type in section [channel] of the VM file to agent or ssh");
}

static struct error *none_wait(struct vm *vm, uint64_t timeout_ms)
{
	return no_channel();
}

static struct error *none_put(struct vm *vm, int fd, const char *path, const char *guest_path)
{
	return no_channel();
}

static struct error *none_run(struct vm *vm, const char *const *argv, int stdin_fd, uint64_t timeout_ms,
			      struct channel_result *ret)
{
	return no_channel();
}

static void none_close(struct vm *vm)
{
}

const struct channel_ops channel_none = {
	.name = "none",
	.wait = none_wait,
	.put = none_put,
	.run = none_run,
	.close = none_close,
	.fallback = PAYLOAD_FILE,
};
