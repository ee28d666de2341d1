/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/log.h"
#include "cli/source.h"

#define PASSWD_MAX (1u << 20)

static struct error *read_passwd(struct guest *guest, struct users *ret)
{
	_cleanup_(guest_file_deinit) struct guest_file file = {0};
	_cleanup_(free_ptr) char *text = NULL;
	size_t size;
	struct error *error = guest_file_find(guest, "/etc/passwd", true, &file);

	if (error)
		return error;
	size = file.size < PASSWD_MAX ? file.size : PASSWD_MAX;
	text = malloc(size + 1);
	if (!text)
		return error_no_memory();
	error = guest_file_read(guest, &file, 0, text, size, &size);
	if (!error)
		error = users_parse(text, size, ret);
	if (!error)
		text = NULL; /* it belongs to them */
	return error;
}

void source_users(const struct source *source, struct users *ret)
{
	struct error *error = read_passwd(source->guest, ret);

	if (error)
		log_debug("users are shown by number: %s", error->message);
	error_destroy(error);
}
