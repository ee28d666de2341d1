/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/partition.h"

#include <blkid/blkid.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/io.h"
#include "base/qcow2.h"

#define GPT_ESP "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
#define MBR_ESP 0xef
#define SECTOR  512 /* libblkid counts in these, whatever the device's */

DEFINE_CLEANUP(blkid_probe, blkid_free_probe)

static struct error *new_probe(int fd, uint64_t start, uint64_t size, const char *path, blkid_probe *ret)
{
	_cleanup_(blkid_free_probe_ptr) blkid_probe probe = blkid_new_probe();

	if (!probe)
		return error_no_memory();
	if (blkid_probe_set_device(probe, fd, (blkid_loff_t)start, (blkid_loff_t)size) < 0)
		return error_create(ERROR_FAILED, "%s: cannot read the disk at offset %" PRIu64, path, start);
	*ret = take_ptr(probe);
	return NULL;
}

static enum partition_kind classify(const char *type, const char *usage)
{
	static const char *const mounted[] = {"ext2", "ext3", "ext4", "xfs", "btrfs"};
	static const char *const containers[] = {"zfs_member", "bcache", "drbd", "stratis", "ceph_bluestore"};

	for (size_t i = 0; i < ARRAY_SIZE(mounted); i++)
		if (strcmp(type, mounted[i]) == 0)
			return PARTITION_FILE_SYSTEM;
	for (size_t i = 0; i < ARRAY_SIZE(containers); i++)
		if (strcmp(type, containers[i]) == 0)
			return PARTITION_CONTAINER;
	if (strcmp(usage, "raid") == 0 || strcmp(usage, "crypto") == 0 || strncmp(type, "DM_", 3) == 0)
		return PARTITION_CONTAINER;
	return strcmp(type, "swap") == 0 || strcmp(type, "swsuspend") == 0 ? PARTITION_SWAP : PARTITION_OTHER;
}

/* *ret stays NULL if the probe has no such value. */
static struct error *probe_value(blkid_probe probe, const char *name, char **ret)
{
	const char *value;

	if (blkid_probe_lookup_value(probe, name, &value, NULL) < 0)
		return NULL;
	*ret = strdup(value);
	return *ret ? NULL : error_no_memory();
}

/* Sets kind, type, uuid and label of `partition`, whose place is known; an ESP stays one. */
static struct error *probe_content(int fd, const char *path, struct partition *partition)
{
	_cleanup_(blkid_free_probe_ptr) blkid_probe probe = NULL;
	const char *usage = "";
	struct error *error;
	int r;

	error = new_probe(fd, partition->start, partition->size, path, &probe);
	if (error)
		return error;
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_UUID |
							 BLKID_SUBLKS_LABEL);
	r = blkid_do_safeprobe(probe);
	if (r == -1) {
		char name[PARTITION_NAME_SIZE];
		return error_create(ERROR_FAILED, "%s: cannot read %s", path, partition_name(partition, name));
	}
	if (r == -2)
		partition->kind = PARTITION_AMBIGUOUS;
	if (r != 0)
		return NULL;
	error = probe_value(probe, "TYPE", &partition->type);
	if (!error)
		error = probe_value(probe, "UUID", &partition->uuid);
	if (!error)
		error = probe_value(probe, "LABEL", &partition->label);
	if (error || !partition->type || partition->kind == PARTITION_ESP)
		return error;
	blkid_probe_lookup_value(probe, "USAGE", &usage, NULL);
	partition->kind = classify(partition->type, usage);
	return NULL;
}

static bool is_esp(blkid_partition part)
{
	const char *type = blkid_partition_get_type_string(part);

	return type ? strcasecmp(type, GPT_ESP) == 0 : blkid_partition_get_type(part) == MBR_ESP;
}

