/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which handler of a sysctl shows its value in which form. Most handlers are one of a dozen general
 * ones, or wrap one and differ only when written to. A handler that is not in the table gives no
 * value rather than a guess.
 */
#include <stdlib.h>

#include "guest/sysctl.h"

/* By name. A name that one kernel has and another has not does no harm. */
static const struct known {
	const char *name;
	enum sysctl_form form;
} handlers_known[] = {
	{"addrconf_sysctl_addr_gen_mode", FORM_INT},
	{"addrconf_sysctl_disable", FORM_INT},
	{"addrconf_sysctl_disable_policy", FORM_INT},
	{"addrconf_sysctl_force_forwarding", FORM_INT},
	{"addrconf_sysctl_forward", FORM_INT},
	{"addrconf_sysctl_ignore_routes_with_linkdown", FORM_INT},
	{"addrconf_sysctl_mtu", FORM_INT},
	{"addrconf_sysctl_proxy_ndp", FORM_INT},
	{"apparmor_dointvec", FORM_INT},
	{"bpf_stats_handler", FORM_KEY},
	{"bpf_unpriv_handler", FORM_INT},
	{"compaction_proactiveness_sysctl_handler", FORM_INT},
	{"devinet_conf_proc", FORM_INT},
	{"devinet_sysctl_forward", FORM_INT},
	{"devkmsg_sysctl_set_loglvl", FORM_STRING},
	{"dirty_background_bytes_handler", FORM_ULONG},
	{"dirty_background_ratio_handler", FORM_INT},
	{"dirty_bytes_handler", FORM_ULONG},
	{"dirty_ratio_handler", FORM_INT},
	{"dirty_writeback_centisecs_handler", FORM_INT},
	{"dirtytime_interval_handler", FORM_INT},
	{"do_proc_dqstats", FORM_QUOTA},
	{"drop_caches_sysctl_handler", FORM_INT},
	{"flow_limit_table_len_sysctl", FORM_INT},
	{"ftrace_enable_sysctl", FORM_INT},
	{"hugetlb_mempolicy_sysctl_handler", FORM_HUGE},
	{"hugetlb_overcommit_handler", FORM_HUGE_MORE},
	{"hugetlb_sysctl_handler", FORM_HUGE},
	{"ipv4_doint_and_flush", FORM_INT},
	{"ipv4_fwd_update_priority", FORM_U8},
	{"ipv4_local_port_range", FORM_PORTS},
	{"ipv4_ping_group_range", FORM_GROUPS},
	{"ipv4_privileged_ports", FORM_INT},
	{"kexec_limit_handler", FORM_KEXEC_LIMIT},
	{"laptop_mode_handler", FORM_JIFFIES},
	{"lowmem_reserve_ratio_sysctl_handler", FORM_INT},
	{"mac_hid_toggle_emumouse", FORM_INT},
	{"min_free_kbytes_sysctl_handler", FORM_INT},
	{"mmap_min_addr_handler", FORM_ULONG},
	{"ndisc_ifinfo_sysctl_change", FORM_NEIGHBOUR},
	{"neigh_proc_base_reachable_time", FORM_NEIGHBOUR},
	{"neigh_proc_dointvec", FORM_INT},
	{"neigh_proc_dointvec_jiffies", FORM_JIFFIES},
	{"neigh_proc_dointvec_ms_jiffies", FORM_MS_JIFFIES},
	{"neigh_proc_dointvec_ms_jiffies_positive", FORM_MS_JIFFIES},
	{"neigh_proc_dointvec_unres_qlen", FORM_QUEUE_BYTES},
	{"neigh_proc_dointvec_userhz_jiffies", FORM_HZ_JIFFIES},
	{"neigh_proc_dointvec_zero_intmax", FORM_INT},
	{"nf_conntrack_hash_sysctl", FORM_INT},
	{"nf_hooks_lwtunnel_sysctl_handler", FORM_TUNNEL_HOOKS},
	{"nf_log_proc_dostring", FORM_LOGGER},
	{"numa_zonelist_order_handler", FORM_ZONELIST},
	{"overcommit_kbytes_handler", FORM_ULONG},
	{"overcommit_policy_handler", FORM_INT},
	{"overcommit_ratio_handler", FORM_INT},
	{"percpu_pagelist_fraction_sysctl_handler", FORM_INT},
	{"percpu_pagelist_high_fraction_sysctl_handler", FORM_INT},
	{"perf_cpu_time_max_percent_handler", FORM_INT},
	{"perf_event_max_sample_rate_handler", FORM_INT},
	{"perf_event_max_stack_handler", FORM_INT},
	{"perf_proc_update_handler", FORM_INT},
	{"pid_mfd_noexec_dointvec_minmax", FORM_MEMFD},
	{"pid_ns_ctl_handler", FORM_LAST_PID},
	{"proc_allowed_congestion_control", FORM_ALLOWED},
	{"proc_blackhole_detect_timeout", FORM_INT},
	{"proc_cap_handler", FORM_CAPABILITIES},
	{"proc_configure_early_demux", FORM_INT},
	{"proc_do_cad_pid", FORM_CAD_PID},
	{"proc_do_dev_weight", FORM_INT},
	{"proc_do_large_bitmap", FORM_BITMAP},
	{"proc_do_rointvec", FORM_INT},
	{"proc_do_rss_key", FORM_RECEIVE_KEY},
	{"proc_do_skb_defer_max", FORM_INT},
	{"proc_do_static_key", FORM_KEY},
	{"proc_do_uts_string", FORM_STRING},
	{"proc_do_uuid", FORM_UUID},
	{"proc_dobool", FORM_U8},
	{"proc_dohung_task_detect_count", FORM_HUNG},
	{"proc_dohung_task_timeout_secs", FORM_ULONG},
	{"proc_dointvec", FORM_INT},
	{"proc_dointvec_jiffies", FORM_JIFFIES},
	{"proc_dointvec_jiffies_minmax", FORM_JIFFIES},
	{"proc_dointvec_minmax", FORM_INT},
	{"proc_dointvec_minmax_bpf_enable", FORM_INT},
	{"proc_dointvec_minmax_bpf_restricted", FORM_INT},
	{"proc_dointvec_minmax_bpf_stats", FORM_INT},
	{"proc_dointvec_minmax_coredump", FORM_INT},
	{"proc_dointvec_minmax_pid", FORM_INT},
	{"proc_dointvec_minmax_sysadmin", FORM_INT},
	{"proc_dointvec_minmax_warn_RT_change", FORM_INT},
	{"proc_dointvec_ms_jiffies", FORM_MS_JIFFIES},
	{"proc_dointvec_ms_jiffies_minmax", FORM_MS_JIFFIES},
	{"proc_dointvec_userhz_jiffies", FORM_HZ_JIFFIES},
	{"proc_dolongvec_minmax_bpf_restricted", FORM_ULONG},
	{"proc_dopipe_max_size", FORM_INT},
	{"proc_dostring", FORM_STRING},
	{"proc_dostring_coredump", FORM_STRING},
	{"proc_dou8vec_minmax", FORM_U8},
	{"proc_douintvec", FORM_UINT},
	{"proc_douintvec_minmax", FORM_UINT},
	{"proc_doulongvec_minmax", FORM_ULONG},
	{"proc_doulongvec_ms_jiffies_minmax", FORM_MS_ULONG},
	{"proc_fib_multipath_hash_fields", FORM_INT},
	{"proc_fib_multipath_hash_policy", FORM_INT},
	{"proc_fib_multipath_hash_seed", FORM_MULTIPATH_SEED},
	{"proc_ipc_auto_msgmni", FORM_ZERO},
	{"proc_ipc_dointvec", FORM_INT},
	{"proc_ipc_dointvec_minmax", FORM_INT},
	{"proc_ipc_dointvec_minmax_orphans", FORM_INT},
	{"proc_ipc_doulongvec_minmax", FORM_ULONG},
	{"proc_ipc_sem_dointvec", FORM_INT},
	{"proc_kprobes_optimization_handler", FORM_KPROBES},
	{"proc_mq_dointvec", FORM_INT},
	{"proc_mq_dointvec_minmax", FORM_INT},
	{"proc_nmi_watchdog", FORM_NMI_WATCHDOG},
	{"proc_nr_dentry", FORM_DENTRIES},
	{"proc_nr_files", FORM_FILES},
	{"proc_nr_inodes", FORM_INODES},
	{"proc_rt6_multipath_hash_fields", FORM_INT},
	{"proc_rt6_multipath_hash_policy", FORM_INT},
	{"proc_soft_watchdog", FORM_SOFT_WATCHDOG},
	{"proc_taint", FORM_TAINT},
	{"proc_tcp_available_congestion_control", FORM_AVAILABLE},
	{"proc_tcp_available_ulp", FORM_UPPER},
	{"proc_tcp_congestion_control", FORM_CONGESTION},
	{"proc_tcp_early_demux", FORM_INT},
	{"proc_tcp_ehash_entries", FORM_TCP_CHAINS},
	{"proc_tcp_fastopen_key", FORM_FAST_OPEN},
	{"proc_tfo_blackhole_detect_timeout", FORM_INT},
	{"proc_udp_early_demux", FORM_INT},
	{"proc_udp_hash_entries", FORM_UDP_CHAINS},
	{"proc_unres_qlen", FORM_QUEUE_BYTES},
	{"proc_watchdog", FORM_WATCHDOG},
	{"proc_watchdog_cpumask", FORM_BITMAP},
	{"proc_watchdog_thresh", FORM_INT},
	{"sched_energy_aware_handler", FORM_ENERGY},
	{"sched_proc_update_handler", FORM_INT},
	{"sched_rr_handler", FORM_INT},
	{"sched_rt_handler", FORM_INT},
	{"seccomp_actions_logged_handler", FORM_ACTIONS},
	{"set_default_qdisc", FORM_QDISC},
	{"stack_trace_sysctl", FORM_INT},
	{"sysctl_compaction_handler", FORM_INT},
	{"sysctl_delayacct", FORM_DELAYS},
	{"sysctl_max_threads", FORM_THREADS},
	{"sysctl_min_slab_ratio_sysctl_handler", FORM_INT},
	{"sysctl_min_unmapped_ratio_sysctl_handler", FORM_INT},
	{"sysctl_numa_balancing", FORM_NUMA},
	{"sysctl_panic_print_handler", FORM_ULONG},
	{"sysctl_sched_uclamp_handler", FORM_INT},
	{"sysctl_schedstats", FORM_SCHED_STATS},
	{"sysctl_sys_info_handler", FORM_EVENTS},
	{"sysctl_vm_numa_stat_handler", FORM_INT},
	{"sysrq_sysctl_handler", FORM_SYSRQ},
	{"timer_migration_handler", FORM_INT},
	{"tracepoint_printk_sysctl", FORM_INT},
	{"vmstat_refresh", FORM_NOTHING},
	{"watermark_boost_factor_sysctl_handler", FORM_INT},
	{"watermark_scale_factor_sysctl_handler", FORM_INT},
	{"yama_dointvec_minmax", FORM_INT},
};

