/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter that hands the answered calls over, written out of answer_rules[]. It looks at arguments, so that calls
 * about the shadow's own processes stay in the kernel. libseccomp cannot compare half a register, and a pid is one:
 * what is in the upper half is left to chance by the caller.
 *
 * Calls that no rule names are allowed whatever their arguments: the kernel finds that out once (5.11 and later) and
 * then does not run the filter for them. What is denied is another filter's matter.
 */
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shadow/refusals.h"

#define PROGRAM_MAX 1024u

struct program {
	struct sock_filter code[PROGRAM_MAX];
	size_t n;
};

/* Jumps count the instructions that are passed over. */
static void add(struct program *program, uint16_t code, uint32_t value, unsigned if_true, unsigned if_false)
{
	if (program->n < PROGRAM_MAX)
		program->code[program->n++] = (struct sock_filter){code, (uint8_t)if_true, (uint8_t)if_false, value};
}

static void load_word(struct program *program, size_t offset)
{
	add(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void load_argument(struct program *program, unsigned argument)
{
	/* The lower half of the register. */
	load_word(program, offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t));
}

static void jump(struct program *program, uint16_t condition, uint32_t value, unsigned if_true, unsigned if_false)
{
	add(program, BPF_JMP | BPF_K | condition, value, if_true, if_false);
}

static void end(struct program *program, uint32_t action)
{
	add(program, BPF_RET | BPF_K, action, 0, 0);
}

/* Ends the program: this call is to be answered if the argument is a number of the guest. */
static void end_pid(struct program *program, unsigned argument, uint32_t highest)
{
	load_argument(program, argument);
	jump(program, BPF_JEQ, 0, 2, 0);
	jump(program, BPF_JGT, highest, 1, 0);
	end(program, SECCOMP_RET_USER_NOTIF);
	end(program, SECCOMP_RET_ALLOW);
}

static void end_target(struct program *program, unsigned argument, uint32_t highest)
{
	load_argument(program, argument);
	jump(program, BPF_JEQ, 0, 4, 0);
	jump(program, BPF_JEQ, UINT32_MAX, 3, 0);
	jump(program, BPF_JGE, -highest, 1, 0);
	jump(program, BPF_JGT, highest, 1, 0);
	end(program, SECCOMP_RET_USER_NOTIF);
	end(program, SECCOMP_RET_ALLOW);
}

static void end_device(struct program *program, unsigned argument)
{
	load_argument(program, argument);
	add(program, BPF_ALU | BPF_AND | BPF_K, S_IFMT, 0, 0);
	jump(program, BPF_JEQ, S_IFCHR, 1, 0);
	jump(program, BPF_JEQ, S_IFBLK, 0, 1);
	end(program, SECCOMP_RET_USER_NOTIF);
	end(program, SECCOMP_RET_ALLOW);
}

static void end_sockets(struct program *program)
{
	load_argument(program, 0);
	jump(program, BPF_JEQ, AF_NETLINK, 0, 3);
	load_argument(program, 2);
	jump(program, BPF_JEQ, NETLINK_SOCK_DIAG, 0, 1);
	end(program, SECCOMP_RET_USER_NOTIF);
	end(program, SECCOMP_RET_ALLOW);
}

/* The same where refusals are noted, too: all but what is not refused. Raw ones of IP the kernel refuses. */
static void end_all_sockets(struct program *program)
{
	load_argument(program, 0);
	jump(program, BPF_JEQ, AF_UNIX, 10, 0);
	jump(program, BPF_JEQ, AF_INET, 4, 0);
	jump(program, BPF_JEQ, AF_INET6, 3, 0);
	jump(program, BPF_JEQ, AF_NETLINK, 0, 6);
	load_argument(program, 2);
	jump(program, BPF_JEQ, NETLINK_ROUTE, 5, 4);
	load_argument(program, 1);
	/* Above it are SOCK_CLOEXEC and SOCK_NONBLOCK. */
	add(program, BPF_ALU | BPF_AND | BPF_K, 0xf, 0, 0);
	jump(program, BPF_JEQ, SOCK_RAW, 1, 0);
	jump(program, BPF_JA, 1, 0, 0);
	end(program, SECCOMP_RET_USER_NOTIF);
	end(program, SECCOMP_RET_ALLOW);
}

static void end_writer(struct program *program, unsigned argument)
{
	load_argument(program, argument);
	/* O_EXCL alone is how mkfs(8) opens a device: unless it is in use. */
	add(program, BPF_ALU | BPF_AND | BPF_K, O_CREAT | O_EXCL, 0, 0);
	jump(program, BPF_JEQ, O_CREAT | O_EXCL, 5, 0);
	load_argument(program, argument);
	add(program, BPF_ALU | BPF_AND | BPF_K, O_ACCMODE, 0, 0);
	jump(program, BPF_JEQ, O_WRONLY, 1, 0);
	jump(program, BPF_JEQ, O_RDWR, 0, 1);
	end(program, SECCOMP_RET_USER_NOTIF);
	end(program, SECCOMP_RET_ALLOW);
}

/* What is one call's begins at `skip`, and is passed over for all others: no jump is longer than a byte tells. */
static void end_call(struct program *program, size_t skip)
{
	if (program->n - skip - 1 > UINT8_MAX)
		program->n = PROGRAM_MAX;
	else
		program->code[skip].jf = (uint8_t)(program->n - skip - 1);
}

static void add_rule(struct program *program, const struct answer_rule *rule, const struct shadow *shadow)
{
	uint32_t highest = shadow->highest_pid;
	size_t skip = program->n;

	jump(program, BPF_JEQ, (uint32_t)rule->call, 0, 0);
	switch (rule->when) {
	case ANSWER_ALWAYS:
		end(program, SECCOMP_RET_USER_NOTIF);
		break;
	case ANSWER_PID:
		end_pid(program, rule->argument, highest);
		break;
	case ANSWER_TARGET:
		end_target(program, rule->argument, highest);
		break;
	case ANSWER_WHO:
		load_argument(program, 0);
		jump(program, BPF_JEQ, rule->user, 0, 1);
		end(program, SECCOMP_RET_USER_NOTIF);
		end_pid(program, 1, highest);
		break;
	case ANSWER_DEVICE:
		end_device(program, rule->argument);
		break;
	case ANSWER_WRITER:
		end_writer(program, rule->argument);
		break;
	case ANSWER_SOCKETS:
		if (shadow->note_refusals && DEFENCE("arguments"))
			end_all_sockets(program);
		else
			end_sockets(program);
		break;
	}
	end_call(program, skip);
}

/* What stands of one call's lines in the table, from `first` on; they stand together. */
static void add_refusals_of(struct program *program, size_t first, int call)
{
	size_t skip = program->n;

	jump(program, BPF_JEQ, (uint32_t)call, 0, 0);
	for (size_t i = first; i < n_refusals && strcmp(refusals[i].name, refusals[first].name) == 0; i++) {
		load_argument(program, refusals[i].argument);
		add(program, BPF_ALU | BPF_AND | BPF_K, refusals[i].mask, 0, 0);
		jump(program, BPF_JEQ, refusals[i].value, 0, 1);
		end(program, SECCOMP_RET_USER_NOTIF);
	}
	end(program, SECCOMP_RET_ALLOW);
	end_call(program, skip);
}

static void add_refusals(struct program *program)
{
	for (size_t i = 0; i < n_refusals; i++) {
		int call = refusal_call(&refusals[i]);

		if (call >= 0 && refusal_stands(&refusals[i]) &&
		    (i == 0 || strcmp(refusals[i].name, refusals[i - 1].name) != 0))
			add_refusals_of(program, i, call);
	}
}

/* Whether a line of answer_rules[] is a part of this shadow. */
static bool is_answered(const struct answer_rule *rule, const struct shadow *shadow)
{
	if (rule->notes && shadow->note_refusals)
		return true;
	return !rule->only_notes && (shadow->guest || !rule->needs_guest) && (shadow->watch_names || !rule->watch) &&
	       DEFENCE_CALL(rule->call);
}

/* WAIT_KILLABLE_RECV (5.19): a signal to a caller that is being answered does not make it ask twice. */
static int install(const struct sock_fprog *code)
{
	unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
	int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
			      code);

	if (fd < 0 && errno == EINVAL)
		fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, code);
	return fd;
}

struct error *filter_load_answers(const struct shadow *shadow, int *ret_listener)
{
	struct program program = {0};
	struct sock_fprog code = {.filter = program.code};
	int fd;

	load_word(&program, offsetof(struct seccomp_data, arch));
	jump(&program, BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0);
	end(&program, SECCOMP_RET_ALLOW);
	load_word(&program, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < n_answer_rules; i++)
		if (is_answered(&answer_rules[i], shadow))
			add_rule(&program, &answer_rules[i], shadow);
	if (shadow->note_refusals)
		add_refusals(&program);
	end(&program, SECCOMP_RET_ALLOW);
	if (program.n >= PROGRAM_MAX)
		return error_create(ERROR_FAILED, "the filter of answered system calls is too long");
	code.len = (unsigned short)program.n;
	fd = install(&code);
	if (fd < 0)
		return error_system(errno, NULL, "cannot load the filter of answered system calls");
	*ret_listener = fd;
	return NULL;
}
