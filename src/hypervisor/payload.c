/* SPDX-License-Identifier: Apache-2.0 */
/* The payload's way into the guest: a disk where one can be plugged and is seen, else the channel. */
#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "base/sha256.h"
#include "hypervisor/ops.h"

#define FIND_MS            60000 /* the guest's kernel and udev, on an emulated CPU */
#define FIND_TRIES         "150"
#define FIND_BLOCK         4096
#define FIND_BLOCK_TEXT    "4096"
#define DEVICE_PATH_MAX    256
#define PAYLOAD_GUEST_FILE "/var/lib/ouassister/payload"
#define FORGET_MS          10000

/*
 * Asks the guest for the block device, for at most 30 s: by our serial, which the kernel knows of virtio disks and udev
 * of others; where there is no udev, and of a CD, by the first block of what cannot be written. $1 is its SHA-256.
 * Controllers that do not tell the guest of a new disk are told to look for one.
 */
static const char find_script[] =
	"i=0; while [ $i -lt " FIND_TRIES " ]; do "
	"for s in /sys/block/*/serial; do "
	"[ -r \"$s\" ] && [ \"$(cat \"$s\" 2>/dev/null)\" = " PAYLOAD_SERIAL " ] || continue; "
	"d=${s%/serial}; d=/dev/${d##*/}; [ -b \"$d\" ] && echo \"$d\" && exit 0; done; "
	"for d in /dev/disk/by-id/*" PAYLOAD_SERIAL "*; do [ -b \"$d\" ] && readlink -f \"$d\" && exit 0; done; "
	"for b in /sys/block/sd* /sys/block/sr*; do d=/dev/${b##*/}; "
	"case $d in /dev/sd*) [ \"$(cat \"$b/ro\" 2>/dev/null)\" = 1 ] || continue;; esac; "
	"[ -b \"$d\" ] && [ \"$(dd if=\"$d\" bs=" FIND_BLOCK_TEXT
	" count=1 2>/dev/null | sha256sum | cut -c1-64)\" = \"$1\" ] && "
	"echo \"$d\" && exit 0; done; "
	"[ $((i % 25)) != 5 ] || for h in /sys/class/scsi_host/host*/scan; do [ -w \"$h\" ] && echo '- - -' >\"$h\"; "
	"done; "
	"i=$((i+1)); sleep 0.2; done; exit 1";

/* The guest's answer is a path that is given back to it; still, it must look like one. */
static bool plausible_device(const char *path)
{
	size_t size = strlen(path);

	return strncmp(path, "/dev/", 5) == 0 && size > 5 && size < DEVICE_PATH_MAX && !strpbrk(path, " \t\n'\"\\");
}

/* The SHA-256 of the file's first block. */
static struct error *hash_of_start(const char *path, char ret[SHA256_HEX_SIZE])
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *sha256 = sha256_create();
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t block[FIND_BLOCK], digest[SHA256_SIZE];
	ssize_t n;

	if (!sha256)
		return error_no_memory();
	if (fd < 0 || (n = pread(fd, block, sizeof(block), 0)) < 0)
		return error_system(errno, path, "cannot read the payload");
	sha256_update(sha256, block, (size_t)n);
	sha256_final(sha256, digest);
	sha256_to_hex(digest, ret);
	return NULL;
}

static struct error *find_in_guest(struct vm *vm, const char *path, char **ret)
{
	char hash[SHA256_HEX_SIZE];
	const char *const argv[] = {"/bin/sh", "-c", find_script, "sh", hash, NULL};
	_cleanup_(channel_result_deinit) struct channel_result result = {};
	struct error *error = hash_of_start(path, hash);

	if (!error)
		error = vm->channel->run(vm, argv, -1, FIND_MS, &result);
	if (error)
		return error;
	if (result.status != 0)
		return error_remedy(
			error_create(ERROR_UNSUPPORTED, "the guest does not see the plugged disk"),
			"it needs the module virtio_blk (or, as the machine has it, sd_mod, usb-storage, sr_mod)");
	result.output[strcspn(result.output, "\n")] = '\0';
	if (!plausible_device(result.output))
		return error_create(ERROR_FORMAT, "the guest names an impossible device");
	*ret = take_ptr(result.output);
	return NULL;
}

struct error *payload_plug(struct vm *vm, const char *path, unsigned *place, struct payload_place *ret)
{
	char *device = NULL;
	struct error *error = NULL;

	if (vm->payload_plugged && *place == 0)
		*place = vm->payload_plug;
	else
		error = vm->hypervisor->disk_attach(vm, path, place);
	vm->payload_plugged = false;
	if (error)
		return error;
	error = find_in_guest(vm, path, &device);
	if (error) {
		struct error *stuck = vm->hypervisor->disk_detach(vm);

		/* There is one disk of ours at a time. */
		if (stuck)
			*place = PLACE_NONE;
		error_destroy(stuck);
		return error;
	}
	*ret = (struct payload_place){.way = PAYLOAD_DISK, .guest_path = device};
	return NULL;
}

void vm_payload_plug(struct vm *vm, const char *payload_path)
{
	unsigned place = 0;
	struct error *error = NULL;

	if (vm->settings.channel == CHANNEL_NONE)
		return;
	error = vm->hypervisor->disk_attach(vm, payload_path, &place);
	vm->payload_plugged = !error;
	vm->payload_plug = place;
	/* It is tried again, and told then. */
	error_destroy(error);
}

/* At the best place where the guest sees it. */
static struct error *attach_disk(struct vm *vm, const char *path, struct payload_place *ret)
{
	struct error *unseen = NULL;

	for (unsigned place = 0;; place++) {
		struct error *error = payload_plug(vm, path, &place, ret);

		if (!error || error->code != ERROR_UNSUPPORTED || (place == PLACE_NONE && !unseen)) {
			error_destroy(unseen);
			return error;
		}
		/* That the guest lacks what it takes to see a disk says more than that there is no other place. */
		if (place == PLACE_NONE) {
			error_destroy(error);
			return unseen;
		}
		error_destroy(unseen);
		unseen = error;
	}
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
	struct error *error, *of_port;

	if (vm->payload_file)
		forget_file(vm);
	vm->stream_blocks = 0;
	/* Asked of the hypervisor, not of our memory: it may have been plugged by a process that was killed. */
	of_port = vm->hypervisor->port_detach(vm);
	error = vm->hypervisor->disk_detach(vm);
	if (error)
		error_destroy(of_port);
	return error_wrap(error ? error : of_port, "cannot take the payload away from %s", vm->settings.name);
}
