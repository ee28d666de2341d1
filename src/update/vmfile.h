/* SPDX-License-Identifier: Apache-2.0 */
/* The VM file: what the user says about a VM (INI by GLib's GKeyFile; ouassister-vm(5)). */
#ifndef UPDATE_VMFILE_H
#define UPDATE_VMFILE_H

#include <glib.h>

#include "base/error.h"
#include "hypervisor/hypervisor.h"

/* Everything is owned; paths are absolute; optional strings are NULL where not given. */
struct vm_file {
	char *path;      /* of the file; of a domain that was named without one "libvirt:NAME" or "libvirt:URI#NAME",
			  * of one of Xen's the path of its memory */
	char *name;      /* file name without ".vm": [A-Za-z0-9._-], at most VM_NAME_MAX bytes */
	char *directory; /* that holds it */
	char *driver;    /* "qemu", "libvirt", "xen" */
	char *uri, *domain, *target; /* of a domain: libvirt's connection, its name, the name of its disk or NULL */
	char *uuid;                  /* of the domain */
	bool managed_save;           /* `memory` is libvirt's to keep */
	char *memory, *disk;
	char *format;      /* "qcow2" or "raw" */
	char *disk_reader; /* "userspace" or "kernel": who reads the file systems on it */
	char **command;    /* argv, NULL-terminated */
	char *qmp;
	enum gate_type gate;
	enum channel_type channel;
	char *agent;
	char *ssh, *port, *key;
	char *proxy;        /* for downloads, "http://host:port" */
	char *sources;      /* a sources.list that replaces the guest's own while it is updated */
	char *conffiles;    /* "keep", "new", "ask", or the path of a file of answers */
	char *preseed;      /* answers for debconf */
	char *keep;         /* how long the guest keeps old files, as keep_time_parse() takes it */
	char *sign_key;     /* signs the VM's bundles */
	char *verify_key;   /* file or directory of the keys that its bundles must be signed with */
	char **apt_options; /* "Name::Option=value", NULL-terminated; NULL: none */
};

#define VM_NAME_MAX 64

/*
 * Finds and reads the VM file of `vm`: a path if it holds a '/' or names an existing file, else
 * CONFIG_DIR/VM.vm. "libvirt:NAME" and "libvirt:URI#NAME" need none. What libvirt knows of a domain is asked of it
 * here, each time. So do "xen:NAME" and a file of `xl save`'s, in which the domain's configuration is. Unknown groups
 * and keys, missing keys and bad values are ERROR_USAGE and name the key and the file.
 */
struct error *vm_file_load(const char *config_dir, const char *vm, struct vm_file *ret) _must_check_;
void vm_file_deinit(struct vm_file *file);

/* Whether what struct vm_file.path once was is still there: a domain is not looked for. */
bool vm_file_is_there(const char *path);

/* Where its process answers, for messages: the QMP socket, libvirt's connection, xl's list. Borrowed. */
const char *vm_file_place(const struct vm_file *file);

/*
 * The text of the file that replaces the guest's sources, which the VM file must name. ERROR_USAGE: it cannot be read,
 * is longer than `max` bytes, or names none.
 */
struct error *vm_file_read_sources(const struct vm_file *file, size_t max, char **ret) _must_check_;

/*
 * The hosts that the VM file names, sources and proxy, which may be in a private range: appended to `ret` as strings to
 * be freed, and a NULL after them.
 */
struct error *vm_file_hosts(const struct vm_file *file, GPtrArray *ret) _must_check_;

/* The driver's view of it; borrows from `file` and `log_path`. */
struct vm_settings vm_file_settings(const struct vm_file *file, const char *log_path);

#endif
