/* SPDX-License-Identifier: Apache-2.0 */
/* The payload's way into the guest: a disk where one can be plugged and is seen, else the channel. */
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "hypervisor/ops.h"

#define FIND_MS            60000 /* the guest's kernel and udev, on an emulated CPU */
#define FIND_TRIES         "150"
#define DEVICE_PATH_MAX    256
#define PAYLOAD_GUEST_FILE "/var/lib/ouassister/payload"
#define FORGET_MS          10000

/*
 * Asks the guest for the block device with our serial, for at most 30 s: the kernel knows the
 * serial of a virtio disk, udev's names are needed for the others only.
 */
static const char find_script[] =
	"i=0; while [ $i -lt " FIND_TRIES " ]; do "
	"for s in /sys/block/*/serial; do "
	"[ -r \"$s\" ] && [ \"$(cat \"$s\" 2>/dev/null)\" = " PAYLOAD_SERIAL " ] || continue; "
	"d=${s%/serial}; d=/dev/${d##*/}; [ -b \"$d\" ] && echo \"$d\" && exit 0; done; "
	"for d in /dev/disk/by-id/*" PAYLOAD_SERIAL "*; do [ -b \"$d\" ] && readlink -f \"$d\" && exit 0; done; "
	"i=$((i+1)); sleep 0.2; done; exit 1";

/* The guest's answer is a path that is given back to it; still, it must look like one. */
static bool plausible_device(const char *path)
{
	size_t size = strlen(path);

	return strncmp(path, "/dev/", 5) == 0 && size > 5 && size < DEVICE_PATH_MAX && !strpbrk(path, " \t\n'\"\\");
}

static struct error *find_in_guest(struct vm *vm, char **ret)
{
	static const char *const argv[] = {"/bin/sh", "-c", find_script, NULL};
	_cleanup_(channel_result_deinit) struct channel_result result = {};
	struct error *error = vm->channel->run(vm, argv, -1, FIND_MS, &result);

	if (error)
		return error;
	if (result.status != 0)
		return error_create(ERROR_UNSUPPORTED, "the guest does not see the plugged disk");
	result.output[strcspn(result.output, "\n")] = '\0';
	if (!plausible_device(result.output))
		return error_create(ERROR_FORMAT, "the guest names an impossible device");
	*ret = take_ptr(result.output);
	return NULL;
}

static struct error *attach_disk(struct vm *vm, const char *path, struct payload_place *ret)
{
	char *device = NULL;
	struct error *error = vm->hypervisor->disk_attach(vm, path);

	if (error)
		return error;
	error = find_in_guest(vm, &device);
	if (error) {
		error_destroy(vm->hypervisor->disk_detach(vm));
		return error;
	}
	*ret = (struct payload_place){.way = PAYLOAD_DISK, .guest_path = device};
	return NULL;
}

static struct error *choose_file(struct vm *vm, struct payload_place *ret)
{
	char *guest_path = strdup(PAYLOAD_GUEST_FILE);

	if (!guest_path)
		return error_no_memory();
	*ret = (struct payload_place){.way = PAYLOAD_FILE, .guest_path = guest_path};
	return NULL;
}

struct error *vm_payload_write(struct vm *vm, int fd, const char *name, const struct payload_place *place)
{
	/* Also a part of it is to be removed. */
	vm->payload_file = true;
	return error_wrap(vm->channel->put(vm, fd, name, place->guest_path), "cannot hand the payload to %s",
			  vm->settings.name);
}

struct error *vm_payload_attach(struct vm *vm, const char *payload_path, struct payload_place *ret)
{
	struct error *error;

	/* Only the guest can say that it sees a disk. */
	if (vm->settings.channel == CHANNEL_NONE)
		return vm->channel->wait(vm, 0);
	error = attach_disk(vm, payload_path, ret);
	if (!error)
		return NULL;
	/* A VM that does not answer any more would not take a file either. */
	if (error->code != ERROR_UNSUPPORTED)
		return error_wrap(error, "cannot hand the payload to %s", vm->settings.name);
	log_info("%s: %s; the payload goes over channel %s", vm->settings.name, error->message, vm->channel->name);
	error_destroy(error);
	if (vm->channel->fallback == PAYLOAD_STDIN) {
		*ret = (struct payload_place){.way = PAYLOAD_STDIN};
		return NULL;
	}
	return choose_file(vm, ret);
}

static void forget_file(struct vm *vm)
{
	static const char *const argv[] = {"/bin/rm", "-f", PAYLOAD_GUEST_FILE, NULL};
	struct channel_result result = {};

	/* The helper removes its whole directory in the end; this only frees the space early. */
	error_destroy(vm->channel->run(vm, argv, -1, FORGET_MS, &result));
	channel_result_deinit(&result);
	vm->payload_file = false;
}

struct error *vm_payload_detach(struct vm *vm)
{
	if (vm->payload_file)
		forget_file(vm);
	/* Asked of the hypervisor, not of our memory: it may have been plugged by a process that was killed. */
	return error_wrap(vm->hypervisor->disk_detach(vm), "cannot take the payload away from %s", vm->settings.name);
}
