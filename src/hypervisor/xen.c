/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domains of Xen, by its own tool xl, in dom0. A domain is known by its UUID, which it keeps when it is saved and
 * restored; its number changes. On a host that is no dom0 nothing runs, and a save file can still be read and updated.
 *
 * A domain is restored paused (`xl restore -p`): its vifs are there then, on their bridge, and not one instruction has
 * been executed. The gate filters the vifs. What goes into the guest goes by ssh; a disk is not plugged.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/process.h"
#include "hypervisor/ops.h"
#include "hypervisor/xen_lists.h"

#define XL_TIMEOUT_MS      60000
#define XL_SAVE_TIMEOUT_MS (3600 * 1000ull) /* gigabytes, to and from a slow disk */
#define VIF_NAME_MAX       32

/* Whether this host is the dom0 of a Xen: it says so itself, whatever tools are installed. */
static bool is_xen_host(void)
{
	_cleanup_(free_ptr) char *text = NULL;
	size_t size;
	struct error *error = io_read_file("/proc/xen/capabilities", 4096, &text, &size);

	error_destroy(error);
	return !error && strstr(text, "control_d") != NULL;
}

/* What the program prints; to be freed. `ret` NULL: nobody wants it. */
static struct error *run_tool(const char *const *argv, uint64_t timeout_ms, char **ret)
{
	const struct process_options options = {.argv = argv};
	struct process_result result = {0};
	struct error *error = process_run(&options, timeout_ms, &result);

	if (!error && result.status != 0)
		error = error_create(ERROR_FAILED, "%s %s failed (%d): %.600s", argv[0], argv[1], result.status,
				     result.errors);
	if (!error && ret)
		*ret = take_ptr(result.output);
	process_result_deinit(&result);
	return error;
}

static struct error *run_xl(const char *const *argv, uint64_t timeout_ms, char **ret)
{
	return error_remedy(run_tool(argv, timeout_ms, ret),
			    "see that Xen's tools work (xl list), and what /var/log/xen says");
}

static struct error *run_xenstore(const char *key, char **ret)
{
	return run_tool((const char *const[]){"xenstore-read", key, NULL}, XL_TIMEOUT_MS, ret);
}

/* The domain's number as xl takes it; "": there is no such domain now. */
struct domain {
	char number[32];
};

static struct error *find(const struct vm *vm, struct domain *ret)
{
	_cleanup_(free_ptr) char *list = NULL;
	long id;
	struct error *error;

	ret->number[0] = '\0';
	if (!is_xen_host())
		return NULL;
	error = run_xl((const char *const[]){"xl", "vm-list", NULL}, XL_TIMEOUT_MS, &list);
	if (error)
		return error_recode(error, ERROR_BUSY);
	id = xen_find_domain(list, vm->settings.uuid);
	if (id >= 0)
		snprintf(ret->number, sizeof(ret->number), "%ld", id);
	return NULL;
}

/* The same; none is ERROR_NOT_FOUND. */
static struct error *require(const struct vm *vm, struct domain *ret)
{
	struct error *error = find(vm, ret);

	if (error || ret->number[0])
		return error;
	return error_remedy(error_create(ERROR_NOT_FOUND, "no domain %s is there now", vm->settings.uuid),
			    is_xen_host() ? "see xl list"
					  : "this host is no dom0 of Xen's: do it on the one that runs it");
}

static struct error *xen_state(struct vm *vm, enum vm_state *ret)
{
	_cleanup_(free_ptr) char *listed = NULL;
	struct domain domain;
	struct error *error = find(vm, &domain);

	if (!error && !domain.number[0])
		*ret = VM_OFF;
	if (error || !domain.number[0])
		return error;
	error = run_xl((const char *const[]){"xl", "list", domain.number, NULL}, XL_TIMEOUT_MS, &listed);
	if (error)
		return error_recode(error, ERROR_BUSY);
	*ret = xen_is_paused(listed) ? VM_PAUSED : VM_RUNNING;
	return NULL;
}

struct error *vm_xen_config(const char *name, char **ret)
{
	struct error *error;

