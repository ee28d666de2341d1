/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM file would say, out of a domain's XML.
 *
 * libvirt tells of everything but where it keeps managed saves (src/qemu/qemu_driver.c, qemuDomainManagedSavePath):
 * in the state directory of qemu:///system, in the user's configuration directory for qemu:///session; which for root
 * is the former.
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "hypervisor/libvirt_api.h"

#define SYSTEM_SAVES "/var/lib/libvirt/qemu/save"
#define AGENT_PORT   "org.qemu.guest_agent.0"

void vm_domain_deinit(struct vm_domain *domain)
{
	free(domain->name);
	free(domain->uuid);
	free(domain->memory);
	free(domain->disk);
	free(domain->format);
	*domain = (struct vm_domain){};
}

static char *managed_save_path(const char *uri, const char *name)
{
	const char *configuration = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (!strstr(uri, "/session") || geteuid() == 0)
		return string_format(SYSTEM_SAVES "/%s.save", name);
	if (configuration && *configuration)
		return string_format("%s/libvirt/qemu/save/%s.save", configuration, name);
	return string_format("%s/.config/libvirt/qemu/save/%s.save", home ? home : "", name);
}

static struct error *find_domain(struct libvirt *libvirt, const char *uri, const char *name)
{
	libvirt->domain = libvirt->api->virDomainLookupByName(libvirt->connection, name);
	if (!libvirt->domain)
		libvirt->domain = libvirt->api->virDomainLookupByUUIDString(libvirt->connection, name);
	if (libvirt->domain)
		return NULL;
	return error_remedy(error_create(ERROR_USAGE, "libvirt (%s) has no domain \"%s\"", uri, name),
			    "see which there are: virsh -c %s list --all", uri);
}

/* --- the XML that counts --- */

/* A `virsh save` file has the domain in it, which libvirt need not know any more. */
static struct error *read_saved(const struct libvirt *libvirt, const char *memory, struct domain_xml *ret)
{
	_cleanup_(free_ptr) char *text = libvirt->api->virDomainSaveImageGetXMLDesc(libvirt->connection, memory, 0);

	return text ? domain_xml_parse(text, ret) : error_wrap(libvirt_error(libvirt->api, "read it"), "%s", memory);
}

/* An image that libvirt cannot read is judged by who reads it: the domain's definition will do to get there. */
static bool read_managed(const struct libvirt *libvirt, struct domain_xml *ret)
{
	_cleanup_(free_ptr) char *text = libvirt->api->virDomainManagedSaveGetXMLDesc(libvirt->domain, 0);
	struct error *error = text ? domain_xml_parse(text, ret) : libvirt_error(libvirt->api, "read the managed save");
	bool read = !error;

	if (error)
		log_debug("%s", error->message);
	error_destroy(error);
	return read;
}

static struct error *read_xml(const struct libvirt *libvirt, const struct vm_domain *domain, struct domain_xml *ret)
{
	int active = libvirt->domain ? libvirt->api->virDomainIsActive(libvirt->domain) : 0;

	if (active < 0)
		return libvirt_error(libvirt->api, "say whether the domain runs");
	if (!active && !domain->managed && access(domain->memory, F_OK) == 0)
		return read_saved(libvirt, domain->memory, ret);
	if (!active && domain->managed && libvirt->api->virDomainHasManagedSaveImage(libvirt->domain, 0) == 1) {
		/* Another state directory than Debian's and everybody else's: its files are not where we look. */
		if (access(domain->memory, F_OK) < 0)
			return error_remedy(error_create(ERROR_NOT_FOUND,
							 "libvirt has a managed save of the domain, but not as %s",
							 domain->memory),
					    "name the file by \"memory\" of a VM file, see ouassister-vm(5)");
		if (read_managed(libvirt, ret))
			return NULL;
	}
	return domain_xml_read(libvirt, active ? 0 : VIR_DOMAIN_XML_INACTIVE, ret);
}

/* --- the disk --- */

static struct error *volume_path(const struct libvirt *libvirt, const char *pool_name, const char *volume_name,
				 char **ret)
{
	virStoragePoolPtr pool = libvirt->api->virStoragePoolLookupByName(libvirt->connection, pool_name);
	virStorageVolPtr volume = pool ? libvirt->api->virStorageVolLookupByName(pool, volume_name) : NULL;
	char *path = volume ? libvirt->api->virStorageVolGetPath(volume) : NULL;
	struct error *error = path ? NULL : libvirt_error(libvirt->api, "find the disk's volume");

	if (volume)
		libvirt->api->virStorageVolFree(volume);
	if (pool)
		libvirt->api->virStoragePoolFree(pool);
	if (error)
		return error_wrap(error, "pool %s, volume %s", pool_name, volume_name);
	*ret = path;
	return NULL;
}

