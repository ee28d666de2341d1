/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/fdinfo/N (fs/proc/fd.c). */
#include "shadow/proc/process.h"

#define CLOSE_ON_EXEC 02000000u /* O_CLOEXEC */

struct error *proc_write_fdinfo(const struct proc_facts *facts, const struct guest_task *task,
				const struct guest_fd *fd, FILE *out)
{
	uint32_t flags = (fd->flags & ~CLOSE_ON_EXEC) | (fd->close_on_exec ? CLOSE_ON_EXEC : 0);

	(void)facts;
	(void)task;
	fprintf(out, "pos:\t%lld\nflags:\t0%o\n", (long long)fd->position, flags);
	return NULL;
}
