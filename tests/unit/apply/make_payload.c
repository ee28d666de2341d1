/* SPDX-License-Identifier: Apache-2.0 */
/* make-payload FILE: an update of 10,000 new small files in 100 directories, for tests/bench/staging; prints its hash.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "builder.h"
#include "tests/unit/test.h"

#define N_FILES     10000
#define N_DIRECTORY 100
#define CONTENT_MAX 16384

int main(int argc, char **argv)
{
	static uint8_t content[CONTENT_MAX];
	struct builder b;
	unsigned seed = 1;

	if (argc != 2)
		return 2;
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
	/* Of a tree that has none of it. */
	builder_init(&b, "/nonexistent");
	for (unsigned i = 0; i < N_FILES; i++) {
		char path[64];

		snprintf(path, sizeof(path), "many%u", i / N_DIRECTORY);
		if (i % N_DIRECTORY == 0)
			builder_add(&b, CHANGE_DIRECTORY, path, S_IFDIR | 0755);
		snprintf(path, sizeof(path), "many%u/%u", i / N_DIRECTORY, i);
		memcpy(content, &i, sizeof(i));
		builder_content(builder_add(&b, CHANGE_WRITE, path, S_IFREG | 0644), content,
				100 + i % (CONTENT_MAX - 100));
	}
	builder_write(&b, argv[1]);
	printf("%s\n", b.hex);
	builder_deinit(&b);
	return 0;
}
