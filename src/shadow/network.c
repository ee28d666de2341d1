/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow/internal.h"

struct error *network_start(const struct shadow_network *options, struct network **ret)
{
	return error_create(ERROR_UNSUPPORTED, "the shadow has no network yet");
}

int network_namespace(const struct network *network)
{
	return -1;
}

void network_stop(struct network *network)
{
}