	if (!is_xen_host())
		return error_remedy(error_create(ERROR_NOT_FOUND, "no domain %s runs here: this host is no dom0", name),
				    "do it on the host that runs it");
	error = run_xl((const char *const[]){"xl", "domid", name, NULL}, XL_TIMEOUT_MS, NULL);
	if (error)
		return error_recode(error, ERROR_NOT_FOUND);
	return run_xl((const char *const[]){"xl", "list", "-l", name, NULL}, XL_TIMEOUT_MS, ret);
}

/* ---- Suspend ---- */

/* The file is made here, so that its mode is ours from the first byte on: xl writes into one that is there. */
static struct error *make_partial(const char *memory, const char *partial)
{
	_cleanup_(close_fd) int fd = -1;

	if (access(memory, F_OK) == 0)
		return error_remedy(error_create(ERROR_USAGE, "%s: there is a memory image already", memory),
				    "move it away; it belongs to an older state of the disk");
	/* Left behind by a save that failed; the guest has gone on since. */
	unlink(partial);
	fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? error_system(errno, partial, "cannot create") : NULL;
}

/* From here on the file is all there is of the domain. */
static struct error *make_durable(const char *partial, const char *memory)
{
	_cleanup_(close_fd) int fd = open(partial, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return error_system(errno, partial, "cannot write out");
	if (rename(partial, memory) < 0)
		return error_system(errno, memory, "cannot name the memory image");
	return io_sync_parent(memory);
}

/* A save that fails is undone by xl: the domain goes on. */
static struct error *xen_suspend(struct vm *vm)
{
	_cleanup_(free_ptr) char *partial = string_format("%s.partial", vm->settings.memory);
	struct domain domain = {""};
	struct error *error;

	if (!partial)
		return error_no_memory();
	error = require(vm, &domain);
	if (!error)
		error = make_partial(vm->settings.memory, partial);
	if (error)
		return error;
	error = run_xl((const char *const[]){"xl", "save", domain.number, partial, NULL}, XL_SAVE_TIMEOUT_MS, NULL);
	if (error) {
		unlink(partial);
		return error;
	}
	return error_remedy(make_durable(partial, vm->settings.memory),
			    "the domain is saved in %s; it can be restored from there by xl restore", partial);
}

/* ---- Waking ---- */

static struct error *xen_load(struct vm *vm)
{
	struct domain domain;
	struct error *error = find(vm, &domain);

	if (error)
		return error;
	if (!is_xen_host())
		return error_remedy(
			error_create(ERROR_UNSUPPORTED, "this host is no dom0 of Xen's: nothing can run here"),
			"resume it on the dom0 that has the domain's disk; the file systems with the image and with "
			"the state directory must be the same ones there, not copies");
	if (domain.number[0])
		return error_create(ERROR_BUSY, "the domain is there already, with the number %s", domain.number);
	return run_xl((const char *const[]){"xl", "restore", "-p", vm->settings.memory, NULL}, XL_SAVE_TIMEOUT_MS,
		      NULL);
}

static struct error *xen_boot_paused(struct vm *vm)
{
	return error_remedy(error_create(ERROR_UNSUPPORTED, "a domain of Xen's cannot be booted behind its gate yet"),
			    "boot it by xl create, and update it in its own way");
}

static struct error *xen_resume(struct vm *vm, uint64_t *ret_ns)
{
	struct domain domain = {""};
	struct timespec now;
	struct error *error = require(vm, &domain);

	if (error)
		return error;
	clock_gettime(CLOCK_MONOTONIC, &now);
	error = run_xl((const char *const[]){"xl", "unpause", domain.number, NULL}, XL_TIMEOUT_MS, NULL);
	if (!error)
		*ret_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	return error;
}

static struct error *xen_quit(struct vm *vm)
{
	struct domain domain;
	struct error *error = find(vm, &domain);

