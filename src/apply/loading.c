/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/loading.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "apply/freezer_find.h"
#include "base/array.h"
#include "base/error.h"
#include "base/io.h"

/* What a loader takes in memory at most: glibc's is 230 KiB. Only who seems to be in it is asked what is mapped there.
 */
#define LOADER_SIZE (1u << 20)
#define MAPS_MAX    (16u << 20)
#define AUXV_WORDS  128

static ssize_t read_at(int directory, const char *name, void *bytes, size_t size)
{
	_cleanup_(close_fd) int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : read(fd, bytes, size);
}

/* A program, of this machine's width or of the narrower one that its kernel runs as well. */
struct program {
	bool is_narrow;
	uint64_t loader; /* where the kernel put it: AT_BASE, 0 of a static program */
};

/*
 * The auxiliary vector: pairs of a type and a value, as wide as the program's words. Which that is the pair tells that
 * every program has: the size of a page. False if it has none: a kernel's thread, or one that has ended.
 */
static bool read_program(int process, struct program *ret)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t wide[AUXV_WORDS] = {};
	uint32_t narrow[2 * AUXV_WORDS];
	struct program program = {};
	bool is_wide = false;

	if (read_at(process, "auxv", wide, sizeof(wide)) <= 0)
		return false;
	memcpy(narrow, wide, sizeof(narrow));
	for (size_t i = 0; i + 1 < AUXV_WORDS; i += 2) {
		is_wide = is_wide || (wide[i] == AT_PAGESZ && wide[i + 1] == page);
		if (wide[i] == AT_BASE)
			program.loader = wide[i + 1];
	}
	for (size_t i = 0; i + 1 < ARRAY_SIZE(narrow) && !is_wide; i += 2) {
		program.is_narrow = program.is_narrow || (narrow[i] == AT_PAGESZ && narrow[i + 1] == page);
		if (narrow[i] == AT_BASE)
			program.loader = narrow[i + 1];
	}
	*ret = program;
	return is_wide || program.is_narrow;
}

/* Whether the number is of a system call that makes another program of a process. */
static bool is_exec(const struct program *program, long number)
{
/* Those of i386 and arm: arch/x86/entry/syscalls/syscall_32.tbl, arch/arm/tools/syscall.tbl. */
#ifdef __x86_64__
	const long narrow_execve = 11, narrow_execveat = 358;
#else
	const long narrow_execve = 11, narrow_execveat = 387;
#endif

	return program->is_narrow ? number == narrow_execve || number == narrow_execveat
				  : number == SYS_execve || number == SYS_execveat;
}

enum thread {
	THREAD_ELSEWHERE, /* also: not known */
	THREAD_MOVING,    /* not standing still yet, or about to have another program */
	THREAD_STOPPED,   /* at the address that goes with it */
};

/* proc(5): "NUMBER ARGUMENTS SP PC" in a system call, "-1 SP PC" elsewhere in the kernel, or "running". */
static enum thread look_at(int tasks, const char *id, const struct program *program, uint64_t *ret_address)
{
	char name[64], text[256];
	const char *last;
	ssize_t n;

	snprintf(name, sizeof(name), "%.20s/syscall", id);
	n = read_at(tasks, name, text, sizeof(text) - 1);
	if (n <= 0)
		return THREAD_ELSEWHERE;
	text[n] = '\0';
	last = strrchr(text, ' ');
	if (!last || is_exec(program, strtol(text, NULL, 10)))
		return THREAD_MOVING;
	*ret_address = strtoull(last + 1, NULL, 16);
	return THREAD_STOPPED;
}

/* Whether the mapping at an address is of one of these inodes; another program's loader may be its C library as well.
 */
static bool maps_one_of(int process, uint64_t address, const uint64_t *inodes, size_t n)
{
	_cleanup_(close_fd) int fd = openat(process, "maps", O_RDONLY | O_CLOEXEC);
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = fd < 0 ? NULL : io_read_all(fd, MAPS_MAX, "maps", &text, NULL);

	error_destroy(error);
	for (const char *line = text; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		unsigned long long start, end, inode;

		if (sscanf(line, "%llx-%llx %*s %*s %*s %llu", &start, &end, &inode) != 3 || address < start ||
		    address >= end)
			continue;
		for (size_t i = 0; i < n; i++)
			if (inodes[i] == inode)
				return true;
	}
	return false;
}

struct loading {
	const struct freezable *frozen;
	const uint64_t *loaders;
	size_t n_loaders;
};

static bool is_loading(const struct loading *l, int process, pid_t id)
{
	struct program program = {};
	int fd = read_program(process, &program) && program.loader
			 ? openat(process, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
			 : -1;
	_cleanup_(closedir_ptr) DIR *tasks = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!tasks) {
		close_fd(&fd);
		return false;
	}
	while ((entry = readdir(tasks))) {
		uint64_t pc = 0;
		enum thread thread =
			*entry->d_name == '.' ? THREAD_ELSEWHERE : look_at(fd, entry->d_name, &program, &pc);

		if (thread == THREAD_MOVING && freezer_holds(l->frozen, id))
			return true;
		if (thread == THREAD_STOPPED && pc >= program.loader && pc - program.loader < LOADER_SIZE &&
		    maps_one_of(process, pc, l->loaders, l->n_loaders))
			return true;
	}
	return false;
}

static bool is_loading_by_id(const struct loading *l, int proc_fd, pid_t id)
{
	_cleanup_(close_fd) int process = -1;
	char name[24];

	snprintf(name, sizeof(name), "%d", id);
	process = openat(proc_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return process >= 0 && is_loading(l, process, id);
}

/* The youngest first, as they are the likeliest. */
bool loading_anyone(const struct freezable *frozen, const uint64_t *loaders, size_t n)
{
	const struct loading loading = {.frozen = frozen, .loaders = loaders, .n_loaders = n};
	_cleanup_(closedir_ptr) DIR *processes = opendir("/proc");
	_cleanup_(free_ptr) pid_t *ids = NULL;
	struct dirent *entry;
	size_t n_ids = 0;

	while (processes && (entry = readdir(processes))) {
		struct error *error;

		if (*entry->d_name < '1' || *entry->d_name > '9')
			continue;
		error = array_room(&ids, n_ids, sizeof(*ids));
		if (error) {
			error_destroy(error);
			break;
		}
		ids[n_ids++] = (pid_t)strtol(entry->d_name, NULL, 10);
	}
	while (n_ids-- > 0)
		if (is_loading_by_id(&loading, dirfd(processes), ids[n_ids]))
			return true;
	return false;
}
