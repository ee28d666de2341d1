/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/room.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/io.h"

/* Less than this is not worth a file. */
#define SMALL (512u << 10)

/* Before what is handed out. */
struct head {
	size_t size; /* of both */
	bool is_mapped;
	_Alignas(64) uint8_t bytes[];
};

static void *map_file(const char *directory, size_t size)
{
	_cleanup_(close_fd) int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 || posix_fallocate(fd, 0, (off_t)size) != 0)
		return MAP_FAILED;
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

static struct head *make_head(const char *directory, size_t size)
{
	struct head *head;

	if (size < SMALL) {
		head = aligned_alloc(_Alignof(struct head), (size + 63) / 64 * 64);
		if (head)
			memset(head, 0, size);
		return head;
	}
	head = map_file(directory, size);
	if (head == MAP_FAILED)
		head = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (head == MAP_FAILED)
		return NULL;
	head->is_mapped = true;
	return head;
}

void *room_create(const char *directory, size_t size)
{
	struct head *head = size > SIZE_MAX - sizeof(*head) ? NULL : make_head(directory, sizeof(*head) + size);

	if (!head)
		return NULL;
	head->size = sizeof(*head) + size;
	return head->bytes;
}

static struct head *head_of(void *room)
{
	return (struct head *)((uint8_t *)room - offsetof(struct head, bytes));
}

void room_seal(void *room)
{
	struct head *head = head_of(room);

	if (head->is_mapped)
		mprotect(head, head->size, PROT_READ);
}

void room_destroy(void *room)
{
	struct head *head = room ? head_of(room) : NULL;

	if (head && head->is_mapped)
		munmap(head, head->size);
	else
		free(head);
}
