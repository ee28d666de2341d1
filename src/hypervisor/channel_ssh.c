/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel by the ssh program. The user's ssh configuration is not read (-F none): a
 * ProxyJump in it would lead around the gate. Host keys: the first one seen is kept in a file of
 * our own beside the log, under the VM's name, and must stay the same ever after
 * (StrictHostKeyChecking=accept-new); the gate refuses whoever else answers for the guest's
 * address on the bridge while that first connection is made.
 *
 * A handshake costs a guest on an emulated CPU seconds, and a resume needs several runs: one connection is kept for
 * them (ControlMaster of ssh_config(5)), by a process that ends with ours. Without it each run makes its own.
 */
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/io.h"
#include "base/process.h"
#include "hypervisor/quote.h"
#include "hypervisor/ssh.h"
#include "hypervisor/wire.h"

#define SSH_CONNECT_S   "10"
#define SSH_RETRY_MS    500
#define SSH_PUT_MS      300000
#define SSH_FAILED      255 /* ssh's own failure, by ssh(1) */
#define SSH_OPTIONS_MAX 40
#define MASTER_POLL_MS  20
#define MASTER_START_MS 60000
#define MASTER_ASK_MS   30000 /* a run through a connection that stands */
#define MASTER_GRACE_MS 1000
#define MASTER_SUFFIX   17 /* of the name that ssh makes the socket by, before it renames it (mux.c) */
#define MASTER_NAME_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - MASTER_SUFFIX - 1)
#define CPUINFO_MAX     (16u << 20)

/*
 * Where both processors compute AES, GCM takes half the time of ChaCha20 (400 MB through ssh 9.2: 0.38 s of processor
 * time against 0.70 s), which ssh(1) prefers and which is the faster one where either of them does not. Others follow:
 * a guest may know no other.
 */
#define SSH_AES_CIPHERS                                                                                                \
	"Ciphers=aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr"

static struct error *resolve(const char *host, const char *port, struct addrinfo **ret)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	int failure = getaddrinfo(host, port, &hints, ret);

	if (failure == EAI_SYSTEM)
		return error_system(errno, host, "cannot find the guest's address");
	if (failure)
		return error_create(ERROR_USAGE, "cannot find the guest's address \"%s\", port \"%s\": %s", host, port,
				    gai_strerror(failure));
	return NULL;
}

/* A datagram socket that is connected, sending nothing: the kernel then says which address it would send from. */
static struct error *source_address(const struct addrinfo *guest, const char *host, char ret[INET6_ADDRSTRLEN])
{
	_cleanup_(close_fd) int fd = socket(guest->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage own;
	socklen_t size = sizeof(own);
	const void *bytes;

	if (fd < 0 || connect(fd, guest->ai_addr, guest->ai_addrlen) < 0 ||
	    getsockname(fd, (struct sockaddr *)&own, &size) < 0)
		return error_system(errno, host, "no way to the guest");
	bytes = own.ss_family == AF_INET6 ? (const void *)&((struct sockaddr_in6 *)&own)->sin6_addr
					  : (const void *)&((struct sockaddr_in *)&own)->sin_addr;
	if (!inet_ntop(own.ss_family, bytes, ret, INET6_ADDRSTRLEN))
		return error_system(errno, host, "cannot print an address");
	return NULL;
}

static struct error *describe(const struct addrinfo *guest, const char *host, struct ssh_endpoint *ret)
{
	struct ssh_endpoint endpoint = {.family = guest->ai_family};
	char port[8];
	char *zone;

