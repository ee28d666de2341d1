/* SPDX-License-Identifier: Apache-2.0 */
/* Built without libvirt: its domains are refused, and why. */
#include "hypervisor/hypervisor.h"

struct error *vm_domain_read(const char *uri, const char *name, const char *memory, const char *disk_target,
			     struct vm_domain *ret)
{
	return error_remedy(
		error_create(ERROR_UNSUPPORTED, "domain %s: this ouassister was built without libvirt", name),
		"install libvirt-dev and libxml2-dev, and build it again; or describe the VM's QEMU in a VM file");
}

void vm_domain_deinit(struct vm_domain *domain)
{
	*domain = (struct vm_domain){};
}
