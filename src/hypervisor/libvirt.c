/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The libvirt driver: state, suspend, resume, and the table of its parts.
 *
 * A domain is woken by restoring its managed save like any save file, paused (virDomainRestoreFlags): starting the
 * domain would remove the image at once, and with it the way back if the gate cannot be closed. libvirt forgets the
 * image when it is spent, before the first instruction. Only a domain that has our image behind it, or that we have
 * just booted, is ever destroyed; another one may be somebody else's `virsh start`.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/progress.h"
#include "hypervisor/libvirt_api.h"

static struct error *read_state(const struct libvirt *libvirt, enum vm_state *ret)
{
	int state, reason;

	if (libvirt->api->virDomainGetState(libvirt->domain, &state, &reason, 0) < 0)
		return libvirt_error(libvirt->api, "tell the domain's state");
	switch (state) {
	case VIR_DOMAIN_SHUTOFF:
	case VIR_DOMAIN_CRASHED:
	case VIR_DOMAIN_NOSTATE:
		*ret = VM_OFF;
		break;
	case VIR_DOMAIN_PAUSED:
		*ret = VM_PAUSED;
		break;
	default:
		*ret = VM_RUNNING;
	}
	return NULL;
}

static struct error *libvirt_state(struct vm *vm, enum vm_state *ret)
{
	struct libvirt *libvirt;
	struct error *error = libvirt_of(vm, &libvirt);

	if (!error)
		error = read_state(libvirt, ret);
	/* A domain that was never defined is gone when it is off. */
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		*ret = VM_OFF;
		return NULL;
	}
	return error;
}

static struct error *require_state(const struct libvirt *libvirt, enum vm_state wanted, const char *what)
{
	enum vm_state state;
	struct error *error = read_state(libvirt, &state);

	if (error || state == wanted)
		return error;
	return error_create(ERROR_BUSY, "%s", what);
}

/* --- suspend --- */

/* libvirt's writer leaves the file's name to the kernel's mercy. */
static struct error *make_durable(const char *path)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return error_system(errno, path, "the domain is saved, but its image cannot be opened");
	if (fsync(fd) < 0)
		return error_system(errno, path, "cannot make durable");
	return io_sync_parent(path);
}

/* All or nothing: libvirt lets the guest run on where it cannot write the image. */
static struct error *libvirt_suspend(struct vm *vm)
{
	const struct vm_settings *settings = &vm->settings;
	struct libvirt *libvirt;
	struct error *error = libvirt_of_active(vm, &libvirt);
	int result;

	if (error)
		return error;
	if (!settings->managed_save && access(settings->memory, F_OK) == 0)
		return error_remedy(error_create(ERROR_USAGE, "%s: there is a memory image already", settings->memory),
				    "move it away; it belongs to an older state of the disk");
	progress_step("suspend", "saving the memory");
	result = settings->managed_save ? libvirt->api->virDomainManagedSave(libvirt->domain, 0)
					: libvirt->api->virDomainSaveFlags(libvirt->domain, settings->memory, NULL, 0);
	progress_end();
	if (result < 0)
		return libvirt_error(libvirt->api, "save the domain");
	return make_durable(settings->memory);
}

/* --- resume --- */

/* Without a domain of its name libvirt makes one, out of the save file. */
static struct error *open_for_load(struct vm *vm, struct libvirt **ret)
{
	struct error *error = libvirt_of(vm, ret);

	if (!error)
		return require_state(*ret, VM_OFF, "the domain runs already: somebody has started it");
	if (error->code != ERROR_NOT_FOUND || vm->settings.managed_save)
		return error;
	error_destroy(error);
	*ret = vm->libvirt;
	return NULL;
}

static struct error *libvirt_load_image(struct vm *vm)
{
	const struct vm_settings *settings = &vm->settings;
	struct libvirt *libvirt;
	struct error *error = open_for_load(vm, &libvirt);

	if (error)
		return error;
	if (settings->managed_save && libvirt->api->virDomainHasManagedSaveImage(libvirt->domain, 0) != 1)
		return error_create(ERROR_NOT_FOUND, "libvirt has no managed save of the domain: somebody has started "
						     "it, or removed the image");
	if (libvirt->api->virDomainRestoreFlags(libvirt->connection, settings->memory, NULL, VIR_DOMAIN_SAVE_PAUSED) <
	    0)
		return libvirt_error(libvirt->api, "restore the domain");
	error = libvirt_of_active(vm, &libvirt);
	return error ? error : require_state(libvirt, VM_PAUSED, "the guest runs although it was restored paused");
}

