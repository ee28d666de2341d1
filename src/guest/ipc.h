/* SPDX-License-Identifier: Apache-2.0 */
/* System V IPC of the initial namespace, and who has keys, as /proc tells. Included by guest/guest.h. */
#ifndef GUEST_IPC_H
#define GUEST_IPC_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct guest;

enum guest_ipc_kind {
	GUEST_SEMAPHORES, /* as the kernel numbers them (IPC_SEM_IDS, …) */
	GUEST_MESSAGES,
	GUEST_SHARED_MEMORY,
};

/* Ids as the initial user namespace has them; times in seconds since 1970, 0: never; process numbers 0: none. */
struct guest_ipc {
	int32_t key, id;
	uint32_t mode; /* permissions, and for shared memory flags: SHM_DEST 01000, SHM_LOCKED 02000 */
	uint32_t uid, gid, creator_uid, creator_gid;
	int64_t changed;
	union {
		struct {
			uint64_t size, attached, resident, swapped; /* bytes, but `attached` */
			uint32_t creator, last;
			int64_t attached_at, detached_at;
		} memory;
		struct {
			uint32_t n;
			int64_t operated;
		} semaphores;
		struct {
			uint64_t bytes, n;
			uint32_t last_sender, last_receiver;
			int64_t sent, received;
		} messages;
	};
};
struct guest_ipc_list {
	struct guest_ipc *items; /* in the order of /proc/sysvipc */
	size_t n;
	struct error *incomplete;
};
struct error *guest_ipc(struct guest *guest, enum guest_ipc_kind kind, struct guest_ipc_list *ret) _must_check_;
void guest_ipc_list_deinit(struct guest_ipc_list *list);

/* A line of /proc/key-users. */
struct guest_key_user {
	uint32_t uid;
	int32_t usage, keys, instantiated, counted_keys, counted_bytes;
	uint32_t max_keys, max_bytes;
};
struct guest_key_user_list {
	struct guest_key_user *items; /* by uid */
	size_t n;
	struct error *incomplete;
};
struct error *guest_key_users(struct guest *guest, struct guest_key_user_list *ret) _must_check_;
void guest_key_user_list_deinit(struct guest_key_user_list *list);

#endif
