/* SPDX-License-Identifier: Apache-2.0 */
#include "hypervisor/quote.h"

#include <stdio.h>
#include <stdlib.h>

static void put_quoted(FILE *out, const char *word)
{
	fputc('\'', out);
	for (; *word; word++) {
		if (*word == '\'')
			fputs("'\\''", out);
		else
			fputc(*word, out);
	}
	fputc('\'', out);
}

char *shell_quote_all(const char *const *words)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (size_t i = 0; words[i]; i++) {
		if (i > 0)
			fputc(' ', out);
		put_quoted(out, words[i]);
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

char *shell_quote(const char *word)
{
	const char *const words[] = {word, NULL};

	return shell_quote_all(words);
}
