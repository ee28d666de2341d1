/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small program that is started again and again while its loader and its C library are exchanged. It adds one to a
 * number of the shared file: [0] both are the old ones, [1] both are new, [2] one of each. [8] and [9] are the inodes
 * of the old loader and the old library.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

/* The inode of what is mapped at an address; 0 if nothing is. */
static unsigned long long mapped_at(unsigned long long address)
{
	unsigned long long start, end, inode, found = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4200];

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%llx-%llx %*s %*s %*s %llu", &start, &end, &inode) == 3 && address >= start &&
		    address < end)
			found = inode;
	if (maps)
		fclose(maps);
	return found;
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
	uint64_t *shared = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	unsigned long long loader = mapped_at(getauxval(AT_BASE)), library = mapped_at((uintptr_t)&fopen);
	int is_new;

	if (shared == MAP_FAILED || !loader || !library)
		return 1;
	is_new = loader != shared[8];
	__atomic_add_fetch(shared + ((library != shared[9]) == is_new ? is_new : 2), 1, __ATOMIC_RELAXED);
	return 0;
}
