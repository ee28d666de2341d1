/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream into the guest through a port that libvirt plugs into the running domain. libvirt lets QEMU read no file
 * into a port, so QEMU listens on a socket where libvirt wants it, and a process of ours writes the file to it: on its
 * own, so that the stream goes on without us; it ends with the stream, with the port, or with the domain.
 */
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/io.h"
#include "base/log.h"
#include "hypervisor/libvirt_api.h"
#include "hypervisor/wire.h"

#define ALIAS           "ua-ouassister-port" /* libvirt keeps such names for its users */
#define PIECE           (1u << 16)
#define DRAIN_POLL_MS   5
#define RELEASE_MS      10000
#define RELEASE_POLL_MS 20

static const char device[] = "<channel type='unix'><source mode='bind'/><target type='virtio' name='" PORT_NAME "'/>"
			     "<alias name='" ALIAS "'/></channel>";

/* Where QEMU listens for the port; NULL: there is none. Owned. */
static char *socket_of(const struct domain_xml *xml)
{
	return domain_xml_text(xml, NULL, "string(devices/channel[alias/@name='" ALIAS "']/source/@path)");
}

/* --- the process that writes --- */

/* QEMU forgets what it has not read when its peer hangs up. */
static void await_read(int out)
{
	struct pollfd peer = {.fd = out};
	int unread = 0;

	while (ioctl(out, SIOCOUTQ, &unread) == 0 && unread > 0 && poll(&peer, 1, DRAIN_POLL_MS) == 0)
		;
}

static void write_all(int file, int out)
{
	static char piece[PIECE];
	ssize_t n;

	while ((n = read(file, piece, sizeof(piece))) > 0)
		for (ssize_t done = 0, written; done < n; done += written) {
			written = write(out, piece + done, (size_t)(n - done));
			if (written < 0)
				_exit(1);
		}
	if (n < 0)
		_exit(1);
	await_read(out);
	_exit(0);
}

/*
 * With nothing of ours but the two: a lock would stay held, a pipe open. Its parent ends at once, so that nobody waits
 * for it.
 */
static void become_writer(int file, int out)
{
	signal(SIGPIPE, SIG_DFL);
	if (dup2(file, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		_exit(1);
	dup2(STDOUT_FILENO, STDERR_FILENO);
	syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, 0);
	setsid();
	if (chdir("/") == 0 && fork() == 0)
		write_all(STDIN_FILENO, STDOUT_FILENO);
	_exit(0);
}

static struct error *start_writer(int file, int out)
{
	pid_t pid = fork();

	if (pid == 0)
		become_writer(file, out);
	if (pid < 0)
		return error_system(errno, NULL, "cannot start a process");
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return NULL;
}

static struct error *connect_to(const char *path, int *ret)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return error_create(ERROR_UNSUPPORTED, "%s: too long a path for a socket", path);
	strcpy(address.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_system(errno, path, "cannot connect to the port");
	*ret = take_fd(fd);
	return NULL;
}

/* --- the port --- */

static struct error *feed(const struct libvirt *libvirt, const char *path)
{
	_cleanup_(domain_xml_deinit) struct domain_xml xml = {};
	_cleanup_(close_fd) int file = open(path, O_RDONLY | O_CLOEXEC), out = -1;
	_cleanup_(free_ptr) char *socket_path = NULL;
	struct error *error = file < 0 ? error_system(errno, path, "cannot open") : NULL;

	if (!error)
		error = domain_xml_read(libvirt, 0, &xml);
	if (error)
		return error;
	socket_path = socket_of(&xml);
	if (!socket_path)
		return error_create(ERROR_UNSUPPORTED, "libvirt does not say where the port's socket is");
	error = connect_to(socket_path, &out);
	return error ? error : start_writer(file, out);
}

struct error *libvirt_port_attach(struct vm *vm, const char *path)
{
	_cleanup_(domain_xml_deinit) struct domain_xml xml = {};
	_cleanup_(free_ptr) char *earlier = NULL;
	struct libvirt *libvirt;
	struct error *error = libvirt_of_active(vm, &libvirt);

	if (!error)
		error = domain_xml_read(libvirt, 0, &xml);
	if (error)
		return error;
	/* Somebody in the guest may still read what an earlier process of ours has begun to send. */
	earlier = socket_of(&xml);
	if (earlier)
		return error_create(ERROR_UNSUPPORTED, "an earlier stream is still there");
	if (libvirt->api->virDomainAttachDeviceFlags(libvirt->domain, device, VIR_DOMAIN_AFFECT_LIVE) < 0)
		return error_recode(libvirt_error(libvirt->api, "plug a port"), ERROR_UNSUPPORTED);
	error = feed(libvirt, path);
	if (error)
		error_destroy(libvirt_port_detach(vm));
	return error_recode(error, ERROR_UNSUPPORTED);
}

/* The port goes without the guest's consent; libvirt hears of it a moment later. */
struct error *libvirt_port_detach(struct vm *vm)
{
	static const struct timespec pause = {.tv_nsec = RELEASE_POLL_MS * 1000000};
	uint64_t deadline_ns = wire_deadline(RELEASE_MS);

	for (bool asked = false;; asked = true) {
		struct libvirt *libvirt;
		bool plugged = false;
		struct error *error =
			libvirt_is_plugged(vm, "devices/channel[alias/@name='" ALIAS "']", &libvirt, &plugged);

		if (error || !plugged)
			return error;
		if (!asked &&
		    libvirt->api->virDomainDetachDeviceAlias(libvirt->domain, ALIAS, VIR_DOMAIN_AFFECT_LIVE) < 0)
			return libvirt_error(libvirt->api, "take the port away");
		if (clock_monotonic_ns() >= deadline_ns)
			return error_create(ERROR_TIMEOUT, "libvirt does not take the port away");
		nanosleep(&pause, NULL);
	}
}
