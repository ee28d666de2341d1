/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the room: bounds of disk_files(), which the door declares. */
#ifndef DISK_FILES_H
#define DISK_FILES_H

#include "disk/disk.h"

/* More backing files than anybody stacks by hand, few enough for one command line. */
#define DISK_CHAIN_MAX 64

#endif
