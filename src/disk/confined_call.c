/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/confined_call.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "disk/confine.h"

/* A guest with much memory has many blocks of its disk in it, each noted. */
#define DATA_MAX  (UINT64_C(4) << 30)

/* The first byte of what comes back; behind it the text of the error, or the result. 0: no error. */
#define CODE_SIZE 1

static int compare_numbers(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return *x - *y;
}

/* /dev/null stands for the first three. */
static struct error *close_others(const struct confined_call *call, int pipe_fd)
{
	_cleanup_(free_ptr) int *kept = calloc(call->n_keep + 1, sizeof(*kept));
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), next = 3;

	if (!kept)
		return error_no_memory();
	if (null_fd < 0)
		return error_system(errno, "/dev/null", "open");
	for (int fd = 0; fd < 3; fd++)
		if (dup2(null_fd, fd) < 0)
			return error_system(errno, NULL, "cannot duplicate a descriptor");
	memcpy(kept, call->keep, call->n_keep * sizeof(*kept));
	kept[call->n_keep] = pipe_fd;
	qsort(kept, call->n_keep + 1, sizeof(*kept), compare_numbers);
	for (size_t i = 0; i <= call->n_keep; i++) {
		if (kept[i] < next)
			continue;
		if (kept[i] > next && close_range((unsigned)next, (unsigned)kept[i] - 1, 0) < 0)
			return error_system(errno, NULL, "cannot close descriptors");
		next = kept[i] + 1;
	}
	if (close_range((unsigned)next, ~0U, 0) < 0)
		return error_system(errno, NULL, "cannot close descriptors");
	return NULL;
}

static struct error *run(const struct confined_call *call, pid_t parent, int pipe_fd, char **ret, size_t *ret_size)
{
	const struct confine_options options = {.directory = call->directory,
						.parent = parent,
						.data_max = DATA_MAX,
						.file_max = call->file_max,
						.writes = true};
	struct error *error = close_others(call, pipe_fd);
	FILE *out;

	if (!error)
		error = confine(&options);
	if (error)
		return error;
	out = open_memstream(ret, ret_size);
	if (!out)
		return error_no_memory();
	error = call->function(call->context, out);
	if (fclose(out) != 0 && !error)
		error = error_no_memory();
	return error;
}

static _Noreturn void child(const struct confined_call *call, pid_t parent, int pipe_fd)
{
	char *result = NULL, code;
	size_t size = 0;
	struct error *error = run(call, parent, pipe_fd, &result, &size);

	code = error ? (char)error->code : 0;
	if (error) {
		result = error->message;
		size = strlen(result);
	}
	error_destroy(io_write(pipe_fd, &code, CODE_SIZE, "pipe"));
	error_destroy(io_write(pipe_fd, result, size, "pipe"));
	_exit(0);
}

static struct error *understand(char *bytes, size_t size, int status)
{
	if (WIFSIGNALED(status))
		return error_create(ERROR_FAILED, "the process that works on the file system was ended by signal %d",
				    WTERMSIG(status));
	if (size < CODE_SIZE || bytes[0] < 0 || bytes[0] >= ERROR_CODE_MAX)
		return error_create(ERROR_FAILED, "the process that works on the file system makes no sense");
	if (bytes[0])
		return error_create((enum error_code)bytes[0], "%s", bytes + CODE_SIZE);
	return NULL;
}

struct error *confined_call(const struct confined_call *call, char **ret, size_t *ret_size)
{
	_cleanup_(free_ptr) char *bytes = NULL;
	_cleanup_(close_fd) int reading = -1;
	struct error *error;
	pid_t parent = getpid(), pid;
	int ends[2], status = 0;
	size_t size = 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_system(errno, NULL, "cannot create a pipe");
	reading = ends[0];
	pid = fork();
	if (pid == 0)
		child(call, parent, ends[1]);
	close(ends[1]);
	if (pid < 0)
		return error_system(errno, NULL, "cannot fork");
	error = io_read_all(reading, CODE_SIZE + CONFINED_RESULT_MAX, "pipe", &bytes, &size);
	close_fd(&reading);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!error)
		error = understand(bytes, size, status);
	if (error)
		return error;
	memmove(bytes, bytes + CODE_SIZE, size - CODE_SIZE + 1);
	*ret_size = size - CODE_SIZE;
	*ret = take_ptr(bytes);
	return NULL;
}
