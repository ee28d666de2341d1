/* SPDX-License-Identifier: Apache-2.0 */
#include "hypervisor/xen_lists.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

long xen_find_domain(const char *list, const char *uuid)
{
	size_t length = strlen(uuid);

	for (const char *line = list; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (strncasecmp(line, uuid, length) == 0 && line[length] == ' ')
			return strtol(line + length, NULL, 10);
	}
	return -1;
}

bool xen_is_paused(const char *list)
{
	const char *line = strchr(list, '\n');
	char state[16] = "";

	/* Of the fields before it only the name is text, and that has no space. */
	return line && sscanf(line + 1, "%*s %*s %*s %*s %15s", state) == 1 && strlen(state) == 6 && state[2] == 'p';
}

struct error *xen_read_card(const char *line, struct xen_card *ret)
{
	size_t length = strcspn(line, "\n");
	size_t end = length;
	struct xen_card card;

	while (end > 0 && line[end - 1] == ' ')
		end--;
	length = end;
	while (end > 0 && line[end - 1] != ' ')
		end--;
	if (sscanf(line, "%u %u", &card.index, &card.backend) != 2 || line[end] != '/' ||
	    length - end >= sizeof(card.place))
		return error_create(ERROR_FORMAT, "xl network-list: \"%.*s\"", length > 200 ? 200 : (int)length, line);
	memcpy(card.place, line + end, length - end);
	card.place[length - end] = '\0';
	*ret = card;
	return NULL;
}
