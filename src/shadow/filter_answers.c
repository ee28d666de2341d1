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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shadow/answer.h"

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

static void add_rule(struct program *program, const struct answer_rule *rule, uint32_t highest)
{
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
		end_sockets(program);
		break;
	}
	program->code[skip].jf = (uint8_t)(program->n - skip - 1);
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
		if ((shadow->guest || !answer_rules[i].needs_guest) &&
		    (shadow->watch_names || !answer_rules[i].watch) && DEFENCE_CALL(answer_rules[i].call))
			add_rule(&program, &answer_rules[i], shadow->highest_pid);
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
