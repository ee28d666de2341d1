/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driving a virtual machine: its state, suspend, resume with the gate closed, a channel into the
 * guest, and the gate itself. One driver per hypervisor behind struct hypervisor_ops
 * (hypervisor/ops.h); "no channel" and "no gate" are backends too.
 */
#ifndef HYPERVISOR_HYPERVISOR_H
#define HYPERVISOR_HYPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum channel_type {
	CHANNEL_NONE,
	CHANNEL_AGENT, /* the QEMU guest agent on a virtio-serial port */
	CHANNEL_SSH,
};

enum gate_type {
	GATE_AUTO, /* a filter on the host's tap where there is one, else the link */
	GATE_NONE, /* the user says the network needs no gate, or tests say so */
};

/* What a driver needs to know of a VM; all borrowed, all paths absolute. */
struct vm_settings {
	const char *name;      /* for messages, log files and filter tables: [A-Za-z0-9._-] */
	const char *directory; /* working directory for the command */
	const char *memory;    /* saved memory image */
	const char *disk;      /* the image the process must hold open; NULL: not checked */
	const char *disk_format;
	const char *const *command; /* argv that starts it, without -incoming */
	const char *qmp;            /* QMP socket that command creates */
	const char *uri, *uuid;     /* which domain, of drivers that have such, and libvirt's connection; else NULL */
	bool managed_save;          /* `memory` is that domain's managed save image, which libvirt looks after */
	enum channel_type channel;
	const char *agent;                           /* agent socket that command creates */
	const char *ssh_target, *ssh_port, *ssh_key; /* user@host; port and key may be NULL */
	enum gate_type gate;
	const char *log_path; /* the hypervisor's own output is appended here */
};

enum vm_state {
	VM_OFF,    /* no process */
	VM_PAUSED, /* a process, the guest does not run (also: loading, migrated out) */
	VM_RUNNING,
};

struct vm;

/* Makes a handle; starts nothing. */
struct error *vm_create(const char *driver, const struct vm_settings *settings, struct vm **ret) _must_check_;
void vm_destroy(struct vm *vm);
DEFINE_CLEANUP(struct vm *, vm_destroy)

struct error *vm_state(struct vm *vm, enum vm_state *ret) _must_check_;

/* Asks the channel to flush the guest's file systems; without a channel, or a silent one, does nothing but say so. */
struct error *vm_sync(struct vm *vm, bool *ret_synced) _must_check_;

/* Stops the guest and saves its memory to settings.memory, durably, then ends the process. A failure lets it run on. */
struct error *vm_suspend(struct vm *vm) _must_check_;

/* Starts the process with the memory image loaded and the guest not running. The process outlives us. */
struct error *vm_load(struct vm *vm) _must_check_;
/* Starts it cold, the guest not running yet. */
struct error *vm_boot_paused(struct vm *vm) _must_check_;
/* The image is of no use any more, for anybody: before the first instruction. Durable; one that is gone is success. */
struct error *vm_spend(struct vm *vm) _must_check_;
/* The first instruction. *ret_ns: CLOCK_MONOTONIC of the host at that moment. */
struct error *vm_continue(struct vm *vm, uint64_t *ret_ns) _must_check_;
/* Ends the process without asking the guest; only for one that never ran. */
struct error *vm_quit(struct vm *vm) _must_check_;

/*
 * What `xl list -l NAME` prints of a domain of Xen's on this host: JSON, to be freed. ERROR_NOT_FOUND: there is no such
 * domain, or this host is no dom0.
 */
struct error *vm_xen_config(const char *name, char **ret) _must_check_;

/* --- the gate: the external network. Needs a process; idempotent. --- */
struct gate_status {
	bool closed;
	char *how; /* "nftables on tap0", "link of net0 down", "none"; owned */
};
struct error *vm_gate_close(struct vm *vm) _must_check_;
struct error *vm_gate_open(struct vm *vm) _must_check_;
struct error *vm_gate_show(struct vm *vm, struct gate_status *ret) _must_check_;

/* --- the channel into the guest --- */

/* Waits until the channel answers (guest-sync-delimited, or ssh true); ERROR_TIMEOUT names the channel. */
struct error *vm_channel_wait(struct vm *vm, uint64_t timeout_ms) _must_check_;

/* Puts a file into the guest, 0700, replacing one that is there. At most 4 MiB. */
struct error *vm_channel_put(struct vm *vm, const void *data, size_t size, const char *guest_path) _must_check_;

