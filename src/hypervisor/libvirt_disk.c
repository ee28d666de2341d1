/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload as a disk that libvirt plugs into the running domain, and into nothing that lasts.
 *
 * QEMU runs as a user who cannot search our state directory; so the file gets a loop device, read-only, which libvirt
 * makes known to that QEMU and to no other. It goes away by itself with its last user, also if we are killed.
 */
#include <fcntl.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/io.h"
#include "base/log.h"
#include "hypervisor/libvirt_api.h"
#include "hypervisor/wire.h"

#define ALIAS          "ua-ouassister-payload" /* libvirt keeps such names for its users */
#define LOOP_TRIES     16
#define UNPLUG_MS      30000 /* the guest's kernel lets go of it */
#define UNPLUG_AGAIN   25    /* polls: a guest that was booting has not heard it */
#define UNPLUG_POLL_MS 40

/* In this order; what the machine has none of libvirt refuses. */
static const struct {
	const char *bus, *prefix;
} places[] = {
	{"virtio", "vd"},
	{"scsi", "sd"},
	{"usb", "sd"},
};

/* --- the loop device --- */

static struct error *configure_loop(int file, int *ret, int *ret_number)
{
	_cleanup_(close_fd) int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	struct loop_config config = {
		.fd = (uint32_t)file,
		.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
	};

	if (control < 0)
		return error_system(errno, "/dev/loop-control", "cannot open");
	for (int i = 0; i < LOOP_TRIES; i++) {
		char path[32];
		int number = ioctl(control, LOOP_CTL_GET_FREE), fd;

		if (number < 0)
			return error_system(errno, "/dev/loop-control", "no loop device is free");
		snprintf(path, sizeof(path), "/dev/loop%d", number);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return error_system(errno, path, "cannot open");
		if (ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
			*ret = fd;
			*ret_number = number;
			return NULL;
		}
		close(fd);
		/* Somebody else has taken it meanwhile. */
		if (errno != EBUSY)
			return error_system(errno, path, "cannot set up the loop device");
	}
	return error_create(ERROR_BUSY, "no loop device stays free");
}

static struct error *open_loop(const char *path, int *ret, int *ret_number)
{
	_cleanup_(close_fd) int file = open(path, O_RDONLY | O_CLOEXEC);

	return file < 0 ? error_system(errno, path, "cannot open") : configure_loop(file, ret, ret_number);
}

/* --- plugging --- */

/* A name that no disk of the domain has: from the end of the alphabet. */
static bool free_target(const struct domain_xml *xml, const char *prefix, char ret[4])
{
	for (char letter = 'z'; letter >= 'a'; letter--) {
		char expression[64];

		snprintf(ret, 4, "%s%c", prefix, letter);
		snprintf(expression, sizeof(expression), "devices/disk/target[@dev='%s']", ret);
		if (domain_xml_count(xml, NULL, expression) == 0)
			return true;
	}
	return false;
}

static struct error *plug(const struct libvirt *libvirt, const struct domain_xml *xml, unsigned place, int loop)
{
	_cleanup_(free_ptr) char *device = NULL;
	char target[4];

	if (!free_target(xml, places[place].prefix, target))
		return error_create(ERROR_UNSUPPORTED, "the domain has no name for another disk");
	device =
		string_format("<disk type='block' device='disk'><driver name='qemu' type='raw'/>"
			      "<source dev='/dev/loop%d'/><target dev='%s' bus='%s'/><readonly/><serial>" PAYLOAD_SERIAL
			      "</serial><alias name='" ALIAS "'/></disk>",
			      loop, target, places[place].bus);
	if (!device)
		return error_no_memory();
	if (libvirt->api->virDomainAttachDeviceFlags(libvirt->domain, device, VIR_DOMAIN_AFFECT_LIVE) < 0)
		return libvirt_error(libvirt->api, "plug a disk");
	return NULL;
}

struct error *libvirt_disk_attach(struct vm *vm, const char *path, unsigned *place)
{
	_cleanup_(domain_xml_deinit) struct domain_xml xml = {};
	_cleanup_(close_fd) int fd = -1;
	struct libvirt *libvirt;
	int number = 0;
	struct error *error = libvirt_disk_detach(vm);

	if (!error)
		error = libvirt_of_active(vm, &libvirt);
	if (!error)
		error = domain_xml_read(libvirt, 0, &xml);
	if (!error)
		error = error_recode(open_loop(path, &fd, &number), ERROR_UNSUPPORTED);
	if (error)
		return error;
	for (unsigned i = *place; i < ARRAY_SIZE(places); i++) {
		error = plug(libvirt, &xml, i, number);
		if (!error) {
			*place = i;
			return NULL;
		}
		log_debug("no payload disk on %s: %s", places[i].bus, error->message);
		error_destroy(error);
	}
	*place = PLACE_NONE;
	return error_create(ERROR_UNSUPPORTED, "libvirt can plug no disk into the domain");
}

/* --- unplugging --- */

struct error *libvirt_disk_detach(struct vm *vm)
{
	static const struct timespec pause = {.tv_nsec = UNPLUG_POLL_MS * 1000000};
	uint64_t deadline_ns = wire_deadline(UNPLUG_MS);

	for (unsigned i = 0;; i++) {
		struct libvirt *libvirt;
		bool plugged = false;
		struct error *error =
			libvirt_is_plugged(vm, "devices/disk[alias/@name='" ALIAS "']", &libvirt, &plugged);

		if (error || !plugged)
			return error;
		/* The guest is asked; a refusal may be that it has been asked before. */
		if (i % UNPLUG_AGAIN == 0 &&
		    libvirt->api->virDomainDetachDeviceAlias(libvirt->domain, ALIAS, VIR_DOMAIN_AFFECT_LIVE) < 0) {
			error = libvirt_error(libvirt->api, "take the disk away");
			log_debug("%s", error->message);
			error_destroy(error);
		}
		if (clock_monotonic_ns() >= deadline_ns)
			return error_create(ERROR_TIMEOUT, "the guest does not let go of the payload's disk");
		nanosleep(&pause, NULL);
	}
}
