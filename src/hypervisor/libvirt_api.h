/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's C API, loaded when a domain is first asked for: who has no libvirt needs none, and who has it does not wait
 * for its thirty libraries in a call that is not about a domain. Private to the driver's parts.
 */
#ifndef HYPERVISOR_LIBVIRT_API_H
#define HYPERVISOR_LIBVIRT_API_H

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <libxml/tree.h>
#include <libxml/xpath.h>

#include "hypervisor/ops.h"

#define LIBVIRT_FUNCTIONS(F)                                                                                           \
	F(virConnectClose)                                                                                             \
	F(virConnectIsAlive)                                                                                           \
	F(virConnectOpen)                                                                                              \
	F(virDomainAttachDeviceFlags)                                                                                  \
	F(virDomainCreateWithFlags)                                                                                    \
	F(virDomainDestroy)                                                                                            \
	F(virDomainDetachDeviceAlias)                                                                                  \
	F(virDomainFree)                                                                                               \
	F(virDomainGetName)                                                                                            \
	F(virDomainGetState)                                                                                           \
	F(virDomainGetUUIDString)                                                                                      \
	F(virDomainGetXMLDesc)                                                                                         \
	F(virDomainHasManagedSaveImage)                                                                                \
	F(virDomainIsActive)                                                                                           \
	F(virDomainLookupByName)                                                                                       \
	F(virDomainLookupByUUIDString)                                                                                 \
	F(virDomainManagedSave)                                                                                        \
	F(virDomainManagedSaveGetXMLDesc)                                                                              \
	F(virDomainManagedSaveRemove)                                                                                  \
	F(virDomainRestoreFlags)                                                                                       \
	F(virDomainResume)                                                                                             \
	F(virDomainSaveFlags)                                                                                          \
	F(virDomainSaveImageGetXMLDesc)                                                                                \
	F(virDomainUpdateDeviceFlags)                                                                                  \
	F(virGetLastError)                                                                                             \
	F(virSetErrorFunc)                                                                                             \
	F(virStoragePoolFree)                                                                                          \
	F(virStoragePoolLookupByName)                                                                                  \
	F(virStorageVolFree)                                                                                           \
	F(virStorageVolGetPath)                                                                                        \
	F(virStorageVolLookupByName)

struct libvirt_api {
#define LIBVIRT_MEMBER(name) __typeof__(name) *name;
	LIBVIRT_FUNCTIONS(LIBVIRT_MEMBER)
#undef LIBVIRT_MEMBER
	__typeof__(virDomainQemuAgentCommand) *virDomainQemuAgentCommand;
};

/* ERROR_UNSUPPORTED: the libraries are not installed. The result is the program's. */
struct error *libvirt_load(const struct libvirt_api **ret) _must_check_;

/* A connection, and one domain there. */
struct libvirt {
	const struct libvirt_api *api;
	virConnectPtr connection;
	virDomainPtr domain; /* NULL: libvirt knows none of that name */
	bool booted;         /* by us, and has not run yet */
};
void libvirt_close(struct libvirt *libvirt);

/*
 * Only of this host: the images are read as files. ERROR_UNSUPPORTED for another host's, or a hypervisor that is not
 * QEMU.
 */
struct error *libvirt_connect(const char *uri, struct libvirt *ret) _must_check_;

/* What vm_domain_read() does, on a connection of any hypervisor's; the domain becomes `libvirt->domain`. `domain`: to
 * be freed also after an error. */
struct error *libvirt_read_domain(struct libvirt *libvirt, const char *uri, const char *name, const char *memory,
				  const char *disk_target, struct vm_domain *domain) _must_check_;

/* What libvirt last refused in this thread, as an error whose code says what it means. */
struct error *libvirt_error(const struct libvirt_api *api, const char *what) _never_null_ _must_check_;

/* The connection of the VM's handle, opened anew where it was cut, and its domain: ERROR_NOT_FOUND if there is none. */
struct error *libvirt_of(struct vm *vm, struct libvirt **ret) _must_check_;
/* The same, where the domain must be active: ERROR_NOT_FOUND. */
struct error *libvirt_of_active(struct vm *vm, struct libvirt **ret) _must_check_;

/* --- the domain's XML --- */

struct domain_xml {
	xmlDocPtr document;
	xmlXPathContextPtr context;
};
struct error *domain_xml_parse(const char *text, struct domain_xml *ret) _must_check_;
void domain_xml_deinit(struct domain_xml *xml);
/* Of the domain as it is, or with VIR_DOMAIN_XML_INACTIVE as it is defined. */
struct error *domain_xml_read(const struct libvirt *libvirt, unsigned flags, struct domain_xml *ret) _must_check_;
/* The nodes an expression selects, below `node` (NULL: in all of it); the caller frees them. NULL: it is none. */
xmlXPathObjectPtr domain_xml_select(const struct domain_xml *xml, xmlNodePtr node, const char *expression);
/* How many those are. */
size_t domain_xml_count(const struct domain_xml *xml, xmlNodePtr node, const char *expression);
/* The text that an expression yields; NULL: it is empty, or there is no memory. Owned. */
char *domain_xml_text(const struct domain_xml *xml, xmlNodePtr node, const char *expression);

/* *ret: the running domain has a device that the expression selects. A domain that has ended has none. */
struct error *libvirt_is_plugged(struct vm *vm, const char *expression, struct libvirt **ret_libvirt, bool *ret)
	_must_check_;

/* A device that the host gave away: if it is a network card, nothing here could cut it. */
struct error *domain_xml_refuse_hostdev(const struct domain_xml *xml) _must_check_;

/* --- the parts of the driver --- */

struct error *libvirt_network(struct vm *vm, struct nic_list *ret) _must_check_;
struct error *libvirt_set_link(struct vm *vm, const char *nic, bool up) _must_check_;
struct error *libvirt_disk_attach(struct vm *vm, const char *path, unsigned *place) _must_check_;
struct error *libvirt_disk_detach(struct vm *vm) _must_check_;
struct error *libvirt_port_attach(struct vm *vm, const char *path) _must_check_;
struct error *libvirt_port_detach(struct vm *vm) _must_check_;
struct error *libvirt_agent(struct vm *vm, const char *command, uint64_t timeout_ms, char **ret_answer,
			    char **ret_refusal) _must_check_;

DEFINE_CLEANUP(xmlXPathObjectPtr, xmlXPathFreeObject)

#endif
