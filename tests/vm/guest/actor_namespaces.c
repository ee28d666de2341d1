/* SPDX-License-Identifier: Apache-2.0 */
/* A process with namespaces of its own, and mounts that nobody else sees. */
#define _GNU_SOURCE
#include "actor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void bring_up(const char *interface)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strncpy(request.ifr_name, interface, sizeof(request.ifr_name) - 1);
	MUST(ioctl(fd, SIOCGIFFLAGS, &request));
	request.ifr_flags |= IFF_UP;
	MUST(ioctl(fd, SIOCSIFFLAGS, &request));
	close(fd);
}

static void listen_there(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9999)};
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/mnt/p/inner.sock"};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	MUST(bind(fd, (void *)&to, sizeof(to)));
	MUST(listen(fd, 9));
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	MUST(bind(fd, (void *)&name, sizeof(name)));
}

static void mount_there(void)
{
	MUST(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
	MUST(mkdir("/mnt/p", 0755));
	MUST(mount("private", "/mnt/p", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=750,uid=12,gid=34"));
	MUST(mkdir("/mnt/p/over here", 0755));
	MUST(mount("/mnt/data", "/mnt/p/over here", NULL, MS_BIND, NULL));
	MUST(mount(NULL, "/mnt/p/over here", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOEXEC, NULL));
	MUST(mount("/mnt/daemon", "/run/empty", NULL, MS_BIND, NULL));
	MUST(mount(NULL, "/mnt/p", NULL, MS_UNBINDABLE, NULL));
	/* One over the other. */
	MUST(mount("first", "/mnt/m", "tmpfs", 0, NULL));
	MUST(mount("second", "/mnt/m", "tmpfs", MS_RDONLY, "nr_inodes=50"));
	close(make_file("/mnt/p/inner file", 5000));
}

void act_namespaces(void)
{
	MUST(unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP));
	if (fork() != 0)
		return;
	mount_there();
	MUST(mount("proc", "/proc", "proc", 0, "hidepid=2"));
	MUST(sethostname("inner", 5));
	bring_up("lo");
	listen_there();
}
