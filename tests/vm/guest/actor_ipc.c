/* SPDX-License-Identifier: Apache-2.0 */
/* System V IPC, and multicast groups. */
#define _GNU_SOURCE
#include "actor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <unistd.h>

/* Attached and written to; one that is removed and stays for as long as it is attached; one that nobody ever used. */
static void share_memory(void)
{
	int first = shmget(0x5eed, 30000, IPC_CREAT | 0640), removed = shmget(IPC_PRIVATE, 8192, 0600);
	char *start;

	MUST(first);
	MUST(removed);
	MUST(shmget(-7, 4096, IPC_CREAT | 0));
	start = shmat(first, NULL, 0);
	if (start == (void *)-1)
		die("shmat");
	memset(start, 's', 5000);
	if (shmat(removed, NULL, SHM_RDONLY) == (void *)-1)
		die("shmat");
	MUST(shmctl(removed, IPC_RMID, NULL));
	start = shmat(first, NULL, 0);
	MUST(shmdt(start));
}

static void use_semaphores(void)
{
	struct sembuf up = {.sem_num = 3, .sem_op = 2};
	struct semid_ds owner = {.sem_perm = {.uid = 33, .gid = 44, .mode = 0620}};
	int set = semget(0x5e3, 5, IPC_CREAT | 0600), other = semget(IPC_PRIVATE, 1, 0666);

	MUST(set);
	MUST(other);
	MUST(semop(set, &up, 1));
	MUST(semctl(other, 0, IPC_SET, &owner));
}

static void send_messages(void)
{
	struct {
		long type;
		char text[100];
	} message = {1, "text"};
	int queue = msgget(0x35a6e, IPC_CREAT | 0600);

	MUST(queue);
	MUST(msgget(IPC_PRIVATE, 0600));
	for (int i = 0; i < 3; i++)
		MUST(msgsnd(queue, &message, 10 + (size_t)i, 0));
	MUST(msgrcv(queue, &message, sizeof(message.text), 0, 0));
}

/* On the interface that nobody is behind, so that no report is answered. */
static void join_groups(void)
{
	struct ip_mreqn group4 = {.imr_ifindex = (int)if_nametoindex("dummy0")};
	struct ipv6_mreq group6 = {.ipv6mr_interface = if_nametoindex("dummy0")};
	int fd4 = socket(AF_INET, SOCK_DGRAM, 0), fd6 = socket(AF_INET6, SOCK_DGRAM, 0);

	inet_pton(AF_INET, "239.1.2.3", &group4.imr_multiaddr);
	inet_pton(AF_INET6, "ff05::1234", &group6.ipv6mr_multiaddr);
	MUST(fd4);
	MUST(fd6);
	MUST(setsockopt(fd4, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group4, sizeof(group4)));
	MUST(setsockopt(socket(AF_INET, SOCK_DGRAM, 0), IPPROTO_IP, IP_ADD_MEMBERSHIP, &group4, sizeof(group4)));
	MUST(setsockopt(fd6, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group6, sizeof(group6)));
}

void act_ipc(void)
{
	share_memory();
	use_semaphores();
	send_messages();
	join_groups();
}
