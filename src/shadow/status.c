/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow/status.h"

#include <stdlib.h>
#include <string.h>

size_t status_numbers(const char *text, const char *key, int base, unsigned long long *ret, size_t max)
{
	const char *line = strstr(text, key);
	size_t n = 0;
	char *end;

	if (!line)
		return 0;
	line += strlen(key);
	while (n < max) {
		ret[n] = strtoull(line, &end, base);
		if (end == line || memchr(line, '\n', (size_t)(end - line)))
			break;
		n++;
		line = end;
	}
	return n;
}