	if (error || !domain.number[0])
		return error;
	return run_xl((const char *const[]){"xl", "destroy", domain.number, NULL}, XL_TIMEOUT_MS, NULL);
}

/* ---- Network ---- */

static bool device_exists(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%s", name);
	return access(path, F_OK) == 0;
}

static struct error *add_vif(const char *name, struct nic_list *list)
{
	struct error *error = nic_list_add(list, name, strlen(name));

	if (error)
		return error;
	list->nics[list->n - 1].tap = strdup(name);
	return list->nics[list->n - 1].tap ? nic_list_add_tap(list, name) : error_no_memory();
}

/* A card may be given another device's name by its domain's configuration; xenstore has it then. */
static void ask_name(const struct xen_card *card, char name[VIF_NAME_MAX])
{
	_cleanup_(free_ptr) char *key = string_format("%s/vifname", card->place);
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = key ? run_xenstore(key, &text) : error_no_memory();

	error_destroy(error);
	if (!error)
		snprintf(name, VIF_NAME_MAX, "%.*s", (int)strcspn(text, "\n"), text);
}

/* An emulated card of an HVM domain has a tap beside its vif. */
static struct error *add_card(const char *domain, const char *line, struct nic_list *list)
{
	char name[VIF_NAME_MAX], emulated[VIF_NAME_MAX + 8];
	struct xen_card card;
	struct error *error = xen_read_card(line, &card);

	if (error)
		return error;
	if (card.backend != 0)
		return error_remedy(error_create(ERROR_UNSUPPORTED,
						 "the network card %u is served by the domain %u, not by this one",
						 card.index, card.backend),
				    "it cannot be cut off from here");
	snprintf(name, sizeof(name), "vif%s.%u", domain, card.index);
	if (!device_exists(name))
		ask_name(&card, name);
	if (!device_exists(name))
		return error_create(ERROR_UNSUPPORTED, "the network card %u has no device %s", card.index, name);
	error = add_vif(name, list);
	snprintf(emulated, sizeof(emulated), "%s-emu", name);
	if (!error && device_exists(emulated))
		error = nic_list_add_tap(list, emulated);
	return error;
}

static struct error *xen_network(struct vm *vm, struct nic_list *ret)
{
	_cleanup_(nic_list_deinit) struct nic_list list = {0};
	_cleanup_(free_ptr) char *text = NULL;
	struct domain domain = {""};
	struct error *error = require(vm, &domain);

	if (!error)
		error = run_xl((const char *const[]){"xl", "network-list", domain.number, NULL}, XL_TIMEOUT_MS, &text);
	if (error)
		return error;
	for (const char *line = text; !error && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		/* The heading is there only where there is a card. */
		if (strncmp(line, "Idx", 3) != 0 && *line != '\n')
			error = add_card(domain.number, line, &list);
	}
	if (error)
		return error;
	*ret = list;
	list = (struct nic_list){0};
	return NULL;
}

/* All cards have a device that is filtered. */
static struct error *xen_set_link(struct vm *vm, const char *nic, bool up)
{
	return error_create(ERROR_UNSUPPORTED, "the link of %s cannot be set", nic);
}

/* ---- What is not plugged ---- */

static struct error *xen_disk_attach(struct vm *vm, const char *path, unsigned *place)
{
	*place = PLACE_NONE;
	return error_create(ERROR_UNSUPPORTED, "no disk is plugged into a domain of Xen's");
}

static struct error *xen_port_attach(struct vm *vm, const char *path)
{
	return error_create(ERROR_UNSUPPORTED, "a domain of Xen's has no virtio-serial port");
}

static struct error *nothing_to_do(struct vm *vm)
{
	return NULL;
}

const struct hypervisor_ops hypervisor_xen = {
	.name = "xen",
	.state = xen_state,
	.suspend = xen_suspend,
	.load = xen_load,
	.boot_paused = xen_boot_paused,
	.resume = xen_resume,
	.quit = xen_quit,
	.network = xen_network,
	.set_link = xen_set_link,
	.disk_attach = xen_disk_attach,
	.disk_detach = nothing_to_do,
	.port_attach = xen_port_attach,
	.port_detach = nothing_to_do,
};
