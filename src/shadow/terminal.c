/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow/terminal.h"

#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct error *terminal_open(int input, int output, struct terminal *ret)
{
	struct terminal terminal = TERMINAL_NONE;
	sigset_t watched;

	terminal.is_input = input > 0 && isatty(input) == 1;
	if (terminal.is_input)
		terminal.user = input;
	else if (output > 0 && isatty(output) == 1)
		terminal.user = output;
	if (terminal.user >= 0 && tcgetattr(terminal.user, &terminal.before) < 0)
		return error_system(errno, NULL, "cannot ask for the terminal's modes");
	sigemptyset(&watched);
	sigaddset(&watched, SIGWINCH);
	sigaddset(&watched, SIGCONT);
	terminal.signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
	if (terminal.signals < 0)
		return error_system(errno, NULL, "cannot watch the terminal's window");
	sigprocmask(SIG_BLOCK, &watched, &terminal.mask);
	*ret = terminal;
	return NULL;
}

static void set_size(const struct terminal *terminal)
{
	struct winsize size;

	/* The kernel tells the program. */
	if (ioctl(terminal->user, TIOCGWINSZ, &size) == 0)
		(void)ioctl(terminal->program, TIOCSWINSZ, &size);
}

static struct error *make_raw(struct terminal *terminal)
{
	struct termios raw = terminal->before;

	cfmakeraw(&raw);
	if (tcsetattr(terminal->user, TCSANOW, &raw) < 0)
		return error_system(errno, NULL, "cannot set the terminal's modes");
	terminal->raw = true;
	return NULL;
}

struct error *terminal_start(struct terminal *terminal, int program)
{
	close_fd(&terminal->program);
	terminal->program = program;
	if (terminal->user < 0)
		return NULL;
	/* Of the master, these are the modes of the program's side. */
	(void)tcsetattr(program, TCSANOW, &terminal->before);
	set_size(terminal);
	return terminal->is_input ? make_raw(terminal) : NULL;
}

void terminal_follow(struct terminal *terminal)
{
	struct signalfd_siginfo info;

	while (read(terminal->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (terminal->user < 0 || terminal->program < 0)
			continue;
		set_size(terminal);
		/* The shell that stopped us took its terminal back. */
		if (info.ssi_signo == SIGCONT && terminal->raw)
			error_destroy(make_raw(terminal));
	}
}

void terminal_close(struct terminal *terminal)
{
	/* Not after what is still to be printed: that may be stopped (Ctrl-S) for ever. */
	if (terminal->raw)
		(void)tcsetattr(terminal->user, TCSANOW, &terminal->before);
	if (terminal->signals >= 0)
		sigprocmask(SIG_SETMASK, &terminal->mask, NULL);
	close_fd(&terminal->signals);
	close_fd(&terminal->program);
	*terminal = TERMINAL_NONE;
}