	if (getnameinfo(guest->ai_addr, guest->ai_addrlen, endpoint.connect, sizeof(endpoint.connect), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return error_create(ERROR_USAGE, "\"%s\": not an address", host);
	endpoint.port = (uint16_t)strtoul(port, NULL, 10);
	zone = strchr(endpoint.connect, '%');
	snprintf(endpoint.guest, sizeof(endpoint.guest), "%.*s",
		 zone ? (int)(zone - endpoint.connect) : (int)sizeof(endpoint.guest) - 1, endpoint.connect);
	*ret = endpoint;
	return source_address(guest, host, ret->host);
}

struct error *ssh_endpoint(const struct vm *vm, struct ssh_endpoint *ret)
{
	const char *at = strrchr(vm->settings.ssh_target, '@');
	const char *host = at ? at + 1 : vm->settings.ssh_target;
	const char *port = vm->settings.ssh_port ? vm->settings.ssh_port : "22";
	struct addrinfo *list = NULL;
	struct error *error = resolve(host, port, &list);

	if (error)
		return error;
	if (list->ai_family != AF_INET && list->ai_family != AF_INET6)
		error = error_create(ERROR_UNSUPPORTED, "\"%s\" is neither an IPv4 nor an IPv6 address", host);
	else
		error = describe(list, host, ret);
	freeaddrinfo(list);
	return error;
}

/* The strings that ssh's arguments are made of, kept until it has ended. */
struct ssh_arguments {
	const char *argv[SSH_OPTIONS_MAX];
	size_t n;
	char *known_hosts, *hostname, *alias, *command;
};

static void ssh_arguments_deinit(struct ssh_arguments *arguments)
{
	free(arguments->known_hosts);
	free(arguments->hostname);
	free(arguments->alias);
	free(arguments->command);
}

static void option(struct ssh_arguments *arguments, const char *flag, const char *value)
{
	arguments->argv[arguments->n++] = flag;
	arguments->argv[arguments->n++] = value;
}

/* A file beside the log: in the state directory. NULL: there is none, or no memory. Owned. */
static char *beside_log(const struct vm *vm, const char *suffix)
{
	const char *log = vm->settings.log_path;
	const char *slash = log ? strrchr(log, '/') : NULL;

	return slash ? string_format("%.*s/%s.%s", (int)(slash - log), log, vm->settings.name, suffix) : NULL;
}

static char *known_hosts_option(const struct vm *vm)
{
	_cleanup_(free_ptr) char *path = beside_log(vm, "known_hosts");

	return path ? string_format("UserKnownHostsFile=\"%s\"", path) : strdup("UserKnownHostsFile=/dev/null");
}

/* A processor's flags on x86, its features on ARM: both have the word. */
static bool host_has_aes(void)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = io_read_file("/proc/cpuinfo", CPUINFO_MAX, &text, NULL);

	if (error) {
		error_destroy(error);
		return false;
	}
	for (const char *found = text; (found = strstr(found, " aes")); found++)
		if (found[4] == ' ' || found[4] == '\n')
			return true;
	return false;
}

/* `command`: NULL: a connection that only others go through. */
static struct error *ssh_arguments_init(struct ssh_arguments *arguments, const struct vm *vm, const char *command)
{
	const struct vm_settings *settings = &vm->settings;
	struct ssh_endpoint endpoint;
	struct error *error = ssh_endpoint(vm, &endpoint);

	if (error)
		return error;
	arguments->known_hosts = known_hosts_option(vm);
	arguments->hostname = string_format("Hostname=%s", endpoint.connect);
	arguments->alias = string_format("HostKeyAlias=ouassister-%s", settings->name);
	arguments->command = strdup(command ? command : "");
	if (!arguments->known_hosts || !arguments->hostname || !arguments->alias || !arguments->command)
		return error_no_memory();
	arguments->argv[arguments->n++] = "ssh";
	option(arguments, "-F", "none");
	option(arguments, "-o", "BatchMode=yes");
	option(arguments, "-o", "StrictHostKeyChecking=accept-new");
	option(arguments, "-o", "GlobalKnownHostsFile=none");
	option(arguments, "-o", "LogLevel=ERROR");
	option(arguments, "-o", "ConnectTimeout=" SSH_CONNECT_S);
	option(arguments, "-o", "ServerAliveInterval=10");
	option(arguments, "-o", "ServerAliveCountMax=6");
	if (vm->guest_has_aes && host_has_aes())
		option(arguments, "-o", SSH_AES_CIPHERS);
	option(arguments, "-o", arguments->known_hosts);
	option(arguments, "-o", arguments->hostname);
	option(arguments, "-o", arguments->alias);
	if (settings->ssh_port)
		option(arguments, "-p", settings->ssh_port);
	if (settings->ssh_key) {
		option(arguments, "-o", "IdentitiesOnly=yes");
		option(arguments, "-i", settings->ssh_key);
	}
	if (vm->ssh_socket)
		option(arguments, "-S", vm->ssh_socket);
	if (!command)
		option(arguments, "-M", "-N");
	/* "--" ends the options: a target cannot become one. */
	option(arguments, "--", settings->ssh_target);
	option(arguments, command ? arguments->command : NULL, NULL);
	return NULL;
}

/* --- the connection that is kept --- */

static void close_master(struct vm *vm)
{
	process_stop(&vm->ssh_master, MASTER_GRACE_MS);
	if (vm->ssh_socket)
		unlink(vm->ssh_socket);
	free(take_ptr(vm->ssh_socket));
}

/* Another may be opened. */
static void ssh_close(struct vm *vm)
{
	close_master(vm);
	vm->ssh_master = 0;
}

/* Whether there is one; one that has ended is forgotten. */
static bool has_master(struct vm *vm)
{
	if (vm->ssh_master > 0 && waitpid(vm->ssh_master, NULL, WNOHANG) != 0) {
		vm->ssh_master = -1;
		close_master(vm);
	}
	return vm->ssh_master > 0;
}

/* Its socket appears when it has been let in. */
static bool await_master(struct vm *vm, uint64_t deadline_ns)
{
	static const struct timespec pause = {.tv_nsec = MASTER_POLL_MS * 1000000};

	while (has_master(vm)) {
		if (access(vm->ssh_socket, F_OK) == 0)
			return true;
		if (clock_monotonic_ns() >= deadline_ns)
			return false;
		nanosleep(&pause, NULL);
	}
	return false;
}

static struct error *start_master(struct vm *vm)
{
	_cleanup_(ssh_arguments_deinit) struct ssh_arguments arguments = {};
	struct process_options options = {.argv = arguments.argv, .die_with_parent = true};
	_cleanup_(close_fd) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct error *error = ssh_arguments_init(&arguments, vm, NULL);