static struct error *libvirt_boot_paused(struct vm *vm)
{
	struct libvirt *libvirt;
	struct error *error = libvirt_of(vm, &libvirt);

	if (!error)
		error = require_state(libvirt, VM_OFF, "the domain runs already: somebody has started it");
	if (error)
		return error;
	/* It would be loaded. */
	if (libvirt->api->virDomainHasManagedSaveImage(libvirt->domain, 0) != 0)
		return error_create(ERROR_CONFLICT, "the domain has a managed save: it was suspended meanwhile");
	if (libvirt->api->virDomainCreateWithFlags(libvirt->domain, VIR_DOMAIN_START_PAUSED) < 0)
		return libvirt_error(libvirt->api, "start the domain");
	libvirt->booted = true;
	return require_state(libvirt, VM_PAUSED, "the guest runs although it was started paused");
}

/* libvirt removes the image by itself, and so knows that there is none any more. */
static struct error *libvirt_spend(struct vm *vm)
{
	const char *memory = vm->settings.memory;
	_cleanup_(free_ptr) char *spent = string_format("%s.spent", memory);
	struct libvirt *libvirt;
	struct error *error = spent ? libvirt_of(vm, &libvirt) : error_no_memory();

	if (error)
		return error;
	if (!vm->settings.managed_save && rename(memory, spent) < 0 && errno != ENOENT)
		return error_system(errno, memory, "cannot mark the memory image as spent");
	if (vm->settings.managed_save && access(memory, F_OK) == 0 &&
	    libvirt->api->virDomainManagedSaveRemove(libvirt->domain, 0) < 0)
		return libvirt_error(libvirt->api, "remove the managed save");
	return io_sync_parent(memory);
}

static struct error *libvirt_resume(struct vm *vm, uint64_t *ret_ns)
{
	struct libvirt *libvirt;
	uint64_t before_ns;
	struct error *error = libvirt_of_active(vm, &libvirt);

	if (error)
		return error;
	/* Taken before the command: the guest may run before its answer is read. */
	before_ns = clock_monotonic_ns();
	libvirt->booted = false;
	if (libvirt->api->virDomainResume(libvirt->domain) < 0)
		error = libvirt_error(libvirt->api, "let the domain run");
	if (!error)
		error = require_state(libvirt, VM_RUNNING, "the domain does not run after it was resumed");
	if (!error)
		*ret_ns = before_ns;
	return error;
}

/*
 * What never ran is ours to end: it is paused, and its image is still there to be loaded again (`virsh start` and its
 * like remove it), or we have just booted it.
 */
static struct error *libvirt_quit(struct vm *vm)
{
	const char *memory = vm->settings.memory;
	struct libvirt *libvirt;
	struct error *error = libvirt_of_active(vm, &libvirt);

	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		return NULL;
	}
	if (!error)
		error = require_state(libvirt, VM_PAUSED, "somebody has started the domain meanwhile: it runs");
	if (error)
		return error;
	if (!libvirt->booted && access(memory, F_OK) < 0)
		return error_remedy(error_create(ERROR_BUSY, "the domain is paused, and has no save image that it "
							     "could be loaded from again: it is not ended"),
				    "let it run with: virsh resume %s", vm->settings.name);
	libvirt->booted = false;
	if (libvirt->api->virDomainDestroy(libvirt->domain) < 0)
		return libvirt_error(libvirt->api, "end the domain");
	return NULL;
}

static void libvirt_release(struct vm *vm)
{
	if (!vm->libvirt)
		return;
	libvirt_close(vm->libvirt);
	free(vm->libvirt);
	vm->libvirt = NULL;
}

const struct hypervisor_ops hypervisor_libvirt = {
	.name = "libvirt",
	.state = libvirt_state,
	.suspend = libvirt_suspend,
	.load = libvirt_load_image,
	.boot_paused = libvirt_boot_paused,
	.resume = libvirt_resume,
	.quit = libvirt_quit,
	.network = libvirt_network,
	.set_link = libvirt_set_link,
	.disk_attach = libvirt_disk_attach,
	.disk_detach = libvirt_disk_detach,
	.port_attach = libvirt_port_attach,
	.port_detach = libvirt_port_detach,
	.spend = libvirt_spend,
	.agent = libvirt_agent,
	.release = libvirt_release,
};
