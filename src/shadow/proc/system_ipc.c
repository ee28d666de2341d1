/* SPDX-License-Identifier: Apache-2.0 */
/* sysvipc/{shm,sem,msg}, key-users (ipc/, security/keys/proc.c). */
#include <inttypes.h>

#include "shadow/proc/system.h"

static void write_owners(const struct guest_ipc *one, FILE *out)
{
	fprintf(out, "%5" PRIu32 " %5" PRIu32 " %5" PRIu32 " %5" PRIu32 " ", one->uid, one->gid, one->creator_uid,
		one->creator_gid);
}

static void write_beginning(const struct guest_ipc *one, FILE *out)
{
	fprintf(out, "%10" PRId32 " %10" PRId32 "  %4" PRIo32 " ", one->key, one->id, one->mode);
}

struct error *proc_write_shm(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_ipc_list_deinit) struct guest_ipc_list list = {0};
	struct error *error = PROC_LIST(guest_ipc(facts->guest, GUEST_SHARED_MEMORY, &list), list);

	if (error)
		return error;
	fputs("       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      "
	      "atime      dtime      ctime                   rss                  swap\n",
	      out);
	for (size_t i = 0; i < list.n; i++) {
		const struct guest_ipc *one = &list.items[i];

		write_beginning(one, out);
		fprintf(out, "%21" PRIu64 " %5" PRIu32 " %5" PRIu32 "  %5" PRIu64 " ", one->memory.size,
			one->memory.creator, one->memory.last, one->memory.attached);
		write_owners(one, out);
		fprintf(out, "%10" PRId64 " %10" PRId64 " %10" PRId64 " %21" PRIu64 " %21" PRIu64 "\n",
			one->memory.attached_at, one->memory.detached_at, one->changed, one->memory.resident,
			one->memory.swapped);
	}
	return NULL;
}

struct error *proc_write_sem(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_ipc_list_deinit) struct guest_ipc_list list = {0};
	struct error *error = PROC_LIST(guest_ipc(facts->guest, GUEST_SEMAPHORES, &list), list);

	if (error)
		return error;
	fputs("       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n", out);
	for (size_t i = 0; i < list.n; i++) {
		const struct guest_ipc *one = &list.items[i];

		write_beginning(one, out);
		fprintf(out, "%10" PRIu32 " ", one->semaphores.n);
		write_owners(one, out);
		fprintf(out, "%10" PRId64 " %10" PRId64 "\n", one->semaphores.operated, one->changed);
	}
	return NULL;
}

struct error *proc_write_msg(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_ipc_list_deinit) struct guest_ipc_list list = {0};
	struct error *error = PROC_LIST(guest_ipc(facts->guest, GUEST_MESSAGES, &list), list);

	if (error)
		return error;
	fputs("       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      "
	      "rtime      ctime\n",
	      out);
	for (size_t i = 0; i < list.n; i++) {
		const struct guest_ipc *one = &list.items[i];

		write_beginning(one, out);
		fprintf(out, " %10" PRIu64 " %10" PRIu64 " %5" PRIu32 " %5" PRIu32 " ", one->messages.bytes,
			one->messages.n, one->messages.last_sender, one->messages.last_receiver);
		write_owners(one, out);
		fprintf(out, "%10" PRId64 " %10" PRId64 " %10" PRId64 "\n", one->messages.sent, one->messages.received,
			one->changed);
	}
	return NULL;
}

struct error *proc_write_key_users(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_key_user_list_deinit) struct guest_key_user_list list = {0};
	struct error *error = PROC_LIST(guest_key_users(facts->guest, &list), list);

	for (size_t i = 0; !error && i < list.n; i++) {
		const struct guest_key_user *one = &list.items[i];

		fprintf(out,
			"%5" PRIu32 ": %5" PRId32 " %" PRId32 "/%" PRId32 " %" PRId32 "/%" PRIu32 " %" PRId32
			"/%" PRIu32 "\n",
			one->uid, one->usage, one->keys, one->instantiated, one->counted_keys, one->max_keys,
			one->counted_bytes, one->max_bytes);
	}
	return error;
}
