/* SPDX-License-Identifier: Apache-2.0 */
#include "base/progress.h"

#include <stddef.h>

static const struct progress_ops *listener;
static void *listener_data;

void progress_set(const struct progress_ops *ops, void *data)
{
	listener = ops;
	listener_data = data;
}

void progress_step(const char *step, const char *text)
{
	if (listener)
		listener->step(listener_data, step, text);
}

void progress_update(uint64_t done, uint64_t total)
{
	if (listener)
		listener->update(listener_data, done, total);
}

void progress_end(void)
{
	if (listener)
		listener->end(listener_data);
}
