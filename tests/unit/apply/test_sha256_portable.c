/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>
#include <string.h>

#include "base/sha256.h"
#include "tests/unit/test.h"

/* FIPS 180-4's examples, and the million letters of FIPS 180-2's. */
static const struct {
	const char *text;
	unsigned repeat;
	const char *hex;
} vectors[] = {
	{"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
	 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	{"aaaaaaaaaa", 100000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

static void standard_vectors(void **state)
{
	struct sha256 *hash = sha256_create();
	uint8_t digest[SHA256_SIZE], wanted[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		sha256_reset(hash);
		for (unsigned k = 0; k < vectors[i].repeat; k++)
			sha256_update(hash, vectors[i].text, strlen(vectors[i].text));
		sha256_final(hash, digest);
		sha256_to_hex(digest, hex);
		assert_string_equal(hex, vectors[i].hex);
		assert_true(sha256_from_hex(hex, wanted));
		assert_memory_equal(digest, wanted, SHA256_SIZE);
	}
	sha256_destroy(hash);
}

/* Every length around the block's borders, fed in pieces of every size. */
static void agrees_with_libcrypto(void **state)
{
	struct sha256 *hash = sha256_create();
	uint8_t data[400], ours[SHA256_SIZE], theirs[SHA256_SIZE];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = i * 7 + i / 3;
	for (size_t n = 0; n < 200; n++) {
		assert_int_equal(EVP_Digest(data, n, theirs, NULL, EVP_sha256(), NULL), 1);
		for (size_t piece = 1; piece < 140; piece += 13) {
			sha256_reset(hash);
			for (size_t at = 0; at < n; at += piece)
				sha256_update(hash, data + at, n - at < piece ? n - at : piece);
			sha256_final(hash, ours);
			assert_memory_equal(ours, theirs, SHA256_SIZE);
		}
	}
	sha256_destroy(hash);
}

static void refuses_what_is_no_hash(void **state)
{
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE + 1];

	memset(hex, 'a', sizeof(hex));
	hex[64] = '\0';
	assert_true(sha256_from_hex(hex, digest));
	hex[63] = 'A';
	assert_false(sha256_from_hex(hex, digest));
	hex[63] = '\0';
	assert_false(sha256_from_hex(hex, digest));
	memset(hex, 'a', 65);
	hex[65] = '\0';
	assert_false(sha256_from_hex(hex, digest));
	assert_false(sha256_from_hex("", digest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(standard_vectors),
		cmocka_unit_test(agrees_with_libcrypto),
		cmocka_unit_test(refuses_what_is_no_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
