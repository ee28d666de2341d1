/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's text about its network, which has the ids of the user's command line in it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hypervisor/qemu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(free_ptr) char *text = strndup((const char *)data, size);
	_cleanup_(nic_list_deinit) struct nic_list list = {};

	if (!text)
		return 0;
	error_destroy(nic_list_add_tap(&list, "tap0"));
	error_destroy(nic_list_add_tap(&list, "tap1"));
	error_destroy(qemu_parse_network(text, getpid(), &list));
	return 0;
}
