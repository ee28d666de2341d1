/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain's cards. libvirt tells the tap behind each; that the domain's QEMU holds it in our network namespace is
 * asked of the kernel, by the pid file that libvirt keeps: two libvirts in two namespaces both have a "vnet0". A card
 * without such a tap has its link taken down by libvirt.
 */
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "hypervisor/libvirt_api.h"
#include "hypervisor/qemu.h"

#define SYSTEM_PIDS  "/run/libvirt/qemu"
#define PID_FILE_MAX 64

/* 0: it cannot be told. */
static pid_t pid_of(const struct libvirt *libvirt, const char *uri)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *name = libvirt->api->virDomainGetName(libvirt->domain);
	_cleanup_(free_ptr) char *path = NULL, *text = NULL;
	struct error *error;
	long pid;

	if (strstr(uri, "/session") && geteuid() != 0)
		path = string_format("%s/libvirt/qemu/run/%s.pid", runtime ? runtime : "", name);
	else
		path = string_format(SYSTEM_PIDS "/%s.pid", name);
	error = path ? io_read_file(path, PID_FILE_MAX, &text, NULL) : error_no_memory();
	pid = error ? 0 : strtol(text, NULL, 10);
	error_destroy(error);
	return pid > 0 ? (pid_t)pid : 0;
}

static bool holds_tap(const struct nic_list *list, const char *tap)
{
	for (size_t i = 0; i < list->n_taps; i++)
		if (!strcmp(list->taps[i], tap))
			return true;
	return false;
}

/* A macvtap (direct) is no tap: its frames pass it by other hooks than those that are known to hold. */
static bool has_tap_type(const struct domain_xml *xml, xmlNodePtr card)
{
	return domain_xml_count(xml, card, "self::*[@type='network' or @type='bridge' or @type='ethernet']") > 0;
}

static struct error *add_card(const struct domain_xml *xml, xmlNodePtr card, struct nic_list *list)
{
	_cleanup_(free_ptr) char *name = domain_xml_text(xml, card, "string(alias/@name)");
	_cleanup_(free_ptr) char *tap = domain_xml_text(xml, card, "string(target/@dev)");
	struct error *error = name ? nic_list_add(list, name, strlen(name))
				   : error_format(NULL, ERROR_NO_ADDRESS, "libvirt has no name for a network card");
	struct nic *nic;

	if (error)
		return error;
	nic = &list->nics[list->n - 1];
	nic->down = domain_xml_count(xml, card, "link[@state='down']") > 0;
	if (tap && has_tap_type(xml, card) && holds_tap(list, tap))
		nic->tap = take_ptr(tap);
	return NULL;
}

struct error *libvirt_network(struct vm *vm, struct nic_list *ret)
{
	_cleanup_(nic_list_deinit) struct nic_list list = {};
	_cleanup_(xmlXPathFreeObject_ptr) xmlXPathObjectPtr cards = NULL;
	_cleanup_(domain_xml_deinit) struct domain_xml xml = {};
	struct libvirt *libvirt;
	struct error *error = libvirt_of_active(vm, &libvirt);
	pid_t pid;

	if (!error)
		error = domain_xml_read(libvirt, 0, &xml);
	if (!error)
		error = domain_xml_refuse_hostdev(&xml);
	if (error)
		return error;
	pid = pid_of(libvirt, vm->settings.uri);
	if (pid)
		error = qemu_list_taps(pid, &list);
	cards = domain_xml_select(&xml, NULL, "devices/interface");
	for (int i = 0; !error && cards && i < cards->nodesetval->nodeNr; i++)
		error = add_card(&xml, cards->nodesetval->nodeTab[i], &list);
	if (error)
		return error;
	*ret = list;
	list = (struct nic_list){};
	return NULL;
}

/* --- the link of a card without a tap --- */

static xmlNodePtr find_card(const struct domain_xml *xml, const xmlNodeSet *cards, const char *expression,
			    const char *value)
{
	for (int i = 0; value && i < cards->nodeNr; i++) {
		_cleanup_(free_ptr) char *text = domain_xml_text(xml, cards->nodeTab[i], expression);

		if (text && !strcmp(text, value))
			return cards->nodeTab[i];
	}
	return NULL;
}

