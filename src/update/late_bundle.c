/* SPDX-License-Identifier: Apache-2.0 */
#include "update/late_bundle.h"

#include <string.h>

#include "base/json.h"

struct error *late_bundle_open(const struct session *session, const struct bundle *first, struct bundle **ret)
{
	_cleanup_(bundle_close_ptr) struct bundle *bundle = NULL;
	struct error *error = bundle_open(session->late_path, &bundle);
	char id[SHA256_HEX_SIZE];
	const char *after;

	*ret = NULL;
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		return NULL;
	}
	if (error)
		return error;
	sha256_to_hex(bundle_id(first), id);
	after = json_string_value(json_object_get(bundle_manifest(bundle)->info, "after"));
	if (after && !strcmp(after, id))
		*ret = take_ptr(bundle);
	return NULL;
}
