/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What QEMU's ACPI tables say of the guest's memory. Private to image/.
 *
 * QEMU hands the firmware one blob of tables (hw/i386/acpi-build.c), which migrates as a RAM block.
 * The addresses and checksums in it are filled in by the firmware elsewhere; what is read here
 * has neither. The bytes are hostile.
 */
#ifndef IMAGE_ACPI_H
#define IMAGE_ACPI_H

#include <stddef.h>
#include <stdint.h>

#define ACPI_NODES_MAX 128u /* QEMU's MAX_NODES */

struct acpi_memory {
	uint64_t cut;                        /* where RAM makes room for PCI, in bytes; 0: not told */
	uint64_t node_sizes[ACPI_NODES_MAX]; /* bytes of RAM of each NUMA node, in address order */
	size_t n_nodes;                      /* 0: the guest has no nodes */
};

/* Reads the tables; what they do not say is left out. */
void acpi_memory_parse(const uint8_t *tables, size_t size, struct acpi_memory *ret);

#endif
