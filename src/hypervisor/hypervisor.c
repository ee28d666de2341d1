/* SPDX-License-Identifier: Apache-2.0 */
/* The door: checks its arguments and hands on to the driver and the channel. */
#include "hypervisor/hypervisor.h"

#include <ctype.h>
#include <string.h>
#include <sys/mman.h>

#include "base/io.h"
#include "base/log.h"
#include "hypervisor/ops.h"

#define VM_NAME_MAX        64     /* leaves room for "ouassister-" in table and device names */
#define VM_SYNC_CHANNEL_MS 5000   /* an agent that is there answers in milliseconds */
#define VM_SYNC_MS         120000 /* flushing a guest's page cache to a slow disk */
#define CHANNEL_PUT_MAX    (4u << 20)

static const struct hypervisor_ops *const drivers[] = {
	&hypervisor_qemu,
#if HAVE_LIBVIRT
	&hypervisor_libvirt,
#endif
	&hypervisor_xen,
};

static const struct channel_ops *const channels[] = {
	[CHANNEL_NONE] = &channel_none,
	[CHANNEL_AGENT] = &channel_agent,
	[CHANNEL_SSH] = &channel_ssh,
};

static const struct hypervisor_ops *find_driver(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	return NULL;
}

/* The name becomes part of filter tables and file names. */
static bool valid_name(const char *name)
{
	if (!name || !isalnum((unsigned char)name[0]) || strlen(name) > VM_NAME_MAX)
		return false;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return false;
	return true;
}

struct error *vm_create(const char *driver, const struct vm_settings *settings, struct vm **ret)
{
	const struct hypervisor_ops *ops = find_driver(driver);
	struct vm *vm;

	if (!ops)
		return error_remedy(error_create(ERROR_USAGE, "unknown hypervisor driver \"%s\"", driver),
				    "known drivers: qemu, xen, and libvirt where it was built in");
	if (!valid_name(settings->name))
		return error_create(ERROR_USAGE,
				    "\"%s\" cannot be the name of a VM: at most %d of A-Z a-z 0-9 . _ -, "
				    "a letter or digit first",
				    settings->name ? settings->name : "", VM_NAME_MAX);
	if ((size_t)settings->channel >= ARRAY_SIZE(channels))
		return error_create(ERROR_USAGE, "VM %s: unknown channel", settings->name);
	if (!settings->qmp && !settings->uuid)
		return error_create(ERROR_USAGE, "VM %s: no QMP socket is given", settings->name);
	if (settings->channel == CHANNEL_AGENT && !settings->agent && !ops->agent)
		return error_create(ERROR_USAGE, "VM %s: channel agent without its socket", settings->name);
	if (settings->channel == CHANNEL_SSH && !settings->ssh_target)
		return error_create(ERROR_USAGE, "VM %s: channel ssh without user@host", settings->name);
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return error_no_memory();
	vm->hypervisor = ops;
	vm->channel = channels[settings->channel];
	vm->settings = *settings;
	*ret = vm;
	return NULL;
}

void vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	vm->channel->close(vm);
	if (vm->hypervisor->release)
		vm->hypervisor->release(vm);
	free(vm);
}

static struct error *of_vm(const struct vm *vm, struct error *error)
{
	return error_wrap(error, "VM %s", vm->settings.name);
}

struct error *vm_state(struct vm *vm, enum vm_state *ret)
{
	return of_vm(vm, vm->hypervisor->state(vm, ret));
}

struct error *vm_sync(struct vm *vm, bool *ret_synced)
{
	static const char *const argv[] = {"/bin/sync", NULL};
	struct channel_result result = {};
	struct error *error;
	bool synced = false;

	if (vm->settings.channel == CHANNEL_NONE) {
		*ret_synced = false;
		return NULL;
	}
	error = vm->channel->wait(vm, VM_SYNC_CHANNEL_MS);
	if (!error)
		error = vm->channel->run(vm, argv, -1, VM_SYNC_MS, &result);
	if (error)
		log_info("%s: the guest's file systems were not flushed: %s", vm->settings.name, error->message);
	else
		synced = result.status == 0;
	error_destroy(error);
	channel_result_deinit(&result);
	*ret_synced = synced;
	return NULL;
}

