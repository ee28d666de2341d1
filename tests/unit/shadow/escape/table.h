/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The escape suite as data: what is tried, and what holds it. Without all of `defences` the attempt succeeds; each of
 * them alone is meant to hold it. Names of defences are those of shadow/weaken.h: a system call that is refused, or a
 * part of the sandbox. doc/security.md explains them.
 */
#ifndef TESTS_ESCAPE_TABLE_H
#define TESTS_ESCAPE_TABLE_H

#define ESCAPE_DEFENCES_MAX 12

/* How it is known that an attempt worked. */
enum escape_sign {
	SIGN_STATUS,  /* the attempt saw it itself */
	SIGN_NAME,    /* the host has another name */
	SIGN_SETTING, /* a system setting of the host has another value */
	SIGN_SETUID,  /* an ordinary user of the host becomes root by the file that was made */
	SIGN_WATCHES, /* the host's root cannot watch files meanwhile */
	SIGN_STARTED, /* the program runs at all, in a tree that must be refused */
	SIGN_NODE,    /* the host has a device node more */
	SIGN_SLOW,    /* the run does not end in time, or fails */
	SIGN_AGAIN,   /* a second run of the same shadow finds the secret */
};

struct escape {
	const char *name;
	const char *defences[ESCAPE_DEFENCES_MAX + 1];
	enum escape_sign sign;
	const char *root; /* another guest's root; NULL: the ordinary one */
	const char *held; /* NULL, or what holds it that cannot be left out: the kernel itself; never seen to succeed */
	bool network;     /* the run has a network */
	bool memory;      /* makes no sense without a guest's memory */
	bool answered; /* with a guest's memory by the shadow, as that guest's kernel would: not told apart by errno */
	bool once;     /* what it takes is used up when it succeeds */
	bool feature;  /* not every kernel can do it: tried on the host itself first */
};

/* Who is root of the host may do nearly anything; the guest's root is not, for three reasons. */
#define RIGHTS "user namespace", "capabilities"

