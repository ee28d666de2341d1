/* SPDX-License-Identifier: Apache-2.0 */
#include <blkid/blkid.h>
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/devices.h"
#include "shadow/weaken.h"

/* Others take free loop devices as well; every lost race costs one turn. */
#define LOOP_ATTEMPTS 64
#define SECTOR        512

/*
 * The guest has loop devices too, and its programs look in /sys/dev/block by number: that of the disk is one which no
 * guest is expected to have. (Where that cannot be, the guest's own device of the number is found: its size is wrong.)
 */
#define LOOP_FIRST    4096

DEFINE_CLEANUP(blkid_probe, blkid_free_probe)

static struct error *read_line(const char *path, char **ret)
{
	struct error *error = io_read_file(path, PATH_MAX, ret, NULL);

	if (!error)
		(*ret)[strcspn(*ret, "\n")] = '\0';
	return error;
}

/* `number`: that one, made if it is not there; -1: any that is free. */
static int try_attach(const struct loop_config *config, int number, char name[DEVICES_NAME])
{
	bool read_only = config->info.lo_flags & LO_FLAGS_READ_ONLY;
	_cleanup_(close_fd) int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	_cleanup_(close_fd) int fd = -1;
	char path[64];

	if (control < 0)
		return -1;
	if (number < 0)
		number = ioctl(control, LOOP_CTL_GET_FREE);
	else if (ioctl(control, LOOP_CTL_ADD, number) < 0 && errno != EEXIST)
		return -1;
	if (number < 0)
		return -1;
	snprintf(name, DEVICES_NAME, "loop%d", number);
	snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, LOOP_CONFIGURE, config) < 0)
		return -1;
	return take_fd(fd);
}

struct error *devices_attach(int file, uint32_t flags, char name[DEVICES_NAME], int *ret)
{
	struct loop_config config = {.fd = (uint32_t)file, .info.lo_flags = flags};

	for (int i = 0; i < LOOP_ATTEMPTS; i++) {
		int fd = try_attach(&config, -1, name);

		if (fd >= 0) {
			*ret = fd;
			return NULL;
		}
		if (errno != EBUSY)
			break;
	}
	return error_remedy(error_system(errno, NULL, "cannot attach a loop device"), "load the kernel module loop");
}

/* A device out of the guest's sight; any where the host has no such. */
static struct error *attach_high(int file, uint32_t flags, char name[DEVICES_NAME], int *ret)
{
	struct loop_config config = {.fd = (uint32_t)file, .info.lo_flags = flags};

	for (int i = 0; i < LOOP_ATTEMPTS; i++) {
		int fd = try_attach(&config, LOOP_FIRST + i, name);

		if (fd >= 0) {
			*ret = fd;
			return NULL;
		}
		if (errno != EBUSY)
			break;
	}
	return devices_attach(file, flags, name, ret);
}

/* The device detaches itself after its last user, however we end. */
static struct error *attach(const char *file, struct devices *devices)
{
	bool read_only = DEFENCE("read-only disk");
	_cleanup_(close_fd) int fd = open(file, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	struct error *error;
	struct stat st;

	if (fd < 0)
		return error_system(errno, file, "cannot open the disk");
	error = attach_high(fd, (read_only ? LO_FLAGS_READ_ONLY : 0) | LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN,
			    devices->loop_name, &devices->loop_fd);
	if (error)
		return error;
	if (fstat(devices->loop_fd, &st) < 0)
		return error_system(errno, devices->loop_name, "cannot stat");
	devices->disk = st.st_rdev;
	return NULL;
}

/* Not every kernel reads partition tables (and none reads them of a device it does not trust): we tell it. */
static struct error *add_partition(struct devices *devices, struct device_partition *partition)
{
	struct blkpg_partition range = {.start = (long long)partition->start,
					.length = (long long)partition->size,
					.pno = (int)partition->number};
	struct blkpg_ioctl_arg argument = {.op = BLKPG_ADD_PARTITION, .datalen = sizeof(range), .data = &range};
	_cleanup_(free_ptr) char *line = NULL;
	struct error *error;
	unsigned major_number, minor_number;
	char path[128];

