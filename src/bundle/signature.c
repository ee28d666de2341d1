/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ed25519 (RFC 8032) over what names everything else in a bundle: the header's and the trailer's frames. The trailer
 * holds the hashes of manifest and archive, the manifest the hashes of all contents.
 */
#include "bundle/signature.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/io.h"
#include "bundle/keys.h"

/* What is signed, so that the signature serves for nothing else: a word of our own, header, trailer. */
#define MESSAGE_SIZE (BUNDLE_MAGIC_SIZE + BUNDLE_HEADER_FRAME_SIZE + BUNDLE_TRAILER_FRAME_SIZE)

static void make_message(const uint8_t header[BUNDLE_HEADER_FRAME_SIZE],
			 const uint8_t trailer[BUNDLE_TRAILER_FRAME_SIZE], uint8_t ret[MESSAGE_SIZE])
{
	struct packer p = {.data = ret};

	pack_bytes(&p, BUNDLE_SIGNATURE_MAGIC, BUNDLE_MAGIC_SIZE);
	pack_bytes(&p, header, BUNDLE_HEADER_FRAME_SIZE);
	pack_bytes(&p, trailer, BUNDLE_TRAILER_FRAME_SIZE);
}

static inline void EVP_MD_CTX_free_ptr(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}

static inline void EVP_PKEY_free_ptr(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

struct error *signature_make(const struct bundle_signing_key *key, const uint8_t header[BUNDLE_HEADER_FRAME_SIZE],
			     const uint8_t trailer[BUNDLE_TRAILER_FRAME_SIZE], uint8_t ret[BUNDLE_SIGNATURE_FRAME_SIZE])
{
	_cleanup_(EVP_MD_CTX_free_ptr) EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t message[MESSAGE_SIZE], signature[BUNDLE_ED25519_SIZE];
	struct packer p = {.data = ret};
	size_t size = sizeof(signature);

	make_message(header, trailer, message);
	/* Ed25519 hashes by itself: there is no digest to name, and no update in parts. */
	if (!context || EVP_DigestSignInit(context, NULL, NULL, NULL, key->key) != 1 ||
	    EVP_DigestSign(context, signature, &size, message, sizeof(message)) != 1 || size != sizeof(signature))
		return keys_failure(ERROR_FAILED, key->path, "cannot sign with this key");
	pack_le32(&p, BUNDLE_FRAME_SIGNATURE);
	pack_le32(&p, BUNDLE_SIGNATURE_SIZE);
	pack_bytes(&p, BUNDLE_SIGNATURE_MAGIC, BUNDLE_MAGIC_SIZE);
	pack_bytes(&p, key->public, BUNDLE_KEY_SIZE);
	pack_bytes(&p, signature, sizeof(signature));
	return NULL;
}

static struct error *check(const uint8_t message[MESSAGE_SIZE], const uint8_t public[BUNDLE_KEY_SIZE],
			   const uint8_t signature[BUNDLE_ED25519_SIZE], const char *path)
{
	_cleanup_(EVP_MD_CTX_free_ptr) EVP_MD_CTX *context = EVP_MD_CTX_new();
	_cleanup_(EVP_PKEY_free_ptr) EVP_PKEY *key =
		EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public, BUNDLE_KEY_SIZE);

	if (context && key && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestVerify(context, signature, BUNDLE_ED25519_SIZE, message, MESSAGE_SIZE) == 1)
		return NULL;
	return keys_failure(ERROR_CONFLICT, path,
			    "the bundle's signature is not of this bundle: it was altered after it was signed");
}

struct error *signature_read(int fd, uint64_t size, const char *path, uint8_t ret_key[BUNDLE_KEY_SIZE])
{
	uint8_t header[BUNDLE_HEADER_FRAME_SIZE], end[BUNDLE_TRAILER_FRAME_SIZE + BUNDLE_SIGNATURE_FRAME_SIZE];
	const uint8_t *bytes = end + BUNDLE_TRAILER_FRAME_SIZE;
	uint8_t message[MESSAGE_SIZE], head[BUNDLE_FRAME_HEAD_SIZE + BUNDLE_MAGIC_SIZE];
	struct packer p = {.data = head};
	struct error *error;

	if (size < sizeof(header) + sizeof(end))
		return error_format(path, size, "not a signed bundle: too short");
	if ((error = io_pread(fd, header, sizeof(header), 0, path)) ||
	    (error = io_pread(fd, end, sizeof(end), size - sizeof(end), path)))
		return error;
	pack_le32(&p, BUNDLE_FRAME_SIGNATURE);
	pack_le32(&p, BUNDLE_SIGNATURE_SIZE);
	pack_bytes(&p, BUNDLE_SIGNATURE_MAGIC, BUNDLE_MAGIC_SIZE);
	if (memcmp(bytes, head, sizeof(head)) != 0)
		return error_format(path, size - BUNDLE_SIGNATURE_FRAME_SIZE,
				    "damaged bundle: its header says that it is signed, and there is no signature");
	bytes += sizeof(head);
	make_message(header, end, message);
	error = check(message, bytes, bytes + BUNDLE_KEY_SIZE, path);
	if (error)
		return error;
	memcpy(ret_key, bytes, BUNDLE_KEY_SIZE);
	return NULL;
}