	options.stderr_fd = null;
	return error ? error : process_start(&options, &vm->ssh_master);
}

/* Tried once until somebody waits for the guest anew: a guest that allows no such thing shall not be asked at each run.
 */
static void open_master(struct vm *vm, uint64_t deadline_ns)
{
	uint64_t latest_ns = wire_deadline(MASTER_START_MS);
	struct error *error;

	if (has_master(vm) || vm->ssh_master < 0)
		return;
	vm->ssh_socket = beside_log(vm, "ssh");
	if (!vm->ssh_socket || strlen(vm->ssh_socket) > MASTER_NAME_MAX || strchr(vm->ssh_socket, '%')) {
		free(take_ptr(vm->ssh_socket));
		vm->ssh_master = -1;
		return;
	}
	/* Left by a process that was killed. */
	unlink(vm->ssh_socket);
	error = start_master(vm);
	if (error || !await_master(vm, deadline_ns < latest_ns ? deadline_ns : latest_ns)) {
		close_master(vm);
		vm->ssh_master = -1;
	}
	error_destroy(error);
}

/* --- one run --- */

/* Waits for the process until the deadline and then kills it; the exit status as a shell counts it. */
static struct error *await_ssh(pid_t pid, uint64_t deadline_ns, int *ret)
{
	_cleanup_(close_fd) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	bool late = false;
	int status;

	while (pidfd >= 0 && !late) {
		struct pollfd fd = {.fd = pidfd, .events = POLLIN};
		uint64_t now = clock_monotonic_ns();
		uint64_t left = now >= deadline_ns ? 0 : (deadline_ns - now) / 1000000 + 1;

		late = now >= deadline_ns;
		if (!late && poll(&fd, 1, left > 1000000 ? 1000000 : (int)left) > 0)
			break;
	}
	if (late || pidfd < 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_system(errno, "ssh", "cannot wait for");
	if (late)
		return error_create(ERROR_TIMEOUT, "the guest did not answer over ssh in time");
	*ret = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return NULL;
}

static struct error *read_back(int fd, char **ret)
{
	size_t size;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_system(errno, NULL, "cannot rewind a memory file");
	return io_read_all(fd, CHANNEL_OUTPUT_MAX, "output of the guest's program", ret, &size);
}

/* Runs ssh with outputs into memory files; exit status 255 is ssh's own failure. */
static struct error *run_ssh(struct vm *vm, const char *command, int stdin_fd, uint64_t deadline_ns,
			     struct channel_result *ret)
{
	_cleanup_(ssh_arguments_deinit) struct ssh_arguments arguments = {};
	_cleanup_(close_fd) int out = memfd_create("stdout", MFD_CLOEXEC);
	_cleanup_(close_fd) int err = memfd_create("stderr", MFD_CLOEXEC);
	_cleanup_(channel_result_deinit) struct channel_result result = {};
	struct process_options options = {
		.argv = arguments.argv,
		.stdin_fd = stdin_fd > 0 ? stdin_fd : 0,
		.stdout_fd = out,
		.stderr_fd = err,
		.die_with_parent = true,
	};
	struct error *error;
	pid_t pid;

