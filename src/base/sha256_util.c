/* SPDX-License-Identifier: Apache-2.0 */
/* What both implementations of SHA-256 share. */
#include <string.h>

#include "base/sha256.h"

struct error *sha256_fd(int fd, const char *path, uint8_t digest[SHA256_SIZE])
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *hash = sha256_create();
	_cleanup_(free_ptr) void *buffer = malloc(256 * 1024);

	if (!hash || !buffer)
		return error_no_memory();
	for (;;) {
		ssize_t n = read(fd, buffer, 256 * 1024);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_system(errno, path, "cannot read");
		if (n == 0)
			break;
		sha256_update(hash, buffer, (size_t)n);
	}
	sha256_final(hash, digest);
	return NULL;
}

void sha256_to_hex(const uint8_t digest[SHA256_SIZE], char hex[SHA256_HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < SHA256_SIZE; i++) {
		hex[2 * i] = digits[digest[i] >> 4];
		hex[2 * i + 1] = digits[digest[i] & 15];
	}
	hex[2 * SHA256_SIZE] = 0;
}

/* -1 for anything but a lower-case hexadecimal digit. */
static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int sha256_from_hex(const char *hex, uint8_t digest[SHA256_SIZE])
{
	uint8_t bytes[SHA256_SIZE];

	if (strlen(hex) != 2 * SHA256_SIZE)
		return 0;
	for (size_t i = 0; i < SHA256_SIZE; i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return 0;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(digest, bytes, sizeof(bytes));
	return 1;
}
