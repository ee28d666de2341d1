/* SPDX-License-Identifier: Apache-2.0 */
#include "hypervisor/libvirt_api.h"

#include <dlfcn.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"

/* Of the same major number as the headers: what they declare cannot change without another one. */
#define LIBRARY      "libvirt.so.0"
#define LIBRARY_QEMU "libvirt-qemu.so.0"

/* By default libvirt writes its errors to standard error. */
static void be_silent(void *data, virErrorPtr error)
{
}

static struct error *missing(const char *what)
{
	return error_remedy(error_create(ERROR_UNSUPPORTED, "libvirt's library cannot be used: %s", what),
			    "install it: apt-get install libvirt0");
}

static struct error *load_functions(struct libvirt_api *api)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	void *library_qemu = library ? dlopen(LIBRARY_QEMU, RTLD_NOW | RTLD_LOCAL) : NULL;

	if (!library_qemu)
		return missing(dlerror());
		/* Its threads and handlers do not survive being unloaded: it stays. */
#define LIBVIRT_FIND(name)                                                                                             \
	api->name = (__typeof__(name) *)dlsym(library, #name);                                                         \
	if (!api->name)                                                                                                \
		return missing("it has no " #name);
	LIBVIRT_FUNCTIONS(LIBVIRT_FIND)
#undef LIBVIRT_FIND
	api->virDomainQemuAgentCommand =
		(__typeof__(virDomainQemuAgentCommand) *)dlsym(library_qemu, "virDomainQemuAgentCommand");
	if (!api->virDomainQemuAgentCommand)
		return missing("it has no virDomainQemuAgentCommand");
	api->virSetErrorFunc(NULL, be_silent);
	return NULL;
}

struct error *libvirt_load(const struct libvirt_api **ret)
{
	static struct libvirt_api api;
	static bool loaded;
	struct error *error = loaded ? NULL : load_functions(&api);

	if (error)
		return error;
	loaded = true;
	*ret = &api;
	return NULL;
}

static enum error_code code_of(int code)
{
	switch (code) {
	case VIR_ERR_NO_MEMORY:
		return ERROR_NO_MEMORY;
	case VIR_ERR_NO_DOMAIN:
	case VIR_ERR_NO_STORAGE_POOL:
	case VIR_ERR_NO_STORAGE_VOL:
		return ERROR_NOT_FOUND;
	case VIR_ERR_OPERATION_TIMEOUT:
		return ERROR_TIMEOUT;
	case VIR_ERR_AGENT_UNRESPONSIVE:
	case VIR_ERR_AGENT_UNSYNCED:
	case VIR_ERR_RESOURCE_BUSY:
		return ERROR_BUSY;
	default:
		return ERROR_FAILED;
	}
}

struct error *libvirt_error(const struct libvirt_api *api, const char *what)
{
	virErrorPtr error = api->virGetLastError();

	if (!error || !error->message)
		return error_create(ERROR_FAILED, "libvirt cannot %s, and does not say why", what);
	return error_create(code_of(error->code), "libvirt cannot %s: %s", what, error->message);
}

/* "qemu:///system", "qemu:///session", "qemu+unix:///system?socket=…": no other host, and no other hypervisor. */
static struct error *check_uri(const char *uri)
{
	const char *path = strstr(uri, "://");

	if (strncmp(uri, "qemu:", 5) != 0 && strncmp(uri, "qemu+", 5) != 0)
		return error_remedy(error_create(ERROR_UNSUPPORTED, "%s: not a connection to libvirt's QEMU", uri),
				    "known are qemu:///system and qemu:///session");
	if (path && path[3] == '/' && (uri[4] == ':' || strncmp(uri, "qemu+unix:", 10) == 0))
		return NULL;
	return error_remedy(error_create(ERROR_UNSUPPORTED,
					 "%s: that libvirt is on another host, where the domain's disk and memory are",
					 uri),
			    "run ouassister there, with qemu:///system");
}

struct error *libvirt_connect(const char *uri, struct libvirt *ret)
{
	struct libvirt libvirt = {};
	struct error *error = check_uri(uri);

	if (!error)
		error = libvirt_load(&libvirt.api);
	if (error)
		return error;
	libvirt.connection = libvirt.api->virConnectOpen(uri);
	if (!libvirt.connection)
		return error_remedy(error_recode(libvirt_error(libvirt.api, "be reached"), ERROR_FAILED),
				    "see that libvirtd runs, and who may use it: virsh -c %s list --all", uri);
	*ret = libvirt;
	return NULL;
}

void libvirt_close(struct libvirt *libvirt)
{
	if (libvirt->domain)
		libvirt->api->virDomainFree(libvirt->domain);
	if (libvirt->connection)
		libvirt->api->virConnectClose(libvirt->connection);
	libvirt->domain = NULL;
	libvirt->connection = NULL;
}

static struct error *open_anew(struct vm *vm)
{
	struct libvirt *libvirt = vm->libvirt;
	bool booted = libvirt->booted;
	struct error *error;

	libvirt_close(libvirt);
	error = libvirt_connect(vm->settings.uri, libvirt);
	libvirt->booted = booted;
	return error;
}

struct error *libvirt_of(struct vm *vm, struct libvirt **ret)
{
	struct libvirt *libvirt;
	struct error *error = NULL;

	if (!vm->libvirt)
		vm->libvirt = calloc(1, sizeof(*vm->libvirt));
	libvirt = vm->libvirt;
	if (!libvirt)
		return error_no_memory();
	if (!libvirt->connection || libvirt->api->virConnectIsAlive(libvirt->connection) != 1)
		error = open_anew(vm);
	if (error)
		return error;
	/* It may have been defined meanwhile, or by the load of a save file. */
	if (!libvirt->domain)
		libvirt->domain = libvirt->api->virDomainLookupByUUIDString(libvirt->connection, vm->settings.uuid);
	if (!libvirt->domain)
		return libvirt_error(libvirt->api, "find the domain");
	*ret = libvirt;
	return NULL;
}

struct error *libvirt_of_active(struct vm *vm, struct libvirt **ret)
{
	struct libvirt *libvirt;
	struct error *error = libvirt_of(vm, &libvirt);
	int active = error ? 0 : libvirt->api->virDomainIsActive(libvirt->domain);

	if (!error && active < 0)
		error = libvirt_error(libvirt->api, "say whether the domain runs");
	if (!error && !active)
		error = error_create(ERROR_NOT_FOUND, "the domain does not run");
	if (error)
		return error;
	*ret = libvirt;
	return NULL;
}
