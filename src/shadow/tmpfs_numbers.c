/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inode numbers of a new tmpfs. It numbers what is made from 2 on, in order: so its inodes are made in the order of the
 * guest's numbers, with nameless ones for the gaps, and get their places afterwards. Programs compare the numbers:
 * lslocks finds a file by that in /proc/locks, lsof and fuser by those of maps and descriptors.
 */
#include "shadow/tmpfs_numbers.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/array.h"
#include "base/io.h"

/* Entries that are looked at, and numbers that may be skipped: some 100 ms at worst. What is beyond has another number.
 */
#define ENTRIES_MAX 20000u
#define SKIPPED_MAX 32768u
#define DEPTH_MAX   64u
#define FIRST       2u

struct inode {
	uint64_t number;
	const struct guest_file *file; /* in one of the lists */
	bool made;
};

struct directory {
	uint64_t inode_address;
	struct guest_file_list list;
};

struct tmpfs_numbers {
	int root;          /* borrowed */
	uint64_t work_end; /* of guest_work() */
	struct directory *directories;
	size_t n_directories, next; /* `next`: the list that is asked for next, for they are walked in the same order */
	struct inode *inodes;       /* once sorted: by number */
	size_t n_inodes;
};

/* Until it has its place; in the root, for a directory of their own would have a number, too. */
static void name_of(uint64_t number, char ret[48])
{
	snprintf(ret, 48, ".ouassister-inode-%llu", (unsigned long long)number);
}

static struct error *look(struct tmpfs_numbers *numbers, struct guest *guest, const struct guest_file *directory,
			  unsigned depth)
{
	struct error *error = array_room(&numbers->directories, numbers->n_directories, sizeof(struct directory));
	struct guest_file_list list = {0};

	if (!error)
		error = guest_directory(guest, directory, &list);
	if (error)
		return error;
	numbers->directories[numbers->n_directories++] = (struct directory){directory->inode_address, list};
	for (size_t i = 0; !error && i < list.n && numbers->n_inodes < ENTRIES_MAX; i++) {
		bool enter =
			S_ISDIR(list.items[i].mode) && depth + 1 < DEPTH_MAX && guest_work(guest) < numbers->work_end;

		error = array_room(&numbers->inodes, numbers->n_inodes, sizeof(struct inode));
		if (error)
			return error;
		numbers->inodes[numbers->n_inodes++] = (struct inode){list.items[i].inode, &list.items[i], false};
		if (enter)
			error = look(numbers, guest, &list.items[i], depth + 1);
		/* Who fills the tmpfs meets it again, and says so. */
		if (error && error->code != ERROR_NO_MEMORY)
			error_destroy(take_ptr(error));
	}
	return error;
}

static bool is_made(const struct guest_file *file)
{
	return S_ISREG(file->mode) || S_ISDIR(file->mode) || S_ISFIFO(file->mode) || S_ISSOCK(file->mode) ||
	       S_ISCHR(file->mode) || S_ISBLK(file->mode) || (S_ISLNK(file->mode) && file->link && file->link[0]);
}

static int compare(const void *a, const void *b)
{
	const struct inode *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	/* Those that are made come first. */
	return (int)is_made(y->file) - (int)is_made(x->file);
}

static bool skip(int root, uint64_t n)
{
	while (n--) {
		int fd = openat(root, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

		if (fd < 0)
			return false;
		close(fd);
	}
	return true;
}

static bool make(int root, const struct inode *inode)
{
	const struct guest_file *file = inode->file;
	struct stat st;
	char name[48];
	int r;

	name_of(inode->number, name);
	if (S_ISDIR(file->mode))
		r = mkdirat(root, name, 0700);
	else if (S_ISLNK(file->mode))
		r = symlinkat(file->link, root, name);
	else
		r = mknodat(root, name, (file->mode & S_IFMT) | 0600, makedev(file->major, file->minor));
	return r == 0 && fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == inode->number;
}

/* In order; those of a number are neighbours, and the first of them is made. Hosts that number otherwise (before 5.9)
 * end it at the first. */
static void make_all(struct tmpfs_numbers *numbers)
{
	uint64_t next = FIRST, skipped = 0;

	for (size_t i = 0; i < numbers->n_inodes; i++) {
		struct inode *inode = &numbers->inodes[i];

		/* One of several names of the same, or a lie. */
		if (inode->number < next || !is_made(inode->file))
			continue;
		skipped += inode->number - next;
		if (skipped > SKIPPED_MAX || !skip(numbers->root, inode->number - next))
			return;
		inode->made = true;
		if (!make(numbers->root, inode))
			return;
		next = inode->number + 1;
	}
}

struct error *tmpfs_numbers_create(struct guest *guest, const struct guest_file *directory, int root, uint64_t work,
				   struct tmpfs_numbers **ret)
{
	struct tmpfs_numbers *numbers = calloc(1, sizeof(*numbers));
	struct error *error;

	if (!numbers)
		return error_no_memory();
	numbers->root = root;
	numbers->work_end = guest_work(guest) + work;
	error = look(numbers, guest, directory, 0);
	if (error && error->code == ERROR_NO_MEMORY) {
		tmpfs_numbers_destroy(numbers);
		return error;
	}
	error_destroy(error);
	/* Pointers into lists: they stay where they are. */
	if (numbers->n_inodes)
		qsort(numbers->inodes, numbers->n_inodes, sizeof(*numbers->inodes), compare);
	make_all(numbers);
	*ret = numbers;
	return NULL;
}

void tmpfs_numbers_destroy(struct tmpfs_numbers *numbers)
{
	char name[48];

	if (!numbers)
		return;
	for (size_t i = 0; i < numbers->n_inodes; i++) {
		name_of(numbers->inodes[i].number, name);
		if (numbers->inodes[i].made && unlinkat(numbers->root, name, 0) < 0)
			(void)unlinkat(numbers->root, name, AT_REMOVEDIR);
	}
	for (size_t i = 0; i < numbers->n_directories; i++)
		guest_file_list_deinit(&numbers->directories[i].list);
	free(numbers->directories);
	free(numbers->inodes);
	free(numbers);
}

const struct guest_file_list *tmpfs_numbers_list(struct tmpfs_numbers *numbers, const struct guest_file *directory)
{
	for (size_t i = numbers->next; i < numbers->n_directories; i++) {
		if (numbers->directories[i].inode_address != directory->inode_address)
			continue;
		numbers->next = i + 1;
		return &numbers->directories[i].list;
	}
	return NULL;
}

static bool is_before(const void *inode, const void *number)
{
	return ((const struct inode *)inode)->number < *(const uint64_t *)number;
}

static struct inode *find(struct tmpfs_numbers *numbers, uint64_t number)
{
	size_t i = array_lower_bound(numbers->inodes, numbers->n_inodes, sizeof(*numbers->inodes), &number, is_before);

	return i < numbers->n_inodes && numbers->inodes[i].number == number ? &numbers->inodes[i] : NULL;
}

bool tmpfs_numbers_take(struct tmpfs_numbers *numbers, int parent, const struct guest_file *file)
{
	/* The first of that number is the one that was made. A guest that lies has two with the same. */
	struct inode *inode = find(numbers, file->inode);
	char name[48];

	if (!inode || !inode->made || inode->file->inode_address != file->inode_address ||
	    inode->file->mode != file->mode)
		return false;
	name_of(file->inode, name);
	if (renameat2(numbers->root, name, parent, file->name, RENAME_NOREPLACE) < 0)
		return false;
	inode->made = false;
	return true;
}
