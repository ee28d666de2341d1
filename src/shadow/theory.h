/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The theory of the VM Shadow: which process does what, in which stage, and what it may and must
 * not do. No code; doc/security.md has the threat model.
 *
 *	ouassister ──(control, output, input, records: sockets and pipes)
 *	  ├── slirp4netns          only in a run with a network; sandboxes itself
 *	  └── warden               pid 1 of the outer pid namespace
 *	        ├── manager        answers as the guest's service manager
 *	        ├── server         answers what is read in /proc; only with a memory image
 *	        ├── holder         has the guest's process numbers, so that nobody else gets them; only where needed
 *	        └── init           pid 1 of the guest's pid namespace
 *	              └── program  and whatever it starts
 *
 * 1. shadow_create(), as the host's root, in the caller's mount namespace (which is private to it). Makes the user
 *    namespaces, the idmapped views, the overlays, the loop device of the disk. Reads nothing of what is in the
 *    tree: names in it are resolved with openat2 beneath its root, never through a symlink.
 *
 * 2. The warden, host's root at first: closes what it does not need, enters the shadow's control group (which
 *    everything below inherits and cannot leave), makes its own mount and network namespace (or enters the one of
 *    network.c), forks the manager, the server and init, and then keeps no privilege and no descriptor but its control
 *socket. It must not touch the guest's tree. The guest can neither see nor signal it. The kernel kills it when
 *    ouassister dies, and with it, as pid 1, everything below.
 *
 * 3. Init before its exec, host's root in the guest's pid namespace: builds the tree by the table in setup.c,
 *    changes the root; then, in this order, resource limits, session, user namespace, id 0 of it, capability
 *    bounding set, descriptors, system call filters. From the user namespace on it owns nothing of the host; the
 *    mount, network, UTS and IPC namespaces belong to the initial user namespace, so that the guest's root has no
 *    right over them even where a filter failed.
 *
 * 4. Init after its exec: a static program from a sealed memory file (init/init.c) behind the filters, with the
 *    guest's rights and nothing in its memory but its arguments. It must be assumed to be in the guest's hand.
 *
 * 5. The manager: starts with the warden's rights, waits for the change of root, then keeps the listening socket,
 *    the record socket and init's command socket; an id that owns nothing, no capability, no new programs, no new
 *    sockets, bounded memory. It parses what the guest sends (sd-bus). What it sends us is a fixed structure that
 *    is checked again; the number of actions is bounded. A manager in the guest's hand can lie about what was
 *    asked for, which the guest can do anyway.
 *
 * 6. The server of /proc (sandbox_proc.c, proc/server.c): has the memory image, read-only, which it reads as we do,
 *    and a real procfs of the guest's pid namespace. An empty root, id 0 of the guest's user namespace with
 *    CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH there and nowhere else, no new programs, no new sockets, bounded memory
 *    and descriptors. The guest can neither see nor signal it; what it is asked comes from the kernel (FUSE). In the
 *    guest's hand it could read what the guest's root may read, and lie about it. The run ends with it.
 *
 * 7. ouassister while a program runs (run.c): relays bytes, answers system calls (answer.c), writes down records.
 *    It interprets nothing the guest says but those fixed structures.
 *
 * 8. The end: the program's exit ends init after a short grace for orphans, init's end kills the rest of the pid
 *    namespace, the warden reports and ends; we kill the warden in any case and read what is left in the pipes.
 */
#ifndef SHADOW_THEORY_H
#define SHADOW_THEORY_H
#endif
