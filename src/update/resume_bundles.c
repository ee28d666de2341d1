/* SPDX-License-Identifier: Apache-2.0 */
#include "update/resume_bundles.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "update/device_policy.h"
#include "update/fingerprint.h"
#include "update/late_bundle.h"
#include "update/pack_stream.h"
#include "update/trust.h"

/* Who made it, that it says for which images it is, and that it asks for nothing the user must allow. */
static struct error *check_origin(struct resume *r)
{
	const json_t *fingerprint = json_object_get(bundle_manifest(r->bundle)->info, "fingerprint");
	struct error *error = trust_check(r->session, r->bundle);

	if (error)
		return error;
	/* Without one it would pass for a bundle of any VM, and of one that was shut down. */
	if (!json_is_object(fingerprint) || !json_is_array(json_object_get(fingerprint, "disk")))
		return error_remedy(error_format(r->session->bundle_path, ERROR_NO_ADDRESS,
						 "the bundle does not say for which memory and disk it is"),
				    "run the update again");
	r->shut_down = !fingerprint_has_memory(fingerprint);
	return device_policy_check(&bundle_manifest(r->bundle)->changes, r->options->allow_device_nodes);
}

static struct error *open_late(struct resume *r)
{
	struct error *error = late_bundle_open(r->session, r->bundle, &r->late);

	if (error || !r->late)
		return error;
	error = trust_check(r->session, r->late);
	return error ? error : device_policy_check(&bundle_manifest(r->late)->changes, r->options->allow_device_nodes);
}

static struct error *no_bundle(const struct session *session)
{
	return error_remedy(error_create(ERROR_NOTHING, "%s: no bundle waits", session->file.name),
			    "run: ouassister update %s, or wake it as it is with --without-update", session->file.path);
}

/* Where the guest runs already, its update goes on whatever is wanted now. */
static bool wakes_without_update(const struct resume *r)
{
	enum update_state state = r->session->state.state;

	return r->options->without_update && (state <= STATE_BUNDLED || state == STATE_OPEN);
}

struct error *resume_bundles_open(struct resume *r)
{
	bool optional = r->options->without_update || r->session->state.state == STATE_APPLIED ||
			r->session->state.state == STATE_OPEN_LATE;
	struct error *error;

	if (wakes_without_update(r))
		return NULL;
	error = bundle_open(r->session->bundle_path, &r->bundle);
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		return optional ? NULL : no_bundle(r->session);
	}
	if (!error)
		error = check_origin(r);
	return error ? error : open_late(r);
}

struct error *resume_bundles_give_up(const struct resume *r)
{
	const char *const paths[] = {r->session->late_path, r->session->bundle_path};

	if (!wakes_without_update(r))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (unlink(paths[i]) == 0)
			log_warning("%s: removed, as the VM is woken without it", paths[i]);
		else if (errno != ENOENT)
			return error_system(errno, paths[i], "cannot remove the bundle that the VM is woken without");
	deltas_remove(r->session->directory, DELTAS_NAME);
	deltas_remove(r->session->directory, DELTAS_LATE_NAME);
	return NULL;
}

/* The bundle has done its work: it stays readable under another name, but does not wait any more. */
static void retire(const char *path)
{
	_cleanup_(free_ptr) char *applied = string_format("%s.applied", path);

	if (applied && rename(path, applied) < 0 && errno != ENOENT)
		log_warning("%s: cannot rename: %s", path, strerror(errno));
}

void resume_bundles_retire(const struct session *session)
{
	deltas_remove(session->directory, DELTAS_NAME);
	deltas_remove(session->directory, DELTAS_LATE_NAME);
	retire(session->late_path);
	retire(session->bundle_path);
}
