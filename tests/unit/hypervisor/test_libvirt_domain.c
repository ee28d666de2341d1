/* SPDX-License-Identifier: Apache-2.0 */
/* What is read out of a domain's XML, as libvirt itself hands it out: its test driver holds domains that run nowhere.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "hypervisor/libvirt_api.h"
#include "tests/unit/test.h"

/* The reader asks for where managed saves would be, not whether the driver has any. */
#define NODE                                                                                                           \
	"<node><pool type='dir'><name>pool</name><target><path>/pool</path></target>"                                  \
	"<volume><name>root.qcow2</name><capacity>4096</capacity><target><path>/pool/root.qcow2</path></target>"       \
	"</volume></pool>"                                                                                             \
	"<domain type='test'><name>web1</name><uuid>3ac0d8ad-24a3-4b17-8ff0-9b2c6d1c7d11</uuid><memory>65536</memory>" \
	"<os><type>hvm</type></os><devices>%s</devices></domain></node>"

#define DISK(rest) "<disk type='file' device='disk'>" rest "</disk>"
#define QCOW2      "<driver name='qemu' type='qcow2'/>"
#define ROOT       DISK(QCOW2 "<source file='/disks/root.qcow2'/><target dev='vda' bus='virtio'/>")
#define DATA(rest) DISK(QCOW2 "<source file='/disks/data.qcow2'/><target dev='vdb' bus='virtio'/>" rest)

struct domain_fixture {
	char path[64];
	struct libvirt libvirt;
	struct vm_domain domain;
};

static struct error *read_domain(struct domain_fixture *f, const char *devices, const char *disk_target)
{
	_cleanup_(free_ptr) char *text = string_format(NODE, devices), *uri = NULL;
	int fd;