	if (ioctl(devices->loop_fd, BLKPG, &argument) < 0 && errno != EBUSY)
		return error_system(errno, devices->loop_name, "cannot add partition %u", partition->number);
	snprintf(path, sizeof(path), "/sys/class/block/%sp%u/dev", devices->loop_name, partition->number);
	error = read_line(path, &line);
	if (error)
		return error;
	if (sscanf(line, "%u:%u", &major_number, &minor_number) != 2)
		return error_format(path, ERROR_NO_ADDRESS, "not a device number");
	partition->device = makedev(major_number, minor_number);
	return NULL;
}

static struct error *add_partitions(struct devices *devices)
{
	_cleanup_(blkid_free_probe_ptr) blkid_probe probe = blkid_new_probe();
	blkid_partlist list;
	struct error *error;
	int n;

	if (!probe || blkid_probe_set_device(probe, devices->loop_fd, 0, 0) < 0 ||
	    blkid_probe_enable_partitions(probe, 1) < 0)
		return error_create(ERROR_FAILED, "%s: cannot read the partition table", devices->loop_name);
	list = blkid_probe_get_partitions(probe);
	n = list ? blkid_partlist_numof_partitions(list) : 0;
	for (int i = 0; i < n && devices->n_partitions < DEVICES_PARTITIONS_MAX; i++) {
		struct device_partition *partition = &devices->partitions[devices->n_partitions];
		blkid_partition entry = blkid_partlist_get_partition(list, i);

		*partition = (struct device_partition){
			.number = (unsigned)blkid_partition_get_partno(entry),
			.start = (uint64_t)blkid_partition_get_start(entry) * SECTOR,
			.size = (uint64_t)blkid_partition_get_size(entry) * SECTOR,
		};
		/* An extended partition is only a frame around others. */
		if (blkid_partition_is_extended(entry))
			continue;
		error = add_partition(devices, partition);
		if (error)
			return error;
		devices->n_partitions++;
	}
	return NULL;
}

struct error *devices_open(const char *path, const char *disk_name, struct devices *ret)
{
	struct error *error;

	*ret = (struct devices){.loop_fd = -1};
	snprintf(ret->disk_name, sizeof(ret->disk_name), "%s", disk_name);
	error = attach(path, ret);
	if (!error)
		error = add_partitions(ret);
	if (error)
		devices_close(ret);
	return error ? error_wrap(error, "block devices of the shadow") : NULL;
}

void devices_close(struct devices *devices)
{
	for (unsigned i = 0; devices->loop_fd >= 0 && i < devices->n_partitions; i++) {
		struct blkpg_partition range = {.pno = (int)devices->partitions[i].number};
		struct blkpg_ioctl_arg argument = {.op = BLKPG_DEL_PARTITION, .datalen = sizeof(range), .data = &range};

		(void)ioctl(devices->loop_fd, BLKPG, &argument);
	}
	close_fd(&devices->loop_fd);
	devices->n_partitions = 0;
}

void devices_partition_name(const struct devices *devices, const struct device_partition *partition, char ret[32])
{
	size_t n = strlen(devices->disk_name);
	bool digit = n > 0 && isdigit((unsigned char)devices->disk_name[n - 1]);

	snprintf(ret, 32, "%s%s%u", devices->disk_name, digit ? "p" : "", partition->number);
}

void devices_name(const struct devices *devices, uint64_t start, char ret[32])
{
	ret[0] = '\0';
	if (devices->loop_fd < 0)
		return;
	/* No table: the file system is on the whole disk. */
	if (devices->n_partitions == 0 && start == 0)
		snprintf(ret, 32, "%s", devices->disk_name);
	for (unsigned i = 0; i < devices->n_partitions; i++)
		if (devices->partitions[i].start == start)
			devices_partition_name(devices, &devices->partitions[i], ret);
}
