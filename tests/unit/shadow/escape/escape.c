/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/shadow/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *given(const char *name)
{
	const char *value = getenv(name);

	if (!value) {
		printf("%s is not given\n", name);
		exit(UNKNOWN);
	}
	return value;
}

long given_number(const char *name)
{
	return strtol(given(name), NULL, 0);
}

int read_secret_of(int fd)
{
	const char *secret = given("CANARY_SECRET");
	char buffer[64] = "";

	if (pread(fd, buffer, sizeof(buffer) - 1, 0) < 0)
		return -1;
	if (strncmp(buffer, secret, strlen(secret)) == 0)
		return 0;
	errno = ENOMSG;
	return -1;
}

int read_secret(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return -1;
	r = read_secret_of(fd);
	close(fd);
	return r;
}

int reached(long result)
{
	return result < 0 && (errno != EPERM && errno != ENOSYS && errno != EACCES) ? 0 : -1;
}

static int run(const struct attempt *attempts, const char *name)
{
	for (; attempts->name; attempts++) {
		if (strcmp(attempts->name, name) != 0)
			continue;
		errno = 0;
		if (attempts->run() >= 0)
			return ESCAPED;
		printf("%s\n", strerror(errno));
		return HELD;
	}
	return UNKNOWN;
}

int main(int argc, char *argv[])
{
	const struct attempt *const tables[] = {mount_attempts,  file_attempts,    process_attempts,
						kernel_attempts, network_attempts, limit_attempts};

	for (size_t i = 0; argc == 2 && i < sizeof(tables) / sizeof(tables[0]); i++) {
		int status = run(tables[i], argv[1]);

		if (status != UNKNOWN)
			return status;
	}
	printf("no such attempt\n");
	return UNKNOWN;
}
