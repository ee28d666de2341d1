/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>

#include "base/sha256.h"

struct sha256 {
	EVP_MD_CTX *context;
};

struct sha256 *sha256_create(void)
{
	struct sha256 *hash = calloc(1, sizeof(*hash));

	if (!hash)
		return NULL;
	hash->context = EVP_MD_CTX_new();
	if (!hash->context || EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1) {
		sha256_destroy(hash);
		return NULL;
	}
	return hash;
}

/*
 * The three calls below fail in libcrypto only without memory at initialisation, which
 * sha256_create() has done with; a wrong digest would be worse than the end of the program.
 */
static void must(int ok)
{
	if (ok != 1)
		abort();
}

void sha256_update(struct sha256 *hash, const void *data, size_t size)
{
	must(EVP_DigestUpdate(hash->context, data, size));
}

void sha256_final(struct sha256 *hash, uint8_t digest[SHA256_SIZE])
{
	must(EVP_DigestFinal_ex(hash->context, digest, NULL));
}

void sha256_reset(struct sha256 *hash)
{
	must(EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL));
}

void sha256_destroy(struct sha256 *hash)
{
	if (!hash)
		return;
	EVP_MD_CTX_free(hash->context);
	free(hash);
}
