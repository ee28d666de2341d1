/* SPDX-License-Identifier: Apache-2.0 */
/* syslog(2): the guest's kernel log, as its memory has it. */
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/klog.h>

#include "shadow/answer.h"

/* Actions of syslog(2), which have no names in a header for programs. */
#define READ_ALL    3
#define READ_CLEAR  4
#define SIZE_UNREAD 9
#define SIZE_BUFFER 10

/* One record: each of its lines with the beginning. */
static void write_record(const struct guest_log_record *record, FILE *out)
{
	const char *text = record->text.data, *end = text + record->text.size;

	do {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *stop = newline ? newline : end;

		fprintf(out, "<%u>[%5llu.%06llu] ", record->facility * 8u + record->level,
			(unsigned long long)(record->time_ns / 1000000000),
			(unsigned long long)(record->time_ns % 1000000000 / 1000));
		fwrite(text, 1, (size_t)(stop - text), out);
		putc('\n', out);
		text = stop + 1;
	} while (text < end);
}

static struct error *load_log(struct answer_call *call)
{
	struct answers *answers = call->answers;
	struct guest_log log = {0};
	struct error *error;
	FILE *out;

	if (answers->log)
		return NULL;
	error = guest_kernel_log(call->shadow->guest, &log);
	if (error)
		return error;
	out = open_memstream(&answers->log, &answers->log_size);
	for (size_t i = 0; out && i < log.n; i++)
		if (log.items[i].sequence >= log.cleared)
			write_record(&log.items[i], out);
	guest_log_deinit(&log);
	if (!out || fclose(out) != 0)
		return error_no_memory();
	return NULL;
}

/* The guest's kernel.dmesg_restrict: whether only root may read. */
static bool is_restricted(struct answer_call *call)
{
	_cleanup_(free_ptr) char *value = NULL;
	struct error *error = guest_sysctl(call->shadow->guest, "kernel/dmesg_restrict", &value);

	error_destroy(error);
	return !value || strcmp(value, "0") != 0;
}

/* The last `size` bytes, from the beginning of a line on. */
static int read_all(struct answer_call *call, size_t size)
{
	const struct answers *answers = call->answers;
	const char *text = answers->log;

	if (size < answers->log_size) {
		text = memchr(answers->log + (answers->log_size - size), '\n', size);
		if (!text)
			return 0;
		text++;
	}
	call->value = answers->log + answers->log_size - text;
	return answer_write(call, call->args[1], text, (size_t)call->value);
}

int answer_syslog(struct answer_call *call)
{
	int action = (int)call->args[0], size = (int)call->args[2];
	struct answer_caller caller;
	struct error *error;
	int errnum = answer_caller(call, &caller);

	if (errnum)
		return errnum;
	/* Whatever else there is changes something, or waits for what does not come. */
	if (!call->shadow->guest || (action != READ_ALL && action != SIZE_BUFFER && action != SIZE_UNREAD) ||
	    (!answer_capable(&caller, CAP_SYSLOG) && (action == SIZE_UNREAD || is_restricted(call))))
		return EPERM;
	if (action == READ_ALL && (!call->args[1] || size < 0))
		return EINVAL;
	error = load_log(call);
	if (error) {
		error_destroy(error);
		return EPERM;
	}
	if (action == READ_ALL)
		return read_all(call, (size_t)size);
	call->value = (int64_t)call->answers->log_size;
	return 0;
}
