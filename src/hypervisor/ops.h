/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hypervisor driver, a channel and a gate are made of; private to the room.
 *
 * Checklist: adding a driver "foo"
 *  1. foo.c defines `const struct hypervisor_ops hypervisor_foo`; its name is the VM file's
 *     `driver =`. Every function below is needed; one that has nothing to do says so by its result.
 *  2. Name it below and in the table of hypervisor.c; add the file to meson.build.
 *  3. What it needs to know of a VM goes into struct vm_settings, and into the VM file's parser.
 *  4. state() must tell VM_OFF from "does not answer" (ERROR_BUSY, ERROR_TIMEOUT), and never hang.
 *  5. suspend() is all or nothing: a durable complete image and no process, or the guest runs on.
 *  6. load() ends with the image loaded and not one instruction executed: the gate closes then.
 *  7. network() names the host's device behind each card where there is one ("tap0", "vif3.0"):
 *     those are filtered by gate_nft.c, the others have their link taken down by set_link().
 *     A card it cannot see is an error, not a silence: the gate would not be closed.
 *  8. tests/unit/hypervisor runs it for real; doc/gate.md says what its gate covers.
 */
#ifndef HYPERVISOR_OPS_H
#define HYPERVISOR_OPS_H

#include <limits.h>
#include <sys/types.h>

#include "hypervisor/hypervisor.h"

/* A virtual network card that is connected to something. */
struct nic {
	char *name; /* as set_link() takes it; owned */
	char *tap;  /* the host's device behind it, in our network namespace; NULL if there is none; owned */
	bool down;  /* its link has been taken down by set_link() */
};

struct nic_list {
	struct nic *nics; /* owned */
	size_t n;
	/* Every tap the process holds, each once: may be more than the cards name. Owned. */
	char **taps;
	size_t n_taps;
};
void nic_list_deinit(struct nic_list *list);
struct error *nic_list_add(struct nic_list *list, const char *name, size_t name_size) _must_check_;
/* Adds the tap unless it is there. */
struct error *nic_list_add_tap(struct nic_list *list, const char *tap) _must_check_;

struct hypervisor_ops {
	const char *name;
	struct error *(*state)(struct vm *vm, enum vm_state *ret);
	struct error *(*suspend)(struct vm *vm);
	struct error *(*load)(struct vm *vm);
	struct error *(*boot_paused)(struct vm *vm);
	struct error *(*resume)(struct vm *vm, uint64_t *ret_ns);
	struct error *(*quit)(struct vm *vm);

	/* The cards and what is behind them; ERROR_NOT_FOUND without a process. */
	struct error *(*network)(struct vm *vm, struct nic_list *ret);
	/* Cuts or joins a card; what it was set to can be read back from network(). */
	struct error *(*set_link)(struct vm *vm, const char *nic, bool up);

	/*
	 * Hot-plugs the file as a read-only disk, whose serial is PAYLOAD_SERIAL where a place has one. A machine may
	 * have several places; *place is the first that is tried (0: the best), and then the one that took it. Whether
	 * the guest sees it there only the guest can say; the next place is *place + 1. ERROR_UNSUPPORTED, and
	 * *place is PLACE_NONE: there is none from *place on. An older disk is taken away first.
	 */
	struct error *(*disk_attach)(struct vm *vm, const char *path, unsigned *place);
	/* Harmless if there is none. */
	struct error *(*disk_detach)(struct vm *vm);

	/*
	 * Plugs a port of the guest's virtio-serial controller, named PORT_NAME, out of which comes what the file has,
	 * once. The file may be removed then. ERROR_UNSUPPORTED: there is no controller, or an older port of ours.
	 */
	struct error *(*port_attach)(struct vm *vm, const char *path);
	/* Harmless if there is none. */
	struct error *(*port_detach)(struct vm *vm);

	/*
	 * Of a VM that is loaded and has not run: its memory image is never found again by who looks for one to load,
	 * durably. One that is gone already is success. NULL: settings.memory is a file of the user's, which is
	 * renamed.
	 */
	struct error *(*spend)(struct vm *vm);

	/*
	 * Sends a command to the guest's agent, where the hypervisor holds the connection to it; NULL: settings.agent
	 * is a socket for us. *ret_answer: the answer's text; or *ret_refusal: why the agent refuses. ERROR_NOT_FOUND:
	 * the VM does not run; ERROR_TIMEOUT: no answer in all that time; ERROR_BUSY: nobody listens in the guest now.
	 */
	struct error *(*agent)(struct vm *vm, const char *command, uint64_t timeout_ms, char **ret_answer,
			       char **ret_refusal);

	/* Before the VM's handle goes: what the driver keeps in it. NULL: nothing. */
	void (*release)(struct vm *vm);
};

/* payload.c: as vm_payload_attach(), by places from *place on and nothing else; here for the tests. */
struct error *payload_plug(struct vm *vm, const char *path, unsigned *place, struct payload_place *ret) _must_check_;

#define PLACE_NONE     UINT_MAX
#define PAYLOAD_SERIAL "ouassister" /* virtio-blk keeps 20 characters */
#define PORT_NAME      "ouassister"

struct channel_ops {
	const char *name;
	struct error *(*wait)(struct vm *vm, uint64_t timeout_ms);
	/* The file of `fd` from its position to its end becomes guest_path, 0700. */
	struct error *(*put)(struct vm *vm, int fd, const char *path, const char *guest_path);
	struct error *(*run)(struct vm *vm, const char *const *argv, int stdin_fd, uint64_t timeout_ms,
			     struct channel_result *ret);
	void (*close)(struct vm *vm);
	enum payload_way fallback; /* how the payload travels where no disk can be plugged */
};

struct qga;
struct libvirt;

struct vm {
	const struct hypervisor_ops *hypervisor;
	const struct channel_ops *channel;
	struct vm_settings settings; /* borrowed strings */
	pid_t child;                 /* the process we started, which may have made QEMU and ended; 0: none */
	struct qga *agent;           /* open connection, or NULL */
	struct libvirt *libvirt;     /* of that driver: its connection, or NULL */
	bool payload_file;           /* ... has written a file */
	bool payload_plugged;        /* vm_payload_plug() has plugged a disk that nobody has looked for yet ... */
	unsigned payload_plug;       /* ... at this of the hypervisor's places */
	uint64_t stream_blocks; /* of the program in the stream that is plugged and not read yet; 0: there is none */
	uint64_t channel_speed; /* bytes per second of the last put; 0: none yet */
	pid_t ssh_master;       /* ssh that keeps a connection open for others; 0: not tried; -1: there can be none */
	char *ssh_socket;       /* where they reach it; owned; NULL: there is none */
	bool guest_has_aes;     /* its processor computes AES; known after the channel has answered (ssh) */
};

extern const struct hypervisor_ops hypervisor_qemu;
extern const struct hypervisor_ops hypervisor_libvirt; /* where it was built */
extern const struct hypervisor_ops hypervisor_xen;

extern const struct channel_ops channel_none;
extern const struct channel_ops channel_agent;
extern const struct channel_ops channel_ssh;

/* What an output of a guest's program may hold. */
#define CHANNEL_OUTPUT_MAX (16u << 20)

#endif
