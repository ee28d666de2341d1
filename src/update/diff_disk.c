/* SPDX-License-Identifier: Apache-2.0 */
/* `diff-disk`: where what the sleeping guest sees differs from what its disk has alone. */
#include "base/json.h"
#include "base/progress.h"
#include "update/document.h"
#include "update/session.h"
#include "update/sleeping.h"
#include "update/tree_difference.h"

static struct error *describe(struct session *session, const struct sleeping *sleeping, json_t *document)
{
	_cleanup_(disk_close_ptr) struct disk *alone = NULL;
	json_t *list = NULL;
	uint64_t more = 0, unreadable = 0;
	struct error *error = sleeping_open_disk_alone(session, sleeping, &alone);

	progress_step("compare", "comparing both");
	if (!error)
		error = tree_difference(sleeping->disk, alone, &list, &more, &unreadable);
	if (error)
		return error;
	if (json_object_set_new(document, "differences", list) < 0 ||
	    json_object_set_new(document, "more", json_integer((json_int_t)more)) < 0)
		return error_no_memory();
	return unreadable ? document_incomplete(document, unreadable) : NULL;
}

struct error *update_diff_disk(const struct update_settings *settings, const char *vm, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *document = NULL;
	struct session session;
	struct sleeping sleeping = {0};
	struct error *error = session_open(settings, vm, SESSION_SHARE, &session);

	if (error)
		return error;
	document = session_document(&session);
	error = document ? sleeping_open(&session, MEMORY_NEEDED, &sleeping) : error_no_memory();
	if (!error)
		error = describe(&session, &sleeping, document);
	progress_end();
	sleeping_close(&sleeping);
	session_close(&session);
	if (!error)
		*ret = take_ptr(document);
	return error;
}