static const struct escape escapes[] = {
	/* mounts */
	{"mount-new", {"mount", RIGHTS}},
	{"mount-bind", {"mount", RIGHTS}},
	{"mount-writable", {"mount", RIGHTS}},
	{"mount-shared", {"mount", RIGHTS}},
	{"unmask", {"umount2", RIGHTS}},
	{"pivot-root", {"pivot_root", RIGHTS}},
	{"mount-api", {"fsopen", "fsconfig", "fsmount", "move_mount", RIGHTS}},
	{"mount-clone", {"open_tree", RIGHTS}},
	{"mount-attributes", {"mount_setattr", RIGHTS}},
	{"mount-inherited", {"move_mount", "descriptors", RIGHTS}, .once = true},
	{"cgroup-leave", {"mount", "cgroup namespace", RIGHTS}},
	/* devices */
	{"node-disk", {"arguments", "mknod", "mknodat", "nodev", RIGHTS}},
	{"node-log", {"arguments", "mknod", "mknodat", "nodev", RIGHTS}},
	{"node-loop", {"arguments", "mknod", "mknodat", "nodev", RIGHTS}},
	{"node-link", {"caller's root", "harmless mounts"}, SIGN_NODE},
	{"node-race", {"caller's root", "harmless mounts"}, SIGN_NODE},
	{"disk-write", {"read-only disk"}},
	{"disk-release", {"arguments"}},
	/* files of the host */
	{"working-directory", {"root"}},
	{"chroot-twice", {"root"}},
	{"inherited-file", {"descriptors"}},
	{"inherited-directory", {"descriptors"}},
	{"open-descriptors", {"descriptors"}},
	{"passed-file", {"descriptors"}},
	{"manager-keeps", .held = "libsystemd closes what it did not agree to take"},
	{"own-binary", {"descriptors", "seals"}},
	{"handle", {"open_by_handle_at", "descriptors", RIGHTS}},
	{"setuid-file", {"ids", "nosuid store"}, SIGN_SETUID},
	{"trusted-xattr", {RIGHTS}},
	{"terminal-input", {"arguments", "descriptors", RIGHTS}},
	{"links", {"no links"}, SIGN_STARTED, .root = "links-run"},
	{"links-proc", {"no links"}, SIGN_STARTED, .root = "links-proc"},
	{"links-dev", {"no links"}, SIGN_STARTED, .root = "links-dev"},
	{"links-sys", {"no links"}, SIGN_STARTED, .root = "links-sys"},
	{"links-swapped", .sign = SIGN_AGAIN, .root = "root", .held = "a mount point cannot be renamed"},
	/* what /proc opens */
	{"sysrq", {"masks", "user namespace"}, .feature = true},
	{"system-setting", {"masks", "user namespace"}, SIGN_SETTING},
	{"kernel-memory", {"masks", RIGHTS}, .feature = true},
	{"proc-root", {"pid namespaces", RIGHTS}},
	{"proc-cwd", {"pid namespaces", RIGHTS}},
	{"proc-memory", {"pid namespaces", RIGHTS}},
	{"proc-environment", {"pid namespaces", RIGHTS}},
	/* processes of the host */
	{"kill", {"pid namespaces", "user namespace"}},
	{"pidfd-kill", {"pid namespaces", "user namespace"}},
	{"pidfd-file", {"pidfd_getfd", "pid namespaces", RIGHTS}},
	{"trace", {"ptrace", "pid namespaces", RIGHTS}},
	{"memory-read", {"process_vm_readv", "pid namespaces", RIGHTS}},
	{"memory-write", {"process_vm_writev", "pid namespaces", RIGHTS}},
	{"limit-process", {"pid namespaces", RIGHTS}},
	/* namespaces */
	{"enter-mounts", {"setns", "pid namespaces", RIGHTS}},
	{"enter-network", {"setns", "pid namespaces", RIGHTS}},
	{"unshare-user", {"arguments"}},
	{"unshare-mounts", {"arguments", RIGHTS}},
	{"unshare-network", {"arguments", RIGHTS}},
	{"clone-user", {"arguments"}},
	{"clone3-user", {"clone3"}},
	/* the kernel and what is the whole host's */
	{"key-read", {"keyctl", "user namespace"}, .feature = true},
	{"key-add", {"add_key", "user namespace"}, .feature = true},
	{"key-request", {"request_key", "user namespace"}, .feature = true},
	{"bpf", {"bpf", RIGHTS}, .feature = true},
	{"perf", {"perf_event_open", RIGHTS}, .feature = true},
	{"page-faults", {"userfaultfd"}, .feature = true},
	{"io-uring", {"io_uring_setup"}, .feature = true},
	{"aio", {"io_setup"}, .feature = true},
	{"load-module", {"init_module", RIGHTS}, .feature = true, .answered = true},
	{"unload-module", {"delete_module", RIGHTS}, .feature = true, .answered = true},
	{"load-kernel", {"kexec_load", RIGHTS}, .feature = true},
	{"kernel-log", {"syslog", RIGHTS}, .feature = true},
	{"accounting", {"acct", RIGHTS}, .feature = true},
	{"swap-on", {"swapon", RIGHTS}, .feature = true},
	{"reboot", {"reboot", RIGHTS}, .feature = true},
	{"io-ports", {"iopl", RIGHTS}, .feature = true},
	{"set-clock", {"clock_settime", RIGHTS}},
	{"adjust-clock", {RIGHTS}},
	{"set-name", {"sethostname", "uts namespace", RIGHTS}, SIGN_NAME},
	{"shared-memory", {"ipc namespace"}},
	{"message-queue", {"ipc namespace"}, .feature = true},
	/* the network */
	{"host-loopback", {"network namespace"}},
	{"abstract-socket", {"network namespace"}},
	{"host-gateway", {"packet filter", "no host loopback"}, .network = true},
	{"host-address", {"packet filter"}, .network = true},
	{"packet-socket", {"arguments", RIGHTS}, .feature = true},
	{"raw-socket", {RIGHTS}},
	{"vm-socket", {"arguments"}, .feature = true},
	{"crypto-socket", {"arguments"}, .feature = true},
	{"device-events", {"arguments"}, .feature = true},
	{"audit", {"arguments"}, .feature = true},
	{"packet-filter", {"arguments"}, .feature = true},
	{"change-interface", {RIGHTS}},
	/* using up what the host has */
	{"processes", {"control group", "resource limits"}},
	{"memory", {"control group"}},
	{"disk", {"store"}},
	{"sparse-file", {"resource limits", "store"}},
	{"flood-answers", .sign = SIGN_SLOW, .held = "the end of init ends its pid namespace"},
	{"flood-proc", .sign = SIGN_SLOW, .memory = true, .held = "the end of init ends its pid namespace"},
	{"watches", {"owner"}, SIGN_WATCHES},
	{"huge-pages", {"arguments"}, .feature = true},
};

#endif
