/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which CPUs a process may use: of the guest's CPUs, whatever the host has. What a program of the shadow chooses
 * is remembered, so that it and its children read it back; where it runs is the host's business.
 */
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "shadow/answer.h"

#define CHOICES_MAX   1024u
#define ANCESTORS_MAX 64u

struct choice {
	uint32_t pid; /* in the shadow's pid namespace */
	uint64_t cpus[GUEST_CPUS_MAX / 64];
};

struct answer_affinities {
	struct guest_cpu_set cpus;
	size_t size; /* bytes that the guest's kernel writes of a set */
	struct choice *choices;
	size_t n, next; /* when they are CHOICES_MAX, the oldest, at `next`, makes room */
};

void answer_affinities_destroy(struct answer_affinities *affinities)
{
	if (!affinities)
		return;
	free(affinities->choices);
	free(affinities);
}

/* NULL: memory does not tell. */
static struct answer_affinities *get(struct answer_call *call)
{
	struct answers *answers = call->answers;
	struct answer_affinities *affinities = answers->affinities;
	struct error *error;

	if (affinities)
		return affinities;
	affinities = calloc(1, sizeof(*affinities));
	if (!affinities)
		return NULL;
	error = guest_cpu_set(call->shadow->guest, &affinities->cpus);
	if (error) {
		error_destroy(error);
		free(affinities);
		return NULL;
	}
	affinities->size = (affinities->cpus.ids + 63) / 64 * 8;
	return answers->affinities = affinities;
}

static struct choice *find_choice(struct answer_affinities *affinities, uint32_t pid)
{
	for (size_t i = 0; i < affinities->n; i++)
		if (affinities->choices[i].pid == pid)
			return &affinities->choices[i];
	return NULL;
}

static int remember(struct answer_affinities *affinities, uint32_t pid, const uint64_t *cpus)
{
	struct choice *choice = find_choice(affinities, pid);
	struct error *error;

	if (!choice && affinities->n < CHOICES_MAX) {
		error = array_room(&affinities->choices, affinities->n, sizeof(*choice));
		if (error) {
			error_destroy(error);
			return ENOMEM;
		}
		choice = &affinities->choices[affinities->n++];
	} else if (!choice) {
		choice = &affinities->choices[affinities->next++ % CHOICES_MAX];
	}
	choice->pid = pid;
	memcpy(choice->cpus, cpus, sizeof(choice->cpus));
	return 0;
}

/*
 * What the process chose, or what it inherited from the one that started it, as far as that still lives. NULL: nobody
 * chose anything.
 */
static const struct choice *find_inherited(struct answer_affinities *affinities, struct answer_process process)
{
	for (unsigned i = 0; i < ANCESTORS_MAX; i++) {
		const struct choice *choice = find_choice(affinities, process.pid);

		if (!choice)
			choice = find_choice(affinities, process.tgid);
		if (choice)
			return choice;
		if (!answer_process_of(process.parent, &process))
			return NULL;
	}
	return NULL;
}

/* The process that `pid`, an argument, means: the caller's own thread, or another of the shadow. */
static int find_process(struct answer_call *call, uint32_t pid, struct answer_process *ret)
{
	if (!answer_process_of(call->request->pid, ret))
		return ESRCH;
	if (pid == 0 || pid == ret->pid)
		return 0;
	return answer_process_find(pid, ret) ? 0 : ESRCH;
}

/* A process of the guest's own. */
static int tell_guests(struct answer_call *call, uint32_t pid, uint32_t length)
{
	const struct guest_task *task = answer_task(call, pid);
	struct guest_task_details details;
	struct error *error;
	int errnum;

	if (!task)
		return ESRCH;
	error = guest_task_details(call->shadow->guest, task->address, false, &details);
	if (error) {
		error_destroy(error);
		return ESRCH;
	}
	for (size_t i = 0; i < ARRAY_SIZE(details.cpus.words); i++)
		details.cpus.words[i] &= call->answers->affinities->cpus.online[i];
	errnum = answer_write(call, call->args[2], details.cpus.words, length);
	guest_task_details_deinit(&details);
	return errnum;
}

/* `taskset` for a process of the guest. */
static int record_choice(struct answer_call *call, uint32_t pid, const uint64_t cpus[GUEST_CPUS_MAX / 64])
{
	const struct guest_task *task = answer_task(call, pid);
	char mask[GUEST_CPUS_MAX / 4 + 3] = "0x", number[16];
	const char *argv[] = {"taskset", "-p", mask, number, NULL};
	struct answer_caller caller;
	size_t top = GUEST_CPUS_MAX / 64, n = 2;
	int errnum;

	if (!task)
		return ESRCH;
	errnum = answer_caller(call, &caller);
	if (errnum)
		return errnum;
	if (!answer_capable(&caller, CAP_SYS_NICE) && caller.euid != task->uid && caller.euid != task->euid)
		return EPERM;
	while (top > 1 && !cpus[top - 1])
		top--;
	n += (size_t)snprintf(mask + n, sizeof(mask) - n, "%llx", (unsigned long long)cpus[top - 1]);
	for (size_t i = top - 1; i > 0; i--)
		n += (size_t)snprintf(mask + n, sizeof(mask) - n, "%016llx", (unsigned long long)cpus[i - 1]);
	snprintf(number, sizeof(number), "%u", pid);
	return answer_record(call, argv, pid);
}

int answer_sched_getaffinity(struct answer_call *call)
{
	uint32_t pid = (uint32_t)call->args[0], length = (uint32_t)call->args[1];
	struct answer_affinities *affinities = get(call);
	struct answer_process process;
	const struct choice *choice = NULL;
	int errnum = 0;

	if (!affinities)
		return ENOSYS;
	if (length * UINT64_C(8) < affinities->cpus.ids || length % 8)
		return EINVAL;
	if (length > affinities->size)
		length = (uint32_t)affinities->size;
	call->value = length;
	if (pid && pid <= call->shadow->highest_pid)
		return tell_guests(call, pid, length);
	if (pid || affinities->n)
		errnum = find_process(call, pid, &process);
	if (errnum)
		return errnum;
	if (affinities->n)
		choice = find_inherited(affinities, process);
	return answer_write(call, call->args[2], choice ? choice->cpus : affinities->cpus.online, length);
}

int answer_sched_setaffinity(struct answer_call *call)
{
	uint32_t pid = (uint32_t)call->args[0], length = (uint32_t)call->args[1];
	struct answer_affinities *affinities = get(call);
	uint64_t cpus[GUEST_CPUS_MAX / 64] = {0}, any = 0;
	struct answer_process process;
	int errnum;

	if (!affinities)
		return ENOSYS;
	if (length > sizeof(cpus))
		length = sizeof(cpus);
	errnum = answer_read(call, call->args[2], cpus, length);
	if (errnum)
		return errnum;
	for (size_t i = 0; i < ARRAY_SIZE(cpus); i++)
		any |= cpus[i] &= affinities->cpus.online[i];
	if (!any)
		return EINVAL;
	if (pid && pid <= call->shadow->highest_pid)
		return record_choice(call, pid, cpus);
	errnum = find_process(call, pid, &process);
	if (errnum)
		return errnum;
	return remember(affinities, process.pid, cpus);
}