/* Why a disk is none that a guest's system could be updated on; NULL: it may be. */
static const char *reason_to_skip(const struct domain_xml *xml, xmlNodePtr disk)
{
	if (domain_xml_count(xml, disk, "self::*[@device='cdrom' or @device='floppy']"))
		return "no disk";
	if (domain_xml_count(xml, disk, "readonly"))
		return "read-only";
	if (domain_xml_count(xml, disk, "transient"))
		return "transient: what is written to it is lost";
	if (domain_xml_count(xml, disk, "shareable"))
		return "shared with other domains, which may write to it";
	return NULL;
}

static struct error *read_source(const struct libvirt *libvirt, const struct domain_xml *xml, xmlNodePtr disk,
				 const char *target, char **ret)
{
	_cleanup_(free_ptr) char *type = domain_xml_text(xml, disk, "string(@type)");
	_cleanup_(free_ptr) char *pool = domain_xml_text(xml, disk, "string(source/@pool)");
	_cleanup_(free_ptr) char *volume = domain_xml_text(xml, disk, "string(source/@volume)");

	if (type && !strcmp(type, "volume") && pool && volume)
		return volume_path(libvirt, pool, volume, ret);
	if (type && (!strcmp(type, "file") || !strcmp(type, "block")))
		*ret = domain_xml_text(xml, disk, "string(source/@file|source/@dev)");
	if (*ret)
		return NULL;
	return error_remedy(error_create(ERROR_UNSUPPORTED, "disk %s is of the type \"%s\"", target,
					 type ? type : "file without a source"),
			    "only files, block devices and volumes that have a path on this host can be read");
}

static struct error *take_disk(const struct libvirt *libvirt, const struct domain_xml *xml, xmlNodePtr disk,
			       const char *target, struct vm_domain *domain)
{
	const char *reason = reason_to_skip(xml, disk);

	if (reason)
		return error_create(ERROR_UNSUPPORTED, "disk %s is %s", target, reason);
	/* An older way to say it stands below the disk itself. */
	if (domain_xml_count(xml, disk, "encryption|source/encryption"))
		return error_remedy(error_create(ERROR_UNSUPPORTED, "disk %s is encrypted by the host", target),
				    "such a disk cannot be read without its secret, which libvirt keeps");
	domain->format = domain_xml_text(xml, disk, "string(driver/@type)");
	if (!domain->format)
		domain->format = strdup("raw"); /* what libvirt takes it for */
	if (!domain->format)
		return error_no_memory();
	if (strcmp(domain->format, "qcow2") != 0 && strcmp(domain->format, "raw") != 0)
		return error_create(ERROR_UNSUPPORTED, "disk %s has the format %s: known are qcow2 and raw", target,
				    domain->format);
	return read_source(libvirt, xml, disk, target, &domain->disk);
}

/* The order of booting, where the XML tells; of the others the first. */
static xmlNodePtr choose_disk(const struct domain_xml *xml, const xmlNodeSet *disks)
{
	xmlNodePtr chosen = NULL;
	unsigned long least = ULONG_MAX;

	for (int i = 0; i < disks->nodeNr; i++) {
		_cleanup_(free_ptr) char *order = domain_xml_text(xml, disks->nodeTab[i], "string(boot/@order)");
		unsigned long number = order ? strtoul(order, NULL, 10) : ULONG_MAX - 1;

		if (reason_to_skip(xml, disks->nodeTab[i]) || number >= least)
			continue;
		chosen = disks->nodeTab[i];
		least = number;
	}
	return chosen;
}

static bool is_target(const struct domain_xml *xml, xmlNodePtr disk, const char *target)
{
	_cleanup_(free_ptr) char *name = domain_xml_text(xml, disk, "string(target/@dev)");

	return name && !strcmp(name, target);
}

static void tell_of_others(const struct domain_xml *xml, const xmlNodeSet *disks, const xmlNode *chosen)
{
	for (int i = 0; i < disks->nodeNr; i++) {
		_cleanup_(free_ptr) char *name = domain_xml_text(xml, disks->nodeTab[i], "string(target/@dev)");
		const char *reason = reason_to_skip(xml, disks->nodeTab[i]);

		if (disks->nodeTab[i] != chosen)
			log_info("disk %s is not looked at: %s", name ? name : "?",
				 reason ? reason : "the system is on another");
	}
}