/* Bytes per second of the last put, with the time it takes to begin and to end; 0 before it. */
uint64_t vm_channel_speed(const struct vm *vm);

struct channel_result {
	int status;   /* exit status, 128 + signal */
	char *output; /* standard output, at most 16 MiB, NUL-terminated; owned */
	char *errors; /* standard error, likewise */
};
/* Runs a program in the guest to its end. `stdin_fd` >= 0 is streamed to it (ssh only; with the agent: at most 16 MiB).
 */
struct error *vm_channel_run(struct vm *vm, const char *const *argv, int stdin_fd, uint64_t timeout_ms,
			     struct channel_result *ret) _must_check_;
void channel_result_deinit(struct channel_result *result);

/*
 * --- a stream into the guest: a program and its input, through a port of the virtio-serial controller that the guest
 * has for its agent. The hypervisor reads it from a file, so that it goes on without us. vm_payload_detach() takes the
 * port away. ---
 */

/* Writes the file, in place of one that is there: the program, and behind it what `input_path` has (NULL: nothing). */
struct error *vm_stream_write(const char *path, const void *program, size_t size, const char *input_path) _must_check_;
/*
 * Plugs the stream; its program has `program_size` bytes. The file is of no use any more then. ERROR_UNSUPPORTED: this
 * VM has no place for one, or somebody in the guest may still read an earlier one.
 */
struct error *vm_stream_plug(struct vm *vm, const char *path, size_t program_size) _must_check_;
/* Whether there is one that nobody has read from yet. */
bool vm_stream_is_plugged(const struct vm *vm);
/*
 * In one call: the program becomes argv[0] in the guest as by vm_channel_put(), and is run to its end, with what is
 * behind it as its standard input. With argv[1] NULL it is put and not run. ERROR_UNSUPPORTED: nothing was run, or it
 * ended with 121 and without output, as it may to say that this way is none; the stream is gone.
 */
struct error *vm_stream_run(struct vm *vm, const char *const *argv, uint64_t timeout_ms, struct channel_result *ret)
	_must_check_;

/* --- domains of libvirt's --- */

/* What a VM file would say of a domain; everything is owned. */
struct vm_domain {
	char *name, *uuid;
	char *memory; /* where its managed save image is, or would be; or what was given */
	bool managed; /* the former */
	char *disk, *format;
	bool has_agent; /* it has a channel for the guest agent */
};

/*
 * Asks the libvirt of this host at `uri` for the domain of that name or UUID: as it was saved, if it sleeps; as it
 * runs; or as it is defined. `memory`: a file of `virsh save`'s, NULL: its managed save. `disk_target`: which disk
 * holds the system ("vda"), NULL: the one it boots from. ERROR_USAGE: there is no such domain; ERROR_UNSUPPORTED: it
 * has what cannot be updated or cut off, or libvirt is on another host, or this program was built without it.
 */
struct error *vm_domain_read(const char *uri, const char *name, const char *memory, const char *disk_target,
			     struct vm_domain *ret) _must_check_;
void vm_domain_deinit(struct vm_domain *domain);

enum payload_way {
	PAYLOAD_DISK,  /* a hot-plugged read-only disk: give the helper its device path */
	PAYLOAD_STDIN, /* vm_channel_run() with stdin_fd */
	PAYLOAD_FILE,  /* to be written into the guest by vm_payload_write() */
};
struct payload_place {
	enum payload_way way;
	char *guest_path; /* DISK: device node; FILE: the file; STDIN: NULL; owned */
};
/*
 * Plugs the disk that vm_payload_attach() of the same path will look for, if there is a place: a guest that runs
 * already takes its time to see one, in which it can do other things. A failure is left to vm_payload_attach().
 */
void vm_payload_plug(struct vm *vm, const char *payload_path);
/* Makes the payload reachable by the guest, the best way this VM has. */
struct error *vm_payload_attach(struct vm *vm, const char *payload_path, struct payload_place *ret) _must_check_;
/* For the way PAYLOAD_FILE: what `fd` gives until its end becomes the place's file in the guest. `name` is for errors.
 */
struct error *vm_payload_write(struct vm *vm, int fd, const char *name, const struct payload_place *place) _must_check_;
/* Takes it away again (waits for DEVICE_DELETED), and the port of a stream; harmless if nothing is attached. */
struct error *vm_payload_detach(struct vm *vm) _must_check_;

#endif