	snprintf(f->path, sizeof(f->path), "/tmp/ouassister-domain-XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	assert_ok(io_write(fd, text, strlen(text), f->path));
	close(fd);
	uri = string_format("test://%s", f->path);
	assert_ok(libvirt_load(&f->libvirt.api));
	f->libvirt.connection = f->libvirt.api->virConnectOpen(uri);
	unlink(f->path);
	if (!f->libvirt.connection)
		fail_msg("libvirt's test driver does not take the domain: %s",
			 f->libvirt.api->virGetLastError()->message);
	return libvirt_read_domain(&f->libvirt, "qemu:///system", "web1", NULL, disk_target, &f->domain);
}

static void domain_fixture_deinit(struct domain_fixture *f)
{
	vm_domain_deinit(&f->domain);
	libvirt_close(&f->libvirt);
}

static void assert_disk(const char *devices, const char *disk_target, const char *path, const char *format)
{
	_cleanup_(domain_fixture_deinit) struct domain_fixture f = {};

	assert_ok(read_domain(&f, devices, disk_target));
	assert_string_equal(f.domain.disk, path);
	assert_string_equal(f.domain.format, format);
}

static void assert_refused(const char *devices, const char *disk_target, enum error_code code, const char *words)
{
	_cleanup_(domain_fixture_deinit) struct domain_fixture f = {};
	_cleanup_(error_destroy_ptr) struct error *error = read_domain(&f, devices, disk_target);

	if (!error)
		fail_msg("not refused: %s", devices);
	assert_int_equal(error->code, code);
	if (!strstr(error->message, words))
		fail_msg("\"%s\" does not say \"%s\"", error->message, words);
}

static void a_domain_is_known_by_name_and_number(void **state)
{
	_cleanup_(domain_fixture_deinit) struct domain_fixture f = {};

	assert_ok(read_domain(&f, ROOT, NULL));
	assert_string_equal(f.domain.name, "web1");
	assert_string_equal(f.domain.uuid, "3ac0d8ad-24a3-4b17-8ff0-9b2c6d1c7d11");
	assert_true(f.domain.managed);
	assert_true(strstr(f.domain.memory, "/qemu/save/web1.save") != NULL);
	assert_false(f.domain.has_agent);
}

static void the_agent_is_found_by_its_channel(void **state)
{
	_cleanup_(domain_fixture_deinit) struct domain_fixture f = {};

	assert_ok(read_domain(
		&f, ROOT "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>", NULL));
	assert_true(f.domain.has_agent);
}

static void another_channel_is_no_agent(void **state)
{
	_cleanup_(domain_fixture_deinit) struct domain_fixture f = {};

	assert_ok(read_domain(
		&f, ROOT "<channel type='unix'><target type='virtio' name='com.redhat.spice.0'/></channel>", NULL));
	assert_false(f.domain.has_agent);
}

static void the_disk_is_the_one_that_is_booted_from(void **state)
{
	assert_disk(ROOT, NULL, "/disks/root.qcow2", "qcow2");
	assert_disk(ROOT DATA(""), NULL, "/disks/root.qcow2", "qcow2");
	assert_disk(ROOT DATA("<boot order='1'/>"), NULL, "/disks/data.qcow2", "qcow2");
	assert_disk(ROOT DATA(""), "vdb", "/disks/data.qcow2", "qcow2");
	/* A CD that is tried first, and what cannot hold a system. */
	assert_disk("<disk type='file' device='cdrom'><source file='/cd.iso'/><target dev='hda' bus='ide'/>"
		    "<boot order='1'/></disk>" ROOT,
		    NULL, "/disks/root.qcow2", "qcow2");
	assert_disk(DATA("<readonly/>") ROOT, NULL, "/disks/root.qcow2", "qcow2");
	assert_disk(DATA("<shareable/>") ROOT, NULL, "/disks/root.qcow2", "qcow2");
	assert_disk(DATA("<transient/>") ROOT, NULL, "/disks/root.qcow2", "qcow2");
}

static void a_disk_has_a_path_of_this_host(void **state)
{
	assert_disk("<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/web1'/>"
		    "<target dev='vda' bus='virtio'/></disk>",
		    NULL, "/dev/vg/web1", "raw");
	assert_disk("<disk type='volume' device='disk'>" QCOW2
		    "<source pool='pool' volume='root.qcow2'/><target dev='vda' bus='virtio'/></disk>",
		    NULL, "/pool/root.qcow2", "qcow2");
	assert_refused("<disk type='volume' device='disk'>" QCOW2
		       "<source pool='pool' volume='gone.qcow2'/><target dev='vda' bus='virtio'/></disk>",
		       NULL, ERROR_NOT_FOUND, "volume gone.qcow2");
	assert_refused("<disk type='network' device='disk'>" QCOW2
		       "<source protocol='rbd' name='pool/image'><host name='example'/></source>"
		       "<target dev='vda' bus='virtio'/></disk>",
		       NULL, ERROR_UNSUPPORTED, "network");
}

static void what_cannot_be_updated_is_refused(void **state)
{
	assert_refused("", NULL, ERROR_UNSUPPORTED, "no disk");
	assert_refused(DATA("<readonly/>"), NULL, ERROR_UNSUPPORTED, "no disk");
	assert_refused(ROOT, "vdz", ERROR_USAGE, "vdz");
	assert_refused(ROOT DATA("<readonly/>"), "vdb", ERROR_UNSUPPORTED, "read-only");
	assert_refused(ROOT DATA("<shareable/>"), "vdb", ERROR_UNSUPPORTED, "shared");
	assert_refused(DISK("<driver name='qemu' type='vmdk'/><source file='/disks/root.vmdk'/><target dev='vda'/>"),
		       NULL, ERROR_UNSUPPORTED, "vmdk");
	assert_refused(DISK(QCOW2 "<source file='/disks/root.qcow2'><encryption format='luks'>"
				  "<secret type='passphrase' uuid='3ac0d8ad-24a3-4b17-8ff0-9b2c6d1c7d12'/></encryption>"
				  "</source><target dev='vda' bus='virtio'/>"),
		       NULL, ERROR_UNSUPPORTED, "encrypted");
	assert_refused(ROOT "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='1' "
			    "slot='0' function='0'/></source></hostdev>",
		       NULL, ERROR_UNSUPPORTED, "hostdev");
}

static void what_is_no_description_is_refused(void **state)
{
	struct domain_xml xml = {};

	assert_error(domain_xml_parse("", &xml), ERROR_FORMAT);
	assert_error(domain_xml_parse("<domain>", &xml), ERROR_FORMAT);
	/* What names a file of the host is not followed. */
	assert_ok(domain_xml_parse(
		"<!DOCTYPE d [<!ENTITY f SYSTEM 'file:///etc/hostname'>]><domain><name>&f;</name></domain>", &xml));
	assert_null(domain_xml_text(&xml, NULL, "string(name)"));
	domain_xml_deinit(&xml);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_domain_is_known_by_name_and_number),
		cmocka_unit_test(the_agent_is_found_by_its_channel),
		cmocka_unit_test(another_channel_is_no_agent),
		cmocka_unit_test(the_disk_is_the_one_that_is_booted_from),
		cmocka_unit_test(a_disk_has_a_path_of_this_host),
		cmocka_unit_test(what_cannot_be_updated_is_refused),
		cmocka_unit_test(what_is_no_description_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
