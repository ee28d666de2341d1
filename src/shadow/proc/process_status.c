/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/status (fs/proc/array.c, task_mmu.c). */
#include "shadow/proc/process.h"

#define KB_PER_PAGE       4u
#define RLIMIT_SIGPENDING 11u

static const char *state_words(char state)
{
	static const char *const words[] = {"R (running)", "S (sleeping)",     "D (disk sleep)",
					    "T (stopped)", "t (tracing stop)", "X (dead)",
					    "Z (zombie)",  "P (parked)",       "I (idle)"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i][0] == state)
			return words[i];
	return words[0];
}

static void write_name(const char *comm, FILE *out)
{
	fputs("Name:\t", out);
	for (const char *c = comm; *c; c++) {
		if (*c == '\n')
			fputs("\\n", out);
		else if (*c == '\\')
			fputs("\\\\", out);
		else
			fputc(*c, out);
	}
	fputc('\n', out);
}

static void write_ids(const struct guest_task *task, const struct guest_task_details *details, FILE *out)
{
	if (details->has_umask)
		fprintf(out, "Umask:\t%#04o\n", details->umask);
	fprintf(out, "State:\t%s\nTgid:\t%u\nNgid:\t%u\nPid:\t%u\nPPid:\t%u\nTracerPid:\t%u\n",
		state_words(task->state), task->tgid, details->numa_group, task->pid, task->ppid, details->tracer);
	fprintf(out, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t%u\nGroups:\t", task->uid, task->euid,
		task->suid, task->fsuid, task->gid, task->egid, task->sgid, task->fsgid, details->fd_size);
	for (uint32_t i = 0; i < details->n_groups; i++)
		fprintf(out, "%s%u", i > 0 ? " " : "", details->groups[i]);
	fputs(" \n", out);
}

static void write_levels(const struct guest_task_details *details, FILE *out)
{
	fputs("NStgid:", out);
	for (uint32_t i = 0; i < details->n_levels; i++)
		fprintf(out, "\t%u", details->levels[i].tgid);
	fputs("\nNSpid:", out);
	for (uint32_t i = 0; i < details->n_levels; i++)
		fprintf(out, "\t%u", details->levels[i].pid);
	fputs("\nNSpgid:", out);
	for (uint32_t i = 0; i < details->n_levels; i++)
		fprintf(out, "\t%u", details->levels[i].pgid);
	fputs("\nNSsid:", out);
	for (uint32_t i = 0; i < details->n_levels; i++)
		fprintf(out, "\t%u", details->levels[i].sid);
	fputc('\n', out);
}

static void write_kb(FILE *out, const char *name, uint64_t kb)
{
	fprintf(out, "%s:\t%8llu kB\n", name, (unsigned long long)kb);
}

static void write_sizes(const struct guest_task_memory *memory, FILE *out)
{
	uint64_t resident = memory->anonymous + memory->file + memory->shared;
	uint64_t text = (memory->end_code + 4095) / 4096 - memory->start_code / 4096;

	if (text > memory->exec)
		text = memory->exec;
	write_kb(out, "VmPeak", KB_PER_PAGE * (memory->peak > memory->total ? memory->peak : memory->total));
	write_kb(out, "VmSize", KB_PER_PAGE * memory->total);
	write_kb(out, "VmLck", KB_PER_PAGE * memory->locked);
	write_kb(out, "VmPin", KB_PER_PAGE * memory->pinned);
	write_kb(out, "VmHWM", KB_PER_PAGE * (memory->resident_peak > resident ? memory->resident_peak : resident));
	write_kb(out, "VmRSS", KB_PER_PAGE * resident);
	write_kb(out, "RssAnon", KB_PER_PAGE * memory->anonymous);
	write_kb(out, "RssFile", KB_PER_PAGE * memory->file);
	write_kb(out, "RssShmem", KB_PER_PAGE * memory->shared);
	write_kb(out, "VmData", KB_PER_PAGE * memory->data);
	write_kb(out, "VmStk", KB_PER_PAGE * memory->stack);
	write_kb(out, "VmExe", KB_PER_PAGE * text);
	write_kb(out, "VmLib", KB_PER_PAGE * (memory->exec - text));
	write_kb(out, "VmPTE", memory->page_table_bytes / 1024);
	write_kb(out, "VmSwap", KB_PER_PAGE * memory->swapped);
	if (memory->has_huge)
		write_kb(out, "HugetlbPages", KB_PER_PAGE * memory->huge);
}

static void write_memory(const struct guest_task_memory *memory, FILE *out)
{
	write_sizes(memory, out);
	fprintf(out, "CoreDumping:\t%d\nTHP_enabled:\t%d\n", memory->dumping, memory->has_huge_pages);
	if (memory->has_untag_mask)
		fprintf(out, "untag_mask:\t%#llx\n", (unsigned long long)memory->untag_mask);
}

