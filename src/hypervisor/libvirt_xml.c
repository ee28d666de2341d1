/* SPDX-License-Identifier: Apache-2.0 */
/* The domain's XML (https://libvirt.org/formatdomain.html), by libxml2's XPath. */
#include <libxml/parser.h>
#include <string.h>

#include "hypervisor/libvirt_api.h"

struct error *domain_xml_parse(const char *text, struct domain_xml *ret)
{
	struct domain_xml xml = {
		.document = xmlReadMemory(text, (int)strlen(text), NULL, NULL,
					  XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING),
	};

	if (xml.document)
		xml.context = xmlXPathNewContext(xml.document);
	if (!xml.context) {
		domain_xml_deinit(&xml);
		return error_format(NULL, ERROR_NO_ADDRESS, "libvirt's description of the domain is no XML");
	}
	*ret = xml;
	return NULL;
}

void domain_xml_deinit(struct domain_xml *xml)
{
	xmlXPathFreeContext(xml->context);
	xmlFreeDoc(xml->document);
	*xml = (struct domain_xml){};
}

struct error *domain_xml_read(const struct libvirt *libvirt, unsigned flags, struct domain_xml *ret)
{
	_cleanup_(free_ptr) char *text = libvirt->api->virDomainGetXMLDesc(libvirt->domain, flags);

	return text ? domain_xml_parse(text, ret) : libvirt_error(libvirt->api, "describe the domain");
}

xmlXPathObjectPtr domain_xml_select(const struct domain_xml *xml, xmlNodePtr node, const char *expression)
{
	xmlXPathObjectPtr found;

	xml->context->node = node ? node : xmlDocGetRootElement(xml->document);
	found = xmlXPathEvalExpression((const xmlChar *)expression, xml->context);
	if (found && found->type == XPATH_NODESET && !xmlXPathNodeSetIsEmpty(found->nodesetval))
		return found;
	xmlXPathFreeObject(found);
	return NULL;
}

size_t domain_xml_count(const struct domain_xml *xml, xmlNodePtr node, const char *expression)
{
	_cleanup_(xmlXPathFreeObject_ptr) xmlXPathObjectPtr found = domain_xml_select(xml, node, expression);

	return found ? (size_t)found->nodesetval->nodeNr : 0;
}

char *domain_xml_text(const struct domain_xml *xml, xmlNodePtr node, const char *expression)
{
	_cleanup_(xmlXPathFreeObject_ptr) xmlXPathObjectPtr found = NULL;
	xmlChar *text;
	char *copy = NULL;

	xml->context->node = node ? node : xmlDocGetRootElement(xml->document);
	found = xmlXPathEvalExpression((const xmlChar *)expression, xml->context);
	if (!found)
		return NULL;
	text = xmlXPathCastToString(found);
	if (text && *text)
		copy = strdup((const char *)text);
	xmlFree(text);
	return copy;
}

struct error *libvirt_is_plugged(struct vm *vm, const char *expression, struct libvirt **ret_libvirt, bool *ret)
{
	_cleanup_(domain_xml_deinit) struct domain_xml xml = {};
	struct error *error = libvirt_of_active(vm, ret_libvirt);

	if (!error)
		error = domain_xml_read(*ret_libvirt, 0, &xml);
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		*ret = false;
		return NULL;
	}
	if (!error)
		*ret = domain_xml_count(&xml, NULL, expression) > 0;
	return error;
}

struct error *domain_xml_refuse_hostdev(const struct domain_xml *xml)
{
	if (domain_xml_count(xml, NULL, "devices/hostdev|devices/interface[@type='hostdev']") == 0)
		return NULL;
	return error_remedy(error_create(ERROR_UNSUPPORTED,
					 "a device of the host is passed through (hostdev): if it is a network card, "
					 "its traffic cannot be cut"),
			    "take it out of the domain (virsh detach-device) before it is suspended");
}