static struct error *read_disk(const struct libvirt *libvirt, const struct domain_xml *xml, const char *target,
			       struct vm_domain *domain)
{
	_cleanup_(xmlXPathFreeObject_ptr) xmlXPathObjectPtr found = domain_xml_select(xml, NULL, "devices/disk");
	_cleanup_(free_ptr) char *name = NULL;
	xmlNodePtr chosen = NULL;

	if (found && !target)
		chosen = choose_disk(xml, found->nodesetval);
	for (int i = 0; found && target && i < found->nodesetval->nodeNr; i++)
		if (is_target(xml, found->nodesetval->nodeTab[i], target))
			chosen = found->nodesetval->nodeTab[i];
	if (!chosen && target)
		return error_create(ERROR_USAGE, "the domain has no disk %s", target);
	if (!chosen)
		return error_create(ERROR_UNSUPPORTED, "the domain has no disk that it could write its system to");
	name = domain_xml_text(xml, chosen, "string(target/@dev)");
	tell_of_others(xml, found->nodesetval, chosen);
	return take_disk(libvirt, xml, chosen, name ? name : "?", domain);
}

/* --- all of it --- */

/* The domain that a save file is of, which need not be defined any more. */
static struct error *name_after_xml(const struct domain_xml *xml, struct vm_domain *domain)
{
	_cleanup_(free_ptr) char *uuid = domain_xml_text(xml, NULL, "string(uuid)");

	domain->name = domain->name ? domain->name : domain_xml_text(xml, NULL, "string(name)");
	if (!uuid || !domain->name)
		return error_format(NULL, ERROR_NO_ADDRESS, "libvirt's description of the domain has no name or UUID");
	if (!domain->uuid)
		domain->uuid = take_ptr(uuid);
	else if (strcmp(uuid, domain->uuid) != 0)
		return error_create(ERROR_CONFLICT, "%s is of the domain %s, not of %s", domain->memory, uuid,
				    domain->uuid);
	return NULL;
}

static struct error *name_domain(const struct libvirt *libvirt, const char *uri, const char *memory,
				 struct vm_domain *domain)
{
	char uuid[VIR_UUID_STRING_BUFLEN];

	if (libvirt->domain) {
		if (libvirt->api->virDomainGetUUIDString(libvirt->domain, uuid) < 0)
			return libvirt_error(libvirt->api, "tell the domain's UUID");
		domain->name = strdup(libvirt->api->virDomainGetName(libvirt->domain));
		domain->uuid = strdup(uuid);
		if (!domain->name || !domain->uuid)
			return error_no_memory();
	}
	domain->managed = !memory;
	domain->memory = memory ? strdup(memory) : managed_save_path(uri, domain->name);
	return domain->memory ? NULL : error_no_memory();
}

struct error *libvirt_read_domain(struct libvirt *libvirt, const char *uri, const char *name, const char *memory,
				  const char *disk_target, struct vm_domain *domain)
{
	struct domain_xml xml = {};
	struct error *error = find_domain(libvirt, uri, name);

	/* It may be known by its save file alone. */
	if (error && memory && access(memory, F_OK) == 0) {
		error_destroy(error);
		error = NULL;
	}
	if (!error)
		error = name_domain(libvirt, uri, memory, domain);
	if (!error)
		error = read_xml(libvirt, domain, &xml);
	if (error)
		return error;
	error = name_after_xml(&xml, domain);
	if (!error)
		error = domain_xml_refuse_hostdev(&xml);
	if (!error)
		error = read_disk(libvirt, &xml, disk_target, domain);
	domain->has_agent =
		domain_xml_count(&xml, NULL, "devices/channel/target[@type='virtio' and @name='" AGENT_PORT "']") > 0;
	domain_xml_deinit(&xml);
	return error;
}

struct error *vm_domain_read(const char *uri, const char *name, const char *memory, const char *disk_target,
			     struct vm_domain *ret)
{
	struct libvirt libvirt = {};
	struct vm_domain domain = {};
	struct error *error = libvirt_connect(uri, &libvirt);

	if (error)
		return error;
	error = libvirt_read_domain(&libvirt, uri, name, memory, disk_target, &domain);
	libvirt_close(&libvirt);
	if (error) {
		vm_domain_deinit(&domain);
		return error_wrap(error, "domain %s", name);
	}
	*ret = domain;
	return NULL;
}
