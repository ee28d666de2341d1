/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of mounts that a task sees (fs/proc_namespace.c). */
#include "shadow/proc/process.h"

#define SPACES " \t\n\\"

typedef void (*mount_writer)(const struct guest_mount *mount, FILE *out);

static struct error *write_mounts(const struct proc_facts *facts, const struct guest_task *task, mount_writer writer,
				  FILE *out)
{
	_cleanup_(guest_mount_list_deinit) struct guest_mount_list list = {0};
	struct error *error = PROC_LIST(guest_mounts(facts->guest, task ? task->address : 0, &list), list);

	if (error)
		return error;
	for (size_t i = 0; i < list.n; i++)
		writer(&list.items[i], out);
	return NULL;
}

static void write_info(const struct guest_mount *mount, FILE *out)
{
	fprintf(out, "%d %d %u:%u ", mount->id, mount->parent, mount->major, mount->minor);
	proc_write_escaped(out, mount->root, SPACES);
	fputc(' ', out);
	proc_write_escaped(out, mount->target, SPACES);
	fprintf(out, " %s", mount->mount_options);
	if (mount->peer_group)
		fprintf(out, " shared:%u", mount->peer_group);
	if (mount->master)
		fprintf(out, " master:%u", mount->master);
	if (mount->propagated)
		fprintf(out, " propagate_from:%u", mount->propagated);
	if (mount->unbindable)
		fputs(" unbindable", out);
	fputs(" - ", out);
	proc_write_escaped(out, mount->fstype, SPACES "#");
	fputc(' ', out);
	proc_write_escaped(out, mount->source, SPACES "#");
	fprintf(out, " %s\n", mount->super_options);
}

static void write_line(const struct guest_mount *mount, FILE *out)
{
	proc_write_escaped(out, mount->source, SPACES "#");
	fputc(' ', out);
	proc_write_escaped(out, mount->target, SPACES);
	fputc(' ', out);
	proc_write_escaped(out, mount->fstype, SPACES "#");
	fprintf(out, " %s 0 0\n", mount->options);
}

/* Only NFS adds statistics here; its are not told. */
static void write_stats(const struct guest_mount *mount, FILE *out)
{
	fputs("device ", out);
	proc_write_escaped(out, mount->source, SPACES "#");
	fputs(" mounted on ", out);
	proc_write_escaped(out, mount->target, SPACES);
	fputs(" with fstype ", out);
	proc_write_escaped(out, mount->fstype, SPACES "#");
	fputc('\n', out);
}

struct error *proc_write_mountinfo(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	return write_mounts(facts, task, write_info, out);
}

struct error *proc_write_mounts(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	return write_mounts(facts, task, write_line, out);
}

struct error *proc_write_mountstats(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	return write_mounts(facts, task, write_stats, out);
}
