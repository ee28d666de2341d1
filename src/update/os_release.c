/* SPDX-License-Identifier: Apache-2.0 */
#include "update/os_release.h"

#include <string.h>

char *os_release_value(const char *text, const char *key)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		size_t end = strcspn(line, "\n");

		if (strncmp(line, key, length) != 0 || line[length] != '=')
			continue;
		line += length + 1;
		end -= length + 1;
		if (end >= 2 && (*line == '"' || *line == '\'') && line[end - 1] == *line) {
			line++;
			end -= 2;
		}
		return strndup(line, end);
	}
	return strdup("unknown");
}