static void write_signals(const struct guest_task *task, const struct guest_task_details *details, FILE *out)
{
	fprintf(out, "Threads:\t%u\nSigQ:\t%llu/%llu\n", task->n_threads, (unsigned long long)details->queued_signals,
		(unsigned long long)details->limits[RLIMIT_SIGPENDING]);
	fprintf(out, "SigPnd:\t%016llx\nShdPnd:\t%016llx\nSigBlk:\t%016llx\nSigIgn:\t%016llx\nSigCgt:\t%016llx\n",
		(unsigned long long)details->pending, (unsigned long long)details->shared_pending,
		(unsigned long long)details->blocked, (unsigned long long)details->ignored,
		(unsigned long long)details->caught);
	fprintf(out, "CapInh:\t%016llx\nCapPrm:\t%016llx\nCapEff:\t%016llx\nCapBnd:\t%016llx\nCapAmb:\t%016llx\n",
		(unsigned long long)details->inheritable, (unsigned long long)details->permitted,
		(unsigned long long)details->effective, (unsigned long long)details->bounding,
		(unsigned long long)details->ambient);
}

static void write_security(const struct guest_task_details *details, FILE *out)
{
	const struct guest_task_speculation *speculation = &details->speculation;

	fprintf(out, "NoNewPrivs:\t%d\n", details->no_new_privileges);
	if (details->has_seccomp)
		fprintf(out, "Seccomp:\t%u\n", details->seccomp);
	if (details->has_seccomp_filters)
		fprintf(out, "Seccomp_filters:\t%u\n", details->seccomp_filters);
	if (speculation->store_bypass)
		fprintf(out, "Speculation_Store_Bypass:\t%s\n", speculation->store_bypass);
	if (speculation->indirect_branch)
		fprintf(out, "SpeculationIndirectBranch:\t%s\n", speculation->indirect_branch);
}

/* As "%*pb": groups of 32 bits, the first one of as many digits as it needs. */
static void write_mask(const struct guest_bits *bits, FILE *out)
{
	uint32_t n = (bits->n + 31) / 32;

	for (uint32_t i = n; i-- > 0;) {
		uint32_t width = i == n - 1 && bits->n % 32 ? bits->n % 32 : 32;

		fprintf(out, "%0*x%s", (int)((width + 3) / 4), (uint32_t)(bits->words[i / 2] >> (i % 2 * 32)),
			i > 0 ? "," : "");
	}
}

static bool has_bit(const struct guest_bits *bits, uint32_t i)
{
	return i < bits->n && bits->words[i / 64] >> i % 64 & 1;
}

/* As "%*pbl": "0-3,5". */
static void write_list(const struct guest_bits *bits, FILE *out)
{
	const char *comma = "";

	for (uint32_t i = 0; i < bits->n; i++) {
		uint32_t last = i;

		if (!has_bit(bits, i))
			continue;
		while (has_bit(bits, last + 1))
			last++;
		fprintf(out, last > i ? "%s%u-%u" : "%s%u", comma, i, last);
		comma = ",";
		i = last;
	}
}

static void write_bits(const char *name, const struct guest_bits *bits, FILE *out)
{
	fprintf(out, "%s:\t", name);
	write_mask(bits, out);
	fprintf(out, "\n%s_list:\t", name);
	write_list(bits, out);
	fputc('\n', out);
}

/* Shadow stacks: words of arch/x86/kernel/cpu/proc.c. */
static void write_features(const char *name, uint64_t features, FILE *out)
{
	fprintf(out, "%s:\t%s%s\n", name, features & 1 ? "shstk " : "", features & 2 ? "wrss " : "");
}

struct error *process_write_status(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	struct guest_task_details details;
	struct error *error = guest_task_details(facts->guest, task->address, false, &details);

	if (error)
		return error;
	write_name(task->comm, out);
	write_ids(task, &details, out);
	write_levels(&details, out);
	if (details.shows_kernel_thread)
		fprintf(out, "Kthread:\t%d\n", task->kernel_thread);
	if (details.has_memory)
		write_memory(&details.memory, out);
	write_signals(task, &details, out);
	write_security(&details, out);
	write_bits("Cpus_allowed", &details.cpus, out);
	if (details.nodes.n > 0)
		write_bits("Mems_allowed", &details.nodes, out);
	fprintf(out, "voluntary_ctxt_switches:\t%llu\nnonvoluntary_ctxt_switches:\t%llu\n",
		(unsigned long long)details.voluntary_switches, (unsigned long long)details.involuntary_switches);
	if (details.has_thread_features) {
		write_features("x86_Thread_features", details.thread_features, out);
		write_features("x86_Thread_features_locked", details.thread_features_locked, out);
	}
	guest_task_details_deinit(&details);
	return NULL;
}
