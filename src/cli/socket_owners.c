/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/socket_owners.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static struct error *append(struct socket_owners *owners, const struct socket_owner *owner)
{
	if (owners->n == owners->capacity) {
		size_t capacity = owners->capacity ? 2 * owners->capacity : 64;
		struct socket_owner *items = reallocarray(owners->items, capacity, sizeof(*items));

		if (!items)
			return error_no_memory();
		owners->items = items;
		owners->capacity = capacity;
	}
	owners->items[owners->n++] = *owner;
	return NULL;
}

struct error *socket_owners_add(struct socket_owners *owners, const struct guest_task *task,
				const struct guest_fd_list *fds)
{
	struct socket_owner owner = {.pid = task->tgid};

	memcpy(owner.comm, task->comm, sizeof(owner.comm));
	for (size_t i = 0; i < fds->n; i++) {
		struct error *error;

		/* An inode's number alone could be that of a file. */
		if (!fds->items[i].path || strncmp(fds->items[i].path, "socket:[", strlen("socket:[")) != 0)
			continue;
		owner.fd = fds->items[i].fd;
		owner.inode = fds->items[i].inode;
		error = append(owners, &owner);
		if (error)
			return error;
	}
	return NULL;
}

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_inode(const void *left, const void *right)
{
	const struct socket_owner *a = left, *b = right;
	int order = compare(a->inode, b->inode);

	if (!order)
		order = compare(a->pid, b->pid);
	return order ? order : compare(a->fd, b->fd);
}

void socket_owners_sort(struct socket_owners *owners)
{
	if (owners->n)
		qsort(owners->items, owners->n, sizeof(*owners->items), by_inode);
}

static bool is_before(const void *owner, const void *inode)
{
	return ((const struct socket_owner *)owner)->inode < *(const uint64_t *)inode;
}

const struct socket_owner *socket_owners_find(const struct socket_owners *owners, uint64_t inode, size_t *ret_n)
{
	size_t first = array_lower_bound(owners->items, owners->n, sizeof(*owners->items), &inode, is_before), n = 0;

	while (inode && first + n < owners->n && owners->items[first + n].inode == inode)
		n++;
	*ret_n = n;
	return n ? &owners->items[first] : NULL;
}

void socket_owners_deinit(struct socket_owners *owners)
{
	free(owners->items);
	*owners = (struct socket_owners){0};
}
