/* SPDX-License-Identifier: Apache-2.0 */
#include "image/acpi.h"

#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"

#define MIB         (UINT64_C(1) << 20)
#define FOUR_GIB    (UINT64_C(4) << 30)

/* Every table begins with its signature, its length, revision, checksum and six letters of its maker. */
#define HEADER_SIZE 36u

/* The table of this signature after its header; its bytes' number, 0 if there is none. */
static size_t find_table(const uint8_t *tables, size_t size, const char *signature, const uint8_t **ret)
{
	for (size_t i = 0; i + HEADER_SIZE <= size; i++) {
		uint32_t length;

		if (memcmp(tables + i, signature, 4) != 0)
			continue;
		length = le32_at(tables + i + 4);
		/* AML may hold the signature as a string; a header also has its maker's name. */
		if (length < HEADER_SIZE || length > size - i || memcmp(tables + i + 10, "BOCHS ", 6) != 0)
			continue;
		*ret = tables + i + HEADER_SIZE;
		return length - HEADER_SIZE;
	}
	return 0;
}

#define DWORD_MEMORY_SIZE 26u

/*
 * The lowest address above 1 MiB of the PCI bus's memory windows (DWordMemory in the DSDT's _CRS):
 * QEMU lets them begin where RAM below 4 GiB ends.
 */
static uint64_t find_pci_hole(const uint8_t *dsdt, size_t size)
{
	static const uint8_t head[] = {0x87, 0x17, 0x00, 0x00}; /* descriptor, its length, memory */
	uint64_t lowest = 0;

	for (size_t i = 0; i + DWORD_MEMORY_SIZE <= size; i++) {
		uint32_t start, last;

		if (memcmp(dsdt + i, head, sizeof(head)) != 0)
			continue;
		start = le32_at(dsdt + i + 10);
		last = le32_at(dsdt + i + 14);
		if (start % MIB || start < MIB || last < start || le32_at(dsdt + i + 22) != last - start + 1)
			continue;
		if (lowest == 0 || start < lowest)
			lowest = start;
	}
	return lowest;
}

#define SRAT_FIXED_SIZE  12u /* reserved words before the entries */
#define SRAT_MEMORY      1u
#define SRAT_MEMORY_SIZE 40u
#define SRAT_ENABLED     1u
#define SRAT_HOTPLUG     2u

/* One piece of RAM of a node; the pieces come in address order, each node's together. */
static void add_memory(const uint8_t *entry, struct acpi_memory *memory, uint32_t *node)
{
	uint32_t proximity = le32_at(entry + 2), flags = le32_at(entry + 28);
	uint64_t start = le64_at(entry + 8), size = le64_at(entry + 16);

	if (!(flags & SRAT_ENABLED) || flags & SRAT_HOTPLUG || size == 0)
		return;
	if (memory->n_nodes == 0 || proximity != *node) {
		if (memory->n_nodes == ACPI_NODES_MAX)
			return;
		memory->node_sizes[memory->n_nodes++] = 0;
		*node = proximity;
	}
	memory->node_sizes[memory->n_nodes - 1] += size;
	/* The blocks have RAM where video memory covers it, from 640 KiB to 1 MiB; the table leaves it out. */
	if (start == 0 && size == 640 * 1024)
		memory->node_sizes[memory->n_nodes - 1] = MIB;
	if (start == FOUR_GIB)
		return;
	if (start < FOUR_GIB && size <= FOUR_GIB - start && start >= MIB)
		memory->cut = start + size;
}

static void read_srat(const uint8_t *srat, size_t size, struct acpi_memory *memory)
{
	uint32_t node = 0;

	for (size_t i = SRAT_FIXED_SIZE; i + 2 <= size;) {
		size_t length = srat[i + 1];

		if (length < 2 || length > size - i)
			return;
		if (srat[i] == SRAT_MEMORY && length == SRAT_MEMORY_SIZE)
			add_memory(srat + i, memory, &node);
		i += length;
	}
}

void acpi_memory_parse(const uint8_t *tables, size_t size, struct acpi_memory *ret)
{
	struct acpi_memory memory = {0};
	const uint8_t *table;
	size_t n = find_table(tables, size, "SRAT", &table);
	uint64_t hole;

	if (n > 0)
		read_srat(table, n, &memory);
	n = find_table(tables, size, "DSDT", &table);
	hole = n > 0 ? find_pci_hole(table, n) : 0;
	if (hole)
		memory.cut = hole;
	*ret = memory;
}