/* Table entries are untrusted: what reaches beyond the disk is cut off, as the kernel does. */
static bool place(blkid_partition part, uint64_t disk_size, struct partition *partition)
{
	uint64_t start = (uint64_t)blkid_partition_get_start(part);
	uint64_t size = (uint64_t)blkid_partition_get_size(part);

	if (start >= disk_size / SECTOR || size == 0)
		return false;
	if (size > disk_size / SECTOR - start)
		size = disk_size / SECTOR - start;
	partition->start = start * SECTOR;
	partition->size = size * SECTOR;
	return true;
}

static struct error *read_partition(int fd, uint64_t disk_size, const char *path, blkid_partition part,
				    struct partition_list *list)
{
	struct partition *partition = &list->items[list->n];
	const char *uuid = blkid_partition_get_uuid(part);
	const char *label = blkid_partition_get_name(part);

	if (blkid_partition_is_extended(part) || !place(part, disk_size, partition))
		return NULL;
	partition->number = (unsigned)blkid_partition_get_partno(part);
	list->n++; /* from here on the list frees it */
	if (is_esp(part))
		partition->kind = PARTITION_ESP;
	if (uuid && !(partition->part_uuid = strdup(uuid)))
		return error_no_memory();
	if (label && !(partition->part_label = strdup(label)))
		return error_no_memory();
	return probe_content(fd, path, partition);
}

static struct error *read_table(int fd, uint64_t size, const char *path, struct partition_list *list)
{
	_cleanup_(blkid_free_probe_ptr) blkid_probe probe = NULL;
	blkid_partlist table;
	struct error *error;
	int n;

	error = new_probe(fd, 0, size, path, &probe);
	if (error)
		return error;
	blkid_probe_enable_superblocks(probe, 0);
	blkid_probe_enable_partitions(probe, 1);
	table = blkid_probe_get_partitions(probe);
	n = table ? blkid_partlist_numof_partitions(table) : 0;
	if (n > PARTITIONS_MAX)
		return error_create(ERROR_UNSUPPORTED, "%s: %d partitions, more than %d", path, n, PARTITIONS_MAX);
	for (int i = 0; !error && i < n; i++)
		error = read_partition(fd, size, path, blkid_partlist_get_partition(table, i), list);
	return error;
}

/* No table: the file system may be on the disk itself. */
static struct error *read_whole(int fd, uint64_t size, const char *path, struct partition_list *list)
{
	struct error *error;
	uint8_t magic[4] = {0};

	list->items[0].size = size;
	list->n = 1;
	error = probe_content(fd, path, &list->items[0]);
	if (error || list->items[0].kind != PARTITION_EMPTY)
		return error;
	if (size >= sizeof(magic))
		error = io_pread(fd, magic, sizeof(magic), 0, path);
	if (error)
		return error;
	error = error_create(ERROR_UNSUPPORTED, "%s: the disk has neither a partition table nor a file system", path);
	if (memcmp(magic, "QFI\xfb", 4) == 0)
		return error_remedy(error,
				    "its content looks like qcow2: state format = qcow2 if the VM was started so");
	return error_remedy(error, "check that this is the VM's system disk and that its format is stated right");
}

struct error *partition_list_read(int fd, uint64_t size, const char *path, struct partition_list *ret)
{
	_cleanup_(partition_list_deinit) struct partition_list list = {0};
	struct error *error;

	list.items = calloc(PARTITIONS_MAX, sizeof(*list.items));
	if (!list.items)
		return error_no_memory();
	error = read_table(fd, size, path, &list);
	if (!error && list.n == 0)
		error = read_whole(fd, size, path, &list);
	if (error)
		return error;
	*ret = list;
	list = (struct partition_list){0};
	return NULL;
}

void partition_list_deinit(struct partition_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		struct partition *partition = &list->items[i];

		free(partition->type);
		free(partition->uuid);
		free(partition->label);
		free(partition->part_uuid);
		free(partition->part_label);
	}
	free(list->items);
	*list = (struct partition_list){0};
}

const char *partition_name(const struct partition *partition, char *buffer)
{
	if (partition->number == 0)
		snprintf(buffer, PARTITION_NAME_SIZE, "the whole disk");
	else
		snprintf(buffer, PARTITION_NAME_SIZE, "partition %u", partition->number);
	return buffer;
}
