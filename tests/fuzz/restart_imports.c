/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts of a guest, in both languages whose import statements are read. Nothing is there to be found. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "update/restart_imports.h"

static void read_as(enum import_language language, int root_fd, const uint8_t *data, size_t size)
{
	_cleanup_(imports_deinit) struct imports imports;
	_cleanup_(free_ptr) char *text = malloc(size + 1);

	if (!text)
		return;
	memcpy(text, data, size);
	text[size] = '\0';
	imports_init(&imports, root_fd, language);
	imports_add_directory(&imports, "/lib");
	imports_read_text(&imports, "app/main.py", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int root_fd = -1;

	if (root_fd < 0)
		root_fd = open("/sys/kernel/security", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		root_fd = open("/proc/self/fdinfo", O_PATH | O_DIRECTORY | O_CLOEXEC);
	read_as(IMPORTS_OF_PYTHON, root_fd, data, size);
	read_as(IMPORTS_OF_PERL, root_fd, data, size);
	return 0;
}