struct error *vm_suspend(struct vm *vm)
{
	/* What a killed process of ours left plugged would be in the image: no command could load that. */
	struct error *error = vm_payload_detach(vm);

	if (error)
		return error;
	/* The guest's agent is about to be frozen; a connection to it would outlive its QEMU. */
	vm->channel->close(vm);
	return error_wrap(vm->hypervisor->suspend(vm), "cannot suspend %s", vm->settings.name);
}

struct error *vm_load(struct vm *vm)
{
	return error_wrap(vm->hypervisor->load(vm), "cannot load %s", vm->settings.name);
}

struct error *vm_boot_paused(struct vm *vm)
{
	return error_wrap(vm->hypervisor->boot_paused(vm), "cannot start %s", vm->settings.name);
}

/* Old memory on a newer disk is corruption: the image gets another name. */
static struct error *rename_spent(const char *memory)
{
	_cleanup_(free_ptr) char *spent = string_format("%s.spent", memory);

	if (!spent)
		return error_no_memory();
	if (rename(memory, spent) < 0 && errno != ENOENT)
		return error_system(errno, memory, "cannot mark the memory image as spent");
	return io_sync_parent(memory);
}

struct error *vm_spend(struct vm *vm)
{
	if (vm->hypervisor->spend)
		return of_vm(vm, vm->hypervisor->spend(vm));
	return rename_spent(vm->settings.memory);
}

struct error *vm_continue(struct vm *vm, uint64_t *ret_ns)
{
	return error_wrap(vm->hypervisor->resume(vm, ret_ns), "cannot let %s run", vm->settings.name);
}

struct error *vm_quit(struct vm *vm)
{
	vm->channel->close(vm);
	return error_wrap(vm->hypervisor->quit(vm), "cannot end the process of %s", vm->settings.name);
}

struct error *vm_channel_wait(struct vm *vm, uint64_t timeout_ms)
{
	return of_vm(vm, vm->channel->wait(vm, timeout_ms));
}

/* The bytes as a file, which is what the channels send. */
static struct error *memory_file(const void *data, size_t size, int *ret)
{
	_cleanup_(close_fd) int fd = memfd_create("put", MFD_CLOEXEC);
	struct error *error;

	if (fd < 0)
		return error_system(errno, NULL, "cannot create a memory file");
	error = io_write(fd, data, size, "memory file");
	if (error)
		return error;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_system(errno, NULL, "cannot rewind a memory file");
	*ret = take_fd(fd);
	return NULL;
}

struct error *vm_channel_put(struct vm *vm, const void *data, size_t size, const char *guest_path)
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error;
	uint64_t start_ns;

	if (size > CHANNEL_PUT_MAX)
		return error_create(ERROR_USAGE, "%s: %zu bytes are too many to put into the guest", guest_path, size);
	if (guest_path[0] != '/' || !strchr(guest_path + 1, '/') || guest_path[strlen(guest_path) - 1] == '/')
		return error_create(ERROR_USAGE, "%s: not an absolute path below a directory", guest_path);
	error = memory_file(data, size, &fd);
	start_ns = clock_monotonic_ns();
	if (!error)
		error = vm->channel->put(vm, fd, guest_path, guest_path);
	if (!error)
		vm->channel_speed = size * 1000000000ull / (clock_monotonic_ns() - start_ns + 1);
	return of_vm(vm, error_wrap(error, "cannot put %s into the guest", guest_path));
}

uint64_t vm_channel_speed(const struct vm *vm)
{
	return vm->channel_speed;
}

struct error *vm_channel_run(struct vm *vm, const char *const *argv, int stdin_fd, uint64_t timeout_ms,
			     struct channel_result *ret)
{
	struct error *error = vm->channel->run(vm, argv, stdin_fd, timeout_ms, ret);

	return of_vm(vm, error_wrap(error, "running %s in the guest", argv[0]));
}

void channel_result_deinit(struct channel_result *result)
{
	free(result->output);
	free(result->errors);
	*result = (struct channel_result){};
}
