/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as libcrypto has them, for the files of this room. */
#ifndef BUNDLE_KEYS_H
#define BUNDLE_KEYS_H

#include <openssl/evp.h>

#include "bundle/bundle.h"

struct bundle_signing_key {
	EVP_PKEY *key;
	char *path; /* for errors */
	uint8_t public[BUNDLE_KEY_SIZE];
};

/* "TEXT: PATH", and what libcrypto says of it, whose queue of errors is emptied. */
struct error *keys_failure(enum error_code code, const char *path, const char *text) _must_check_;

#endif