struct place {
	uint64_t address;
	enum sysctl_form form;
};

struct sysctl_handlers {
	struct place places[ARRAY_SIZE(handlers_known)];
	size_t n;
};

static int by_address(const void *a, const void *b)
{
	const struct place *left = a, *right = b;

	return (left->address > right->address) - (left->address < right->address);
}

struct error *sysctl_handlers_create(struct guest *guest, struct sysctl_handlers **ret)
{
	_cleanup_(sysctl_handlers_destroy_ptr) struct sysctl_handlers *handlers = calloc(1, sizeof(*handlers));

	if (!handlers)
		return error_no_memory();
	for (size_t i = 0; i < ARRAY_SIZE(handlers_known); i++) {
		struct gva address;

		if (symbols_find(guest->symbols, handlers_known[i].name, &address))
			handlers->places[handlers->n++] = (struct place){address.v, handlers_known[i].form};
	}
	qsort(handlers->places, handlers->n, sizeof(*handlers->places), by_address);
	*ret = take_ptr(handlers);
	return NULL;
}

void sysctl_handlers_destroy(struct sysctl_handlers *handlers)
{
	free(handlers);
}

bool sysctl_handlers_find(const struct sysctl_handlers *handlers, uint64_t address, enum sysctl_form *ret)
{
	const struct place key = {.address = address};
	const struct place *found = bsearch(&key, handlers->places, handlers->n, sizeof(key), by_address);

	if (found)
		*ret = found->form;
	return found;
}