	if (out < 0 || err < 0)
		return error_system(errno, NULL, "cannot create a memory file");
	error = ssh_arguments_init(&arguments, vm, command);
	if (!error)
		error = process_start(&options, &pid);
	if (!error)
		error = await_ssh(pid, deadline_ns, &result.status);
	if (!error)
		error = read_back(out, &result.output);
	if (!error)
		error = read_back(err, &result.errors);
	if (error)
		return error;
	if (result.status == SSH_FAILED)
		return error_create(ERROR_FAILED, "ssh to %s: %.300s", vm->settings.ssh_target,
				    *result.errors ? result.errors : "the connection has ended");
	*ret = result;
	result = (struct channel_result){};
	return NULL;
}

/*
 * The program runs under a shell that stays: its death by a signal becomes 128 + signal there, while ssh would
 * tell it by the same 255 as a failure of its own.
 */
static char *remote_command(const char *const *argv)
{
	_cleanup_(free_ptr) char *words = shell_quote_all(argv);
	_cleanup_(free_ptr) char *script = words ? string_format("%s; exit $?", words) : NULL;
	const char *const shell[] = {"/bin/sh", "-c", script, NULL};

	return script ? shell_quote_all(shell) : NULL;
}

static struct error *ssh_run(struct vm *vm, const char *const *argv, int stdin_fd, uint64_t timeout_ms,
			     struct channel_result *ret)
{
	_cleanup_(free_ptr) char *command = remote_command(argv);

	uint64_t deadline_ns = wire_deadline(timeout_ms);

	if (!command)
		return error_no_memory();
	open_master(vm, deadline_ns);
	return run_ssh(vm, command, stdin_fd, deadline_ns, ret);
}

/* Whether the guest answers, and computes AES. */
static struct error *ask(struct vm *vm, uint64_t deadline_ns)
{
	static const char ask_aes[] = "grep -qw aes /proc/cpuinfo && echo aes; true";
	struct channel_result result = {};
	struct error *error = run_ssh(vm, ask_aes, -1, deadline_ns, &result);

	if (!error)
		vm->guest_has_aes = !strncmp(result.output, "aes", 3);
	channel_result_deinit(&result);
	return error;
}

/* The guest may have booted since: a connection that does not answer soon is given up for a new one. */
static bool master_answers(struct vm *vm, uint64_t deadline_ns)
{
	uint64_t latest_ns = wire_deadline(MASTER_ASK_MS);
	struct error *error = NULL;
	bool answers = false;

	if (has_master(vm)) {
		error = ask(vm, deadline_ns < latest_ns ? deadline_ns : latest_ns);
		answers = !error;
	}
	error_destroy(error);
	if (!answers)
		ssh_close(vm);
	return answers;
}

static struct error *ssh_wait(struct vm *vm, uint64_t timeout_ms)
{
	static const struct timespec pause = {.tv_nsec = SSH_RETRY_MS * 1000000};
	uint64_t deadline_ns = wire_deadline(timeout_ms);

	if (master_answers(vm, deadline_ns))
		return NULL;
	for (;;) {
		struct error *error = ask(vm, deadline_ns);

		if (!error || error->code == ERROR_USAGE)
			return error;
		if (clock_monotonic_ns() >= deadline_ns)
			return error_remedy(
				error_wrap(error_recode(error, ERROR_TIMEOUT), "channel ssh does not answer"),
				"see that `ssh -i KEY %s` works from this host without a password",
				vm->settings.ssh_target);
		error_destroy(error);
		nanosleep(&pause, NULL);
	}
}

static struct error *ssh_put(struct vm *vm, int fd, const char *path, const char *guest_path)
{
	static const char script[] = "umask 077; mkdir -p \"${1%/*}\" && rm -f \"$1.part\" && cat > \"$1.part\" && "
				     "chmod 0700 \"$1.part\" && mv -f \"$1.part\" \"$1\"";
	const char *const argv[] = {"/bin/sh", "-c", script, "sh", guest_path, NULL};
	struct channel_result result = {};
	struct error *error = ssh_run(vm, argv, fd, SSH_PUT_MS, &result);

	if (!error && result.status != 0)
		error = error_create(ERROR_FAILED, "the guest's shell says: %.300s", result.errors);
	channel_result_deinit(&result);
	return error;
}

const struct channel_ops channel_ssh = {
	.name = "ssh",
	.wait = ssh_wait,
	.put = ssh_put,
	.run = ssh_run,
	.close = ssh_close,
	.fallback = PAYLOAD_STDIN,
};