/* What the domain's definition says of the card's link: "up", "down", or NULL for nothing. Owned. */
static char *defined_link(const struct libvirt *libvirt, const char *mac)
{
	_cleanup_(domain_xml_deinit) struct domain_xml xml = {};
	_cleanup_(xmlXPathFreeObject_ptr) xmlXPathObjectPtr cards = NULL;
	struct error *error = domain_xml_read(libvirt, VIR_DOMAIN_XML_INACTIVE, &xml);
	xmlNodePtr card = NULL;

	if (!error)
		cards = domain_xml_select(&xml, NULL, "devices/interface");
	if (cards)
		card = find_card(&xml, cards->nodesetval, "string(mac/@address)", mac);
	error_destroy(error);
	return card ? domain_xml_text(&xml, card, "string(link/@state)") : NULL;
}

/* Makes the card's XML say so; NULL: nothing, which means up. */
static bool say_link(const struct domain_xml *xml, xmlNodePtr card, const char *state)
{
	_cleanup_(xmlXPathFreeObject_ptr) xmlXPathObjectPtr links = domain_xml_select(xml, card, "link");
	xmlNodePtr link = links ? links->nodesetval->nodeTab[0] : NULL;

	if (!state) {
		if (link)
			xmlUnlinkNode(link);
		xmlFreeNode(link);
		if (links)
			links->nodesetval->nodeTab[0] = NULL;
		return true;
	}
	if (!link)
		link = xmlNewChild(card, NULL, BAD_CAST "link", NULL);
	return link && xmlSetProp(link, BAD_CAST "state", BAD_CAST state);
}

static struct error *update_link(const struct libvirt *libvirt, const struct domain_xml *xml, xmlNodePtr card,
				 const char *state)
{
	xmlBufferPtr buffer = xmlBufferCreate();
	struct error *error = NULL;

	if (!buffer || !say_link(xml, card, state) || xmlNodeDump(buffer, xml->document, card, 0, 0) < 0)
		error = error_no_memory();
	if (!error && libvirt->api->virDomainUpdateDeviceFlags(libvirt->domain, (const char *)xmlBufferContent(buffer),
							       VIR_DOMAIN_AFFECT_LIVE) < 0)
		error = libvirt_error(libvirt->api, "set the link");
	if (buffer)
		xmlBufferFree(buffer);
	return error;
}

/*
 * Loading an image restores the link as QEMU had it, whatever the XML says since. libvirt does nothing where it
 * believes that the link is down already: that of a paused guest goes up before, which nobody can use.
 */
static struct error *take_down(const struct libvirt *libvirt, const struct domain_xml *xml, xmlNodePtr card)
{
	int state = VIR_DOMAIN_NOSTATE, reason;
	struct error *error = NULL;

	if (libvirt->api->virDomainGetState(libvirt->domain, &state, &reason, 0) < 0)
		return libvirt_error(libvirt->api, "tell the domain's state");
	if (state == VIR_DOMAIN_PAUSED && domain_xml_count(xml, card, "link[@state='down']"))
		error = update_link(libvirt, xml, card, "up");
	return error ? error : update_link(libvirt, xml, card, "down");
}

struct error *libvirt_set_link(struct vm *vm, const char *nic, bool up)
{
	_cleanup_(domain_xml_deinit) struct domain_xml xml = {};
	_cleanup_(xmlXPathFreeObject_ptr) xmlXPathObjectPtr cards = NULL;
	_cleanup_(free_ptr) char *mac = NULL, *defined = NULL;
	struct libvirt *libvirt;
	xmlNodePtr card = NULL;
	struct error *error = libvirt_of_active(vm, &libvirt);

	if (!error)
		error = domain_xml_read(libvirt, 0, &xml);
	if (error)
		return error;
	cards = domain_xml_select(&xml, NULL, "devices/interface");
	if (cards)
		card = find_card(&xml, cards->nodesetval, "string(alias/@name)", nic);
	if (!card)
		return error_create(ERROR_NOT_FOUND, "the domain has no network card %s", nic);
	if (!up)
		return take_down(libvirt, &xml, card);
	mac = domain_xml_text(&xml, card, "string(mac/@address)");
	defined = defined_link(libvirt, mac);
	/* One that the user wants down stays down. */
	return defined && !strcmp(defined, "down") ? NULL : update_link(libvirt, &xml, card, defined);
}
