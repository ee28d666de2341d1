/* SPDX-License-Identifier: Apache-2.0 */
#include "update/attendance.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"

/* Bytes of the output's end that are looked at, and lines of it that are shown as the question. */
#define TAIL_MAX        4096
#define QUESTION_LINES  12
/* dpkg says so before it starts a postinst. */
#define BEGIN_OF_SCRIPT "Setting up "

/* The end of the output so far; NUL-terminated, "" if there is none. */
static void read_tail(const char *path, char ret[TAIL_MAX + 1])
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = -1;

	if (fd >= 0 && fstat(fd, &st) == 0)
		n = pread(fd, ret, TAIL_MAX, st.st_size > TAIL_MAX ? st.st_size - TAIL_MAX : 0);
	ret[n > 0 ? n : 0] = '\0';
	/* What is shown of it has no NULs in its middle. */
	for (ssize_t i = 0; i < n; i++)
		if (!ret[i])
			ret[i] = '?';
}

static const char *last_lines(const char *text)
{
	const char *p = text + strlen(text);

	for (unsigned n = 0; p > text; p--)
		if (p[-1] == '\n' && p[0] &&
		    (++n == QUESTION_LINES || !strncmp(p, BEGIN_OF_SCRIPT, strlen(BEGIN_OF_SCRIPT))))
			break;
	return p;
}

static void keep(struct attendance *attendance, struct error *error)
{
	log_warning("%s", error->message);
	if (attendance->incident)
		error_destroy(error);
	else
		attendance->incident = error;
}

static void overdue(void *data, const char *package, const char *script)
{
	struct attendance *attendance = data;

	keep(attendance, error_remedy(error_create(ERROR_TIMEOUT, "%s's %s did not end within %llu s and was killed",
						   package ? package : "a package", script ? script : "script",
						   (unsigned long long)attendance->script_timeout_s),
				      "give it more with --script-timeout"));
}

static struct error *question(void *data, const char *package, const char *script, char **ret)
{
	struct attendance *attendance = data;
	char tail[TAIL_MAX + 1];
	const char *reply;

	read_tail(attendance->log_path, tail);
	reply = conffiles_reply(attendance->conffiles, tail);
	if (reply) {
		*ret = strdup(reply);
		return *ret ? NULL : error_no_memory();
	}
	/* The user's own command and the hooks of apt get an end of their input, as from /dev/null. */
	if (!package)
		return NULL;
	keep(attendance,
	     error_remedy(error_create(ERROR_CONFLICT, "%s's %s waits for an answer:\n%s", package,
				       script ? script : "script", last_lines(tail)),
			  "debconf's questions can be answered beforehand by --preseed; this one asks a terminal"));
	return NULL;
}

struct shadow_attendant attendance_of(struct attendance *attendance)
{
	return (struct shadow_attendant){.data = attendance,
					 .script_timeout_s = attendance->script_timeout_s,
					 .overdue = overdue,
					 .question = question};
}

struct error *attendance_conclude(struct attendance *attendance, struct error *error)
{
	if (!attendance->incident)
		return error;
	error_destroy(error);
	return take_ptr(attendance->incident);
}

void attendance_deinit(struct attendance *attendance)
{
	error_destroy(attendance->incident);
	attendance->incident = NULL;
}
