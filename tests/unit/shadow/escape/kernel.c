/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts to reach what belongs to the kernel or to the whole host: keys, clock, name, messages, modules. */
#include "tests/unit/shadow/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <mqueue.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define KEY "ouassister-canary"

static int key_read(void)
{
	char buffer[64] = "";
	long key = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", KEY, 0);

	if (key < 0)
		return -1;
	return syscall(SYS_keyctl, KEYCTL_READ, key, buffer, sizeof(buffer)) < 0 ? -1 : 0;
}

static int key_add(void)
{
	return (int)syscall(SYS_add_key, "user", "escape", "x", 1, KEY_SPEC_SESSION_KEYRING) < 0 ? -1 : 0;
}

static int key_request(void)
{
	return (int)syscall(SYS_request_key, "user", KEY, NULL, 0) < 0 ? -1 : 0;
}

static int bpf_map(void)
{
	union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};

	return (int)syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
}

/* Of another process, or all: needs rights that its own needs not. */
static int perf(void)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr)};

	return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static int page_faults(void)
{
	return (int)syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */);
}

static int io_uring(void)
{
	struct io_uring_params params = {0};

	return (int)syscall(SYS_io_uring_setup, 1, &params);
}

static int load_module(void)
{
	return reached(syscall(SYS_init_module, "no module", 9, ""));
}

static int unload_module(void)
{
	return reached(syscall(SYS_delete_module, "no-such-module", 0));
}

static int load_kernel(void)
{
	return reached(syscall(SYS_kexec_load, 0, 0, NULL, 0xffff));
}

static int kernel_log(void)
{
	static char buffer[1 << 20];

	/* With a guest's memory it is the guest's own. */
	if (syscall(SYS_syslog, 3 /* SYSLOG_ACTION_READ_ALL */, buffer, sizeof(buffer) - 1) < 0)
		return -1;
	return strstr(buffer, given("CANARY_LOG")) ? 0 : -1;
}

static int accounting(void)
{
	return reached(syscall(SYS_acct, "/no/such/file"));
}

static int swap_on(void)
{
	return reached(syscall(SYS_swapon, "/no/such/file", 0));
}

/* No command at all: nothing happens even where it may. */
static int reboot_host(void)
{
	return reached(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, 0xffff, NULL));
}

static int io_ports(void)
{
	return (int)syscall(SYS_iopl, 3);
}

/* To what it is; a timer tells whether it was really set. */
static int set_clock(void)
{
	struct itimerspec far = {.it_value.tv_sec = 1L << 40};
	int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
	struct timespec now;
	char buffer[8];

	if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL) < 0 ||
	    clock_gettime(CLOCK_REALTIME, &now) < 0 || clock_settime(CLOCK_REALTIME, &now) < 0)
		return -1;
	return read(fd, buffer, sizeof(buffer)) < 0 && errno == ECANCELED ? 0 : -1;
}

static int adjust_clock(void)
{
	struct timex timex = {0};

	if (adjtimex(&timex) < 0)
		return -1;
	timex.modes = ADJ_MAXERROR;
	return adjtimex(&timex);
}

/* The driver looks whether the host has it now. */
static int set_name(void)
{
	return sethostname("escaped", 7);
}

static int shared_memory(void)
{
	int id = shmget((key_t)given_number("CANARY_KEY"), 0, 0);
	const char *memory = id < 0 ? (void *)-1 : shmat(id, NULL, SHM_RDONLY);

	if (memory == (void *)-1)
		return -1;
	return strcmp(memory, given("CANARY_SECRET")) == 0 ? 0 : -1;
}

static int message_queue(void)
{
	return mq_open("/" KEY, O_RDONLY);
}

static int asynchronous_io(void)
{
	return (int)syscall(SYS_io_setup, 1, &(unsigned long){0});
}

const struct attempt kernel_attempts[] = {
	{"key-read", key_read},
	{"key-add", key_add},
	{"key-request", key_request},
	{"bpf", bpf_map},
	{"perf", perf},
	{"page-faults", page_faults},
	{"io-uring", io_uring},
	{"aio", asynchronous_io},
	{"load-module", load_module},
	{"unload-module", unload_module},
	{"load-kernel", load_kernel},
	{"kernel-log", kernel_log},
	{"accounting", accounting},
	{"swap-on", swap_on},
	{"reboot", reboot_host},
	{"io-ports", io_ports},
	{"set-clock", set_clock},
	{"adjust-clock", adjust_clock},
	{"set-name", set_name},
	{"shared-memory", shared_memory},
	{"message-queue", message_queue},
	{0},
};
