/* SPDX-License-Identifier: Apache-2.0 */
/* Signed bundles, with keys that openssl(1) makes, and its own opinion of what we sign. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "bundle/bundle.h"
#include "bundle/format.h"
#include "bundle/trailer.h"

static char directory[] = "/tmp/test-signature.XXXXXX";

static void run(const char *command)
{
	int status = system(command);

	if (status != 0)
		fail_msg("%s: status %d", command, status);
}

static int setup(void **state)
{
	if (!mkdtemp(directory) || chdir(directory) < 0)
		return -1;
	run("mkdir upper lower; seq 1 5000 >upper/file");
	run("for i in a b c; do openssl genpkey -algorithm ed25519 -out $i.key && "
	    "openssl pkey -in $i.key -pubout -out $i.pem; done");
	run("openssl genpkey -algorithm rsa -out rsa.key 2>/dev/null; openssl pkey -in rsa.key -pubout -out rsa.pem");
	run("openssl genpkey -algorithm ed25519 -aes256 -pass pass:x -out locked.key");
	return 0;
}

static int teardown(void **state)
{
	if (chdir("/") < 0)
		return -1;
	error_destroy(io_remove_tree(directory));
	return 0;
}

/* key_path NULL: not signed. */
static void write_bundle(const char *path, const char *key_path)
{
	_cleanup_(bundle_signing_key_destroy_ptr) struct bundle_signing_key *key = NULL;
	struct change_layer layer = {"/", open("lower", O_PATH | O_DIRECTORY | O_CLOEXEC),
				     open("upper", O_PATH | O_DIRECTORY | O_CLOEXEC), "trusted.overlay."};
	struct bundle_manifest manifest = {.info = json_pack("{s:s}", "vm", path)};

	assert_ok(changes_read(&layer, 1, NULL, &manifest.changes));
	if (key_path)
		assert_ok(bundle_signing_key_load(key_path, &key));
	assert_ok(bundle_write(path, &manifest, &layer, 1, key));
	bundle_manifest_deinit(&manifest);
	close(layer.lower_fd);
	close(layer.upper_fd);
}

/* Whether the bundle of these bytes is signed by a key of the file or directory; *ret: why it cannot be opened. */
static bool trusted(const char *data, size_t size, const char *keys, struct error **ret)
{
	_cleanup_(bundle_close_ptr) struct bundle *bundle = NULL;
	_cleanup_(bundle_trust_deinit) struct bundle_trust trust = {0};
	int fd = open("tried", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_ok(io_write(fd, data, size, "tried"));
	close(fd);
	assert_ok(bundle_trust_load(keys, &trust));
	*ret = bundle_open("tried", &bundle);
	return !*ret && bundle_trust_find(&trust, bundle);
}

static void refused(const char *data, size_t size, const char *what)
{
	struct error *error;

	if (trusted(data, size, "a.pem", &error))
		fail_msg("accepted: %s", what);
	if (error && error->code != ERROR_FORMAT && error->code != ERROR_CONFLICT)
		fail_msg("%s: %s", what, error->message);
	error_destroy(error);
}

static char *read_bundle(const char *path, size_t *ret_size)
{
	char *data;

	assert_ok(io_read_file(path, 64 << 20, &data, ret_size));
	return data;
}

static void test_round_trip(void **state)
{
	_cleanup_(bundle_close_ptr) struct bundle *bundle = NULL;
	_cleanup_(free_ptr) char *data = NULL;
	char fingerprint[SHA256_HEX_SIZE];
	struct error *error;
	size_t size;

	write_bundle("bundle", "a.key");
	data = read_bundle("bundle", &size);
	assert_true(trusted(data, size, "a.pem", &error));
	assert_false(trusted(data, size, "b.pem", &error));
	assert_ok(error);
	assert_ok(bundle_open("bundle", &bundle));
	assert_ok(bundle_verify(bundle));
	assert_ok(bundle_key_fingerprint(bundle_signer(bundle), fingerprint));
	assert_int_equal(setenv("FINGERPRINT", fingerprint, 1), 0);
	run("test \"$(openssl pkey -pubin -in a.pem -outform DER | sha256sum | cut -c1-64)\" = $FINGERPRINT");
	run("! command -v zstd >/dev/null || test \"$(zstd -qdc bundle | tar -xO file | sha256sum)\" = "
	    "\"$(sha256sum <upper/file)\"");
}

/* What doc/bundle-format.md tells those to do who do not trust our own code. */
static void test_openssl_agrees(void **state)
{
	write_bundle("bundle", "a.key");
	run("tail -c 64 bundle >signature; { printf 'OUASIGN\\001'; head -c 24 bundle; tail -c 240 bundle | head -c "
	    "128; "
	    "} >signed");
	run("openssl pkeyutl -verify -pubin -inkey a.pem -rawin -in signed -sigfile signature >/dev/null");
	run("! openssl pkeyutl -verify -pubin -inkey b.pem -rawin -in signed -sigfile signature >/dev/null 2>&1");
}

static void test_not_signed(void **state)
{
	_cleanup_(bundle_close_ptr) struct bundle *bundle = NULL;
	_cleanup_(free_ptr) char *data = NULL;
	size_t size;

	write_bundle("bundle", NULL);
	data = read_bundle("bundle", &size);
	refused(data, size, "no signature");
	assert_ok(bundle_open("bundle", &bundle));
	assert_null(bundle_signer(bundle));
	/* Says that it is signed, and is not. */
	data[BUNDLE_FRAME_HEAD_SIZE + 12] = BUNDLE_FLAG_SIGNED;
	refused(data, size, "flag without a signature");
}

/* Every bit of what is signed and of the signature itself. */
static void test_every_bit(void **state)
{
	_cleanup_(free_ptr) char *data = NULL;
	size_t size, end;

	write_bundle("bundle", "a.key");
	data = read_bundle("bundle", &size);
	end = size - BUNDLE_SIGNATURE_FRAME_SIZE - BUNDLE_TRAILER_FRAME_SIZE;
	for (size_t i = 0; i < size; i += i == BUNDLE_HEADER_FRAME_SIZE - 1 ? end - i : 1)
		for (int bit = 0; bit < 8; bit++) {
			data[i] ^= (char)(1 << bit);
			refused(data, size, "a bit turned over");
			data[i] ^= (char)(1 << bit);
		}
}

static void test_cut_and_lengthened(void **state)
{
	_cleanup_(free_ptr) char *data = NULL;
	size_t size;

	write_bundle("bundle", "a.key");
	data = read_bundle("bundle", &size);
	for (size_t cut = 1; cut <= BUNDLE_SIGNATURE_FRAME_SIZE + BUNDLE_TRAILER_FRAME_SIZE; cut++)
		refused(data, size - cut, "cut");
	data = realloc(data, size + BUNDLE_SIGNATURE_FRAME_SIZE);
	memset(data + size, 0, 8);
	refused(data, size + 1, "a byte more");
	/* Two signatures. */
	memcpy(data + size, data + size - BUNDLE_SIGNATURE_FRAME_SIZE, BUNDLE_SIGNATURE_FRAME_SIZE);
	refused(data, size + BUNDLE_SIGNATURE_FRAME_SIZE, "signed twice");
}

/* A signature taken off one bundle and put onto another; and off, with the word that it is there. */
static void test_moved(void **state)
{
	_cleanup_(free_ptr) char *data = NULL, *other = NULL;
	size_t size, other_size;

	write_bundle("bundle", "a.key");
	write_bundle("another", "b.key");
	data = read_bundle("bundle", &size);
	other = read_bundle("another", &other_size);
	memcpy(other + other_size - BUNDLE_SIGNATURE_FRAME_SIZE, data + size - BUNDLE_SIGNATURE_FRAME_SIZE,
	       BUNDLE_SIGNATURE_FRAME_SIZE);
	refused(other, other_size, "the signature of another bundle");
	data[BUNDLE_FRAME_HEAD_SIZE + 12] = 0;
	refused(data, size - BUNDLE_SIGNATURE_FRAME_SIZE, "signature taken off");
}

static void test_trusted_keys(void **state)
{
	static const char *const good[] = {"several.pem", "keys"};
	static const char *const bad[] = {"rsa.pem", "a.key",   "mixed.pem", "broken.pem", "empty",   "no-keys",
					  "absent",  "dir-rsa", "fifo",      "/dev/zero",  "dangling"};
	_cleanup_(free_ptr) char *data = NULL;
	size_t size;

	run("cat b.pem a.pem >several.pem; mkdir keys; cp b.pem keys/old.pem; cp a.pem keys/new.pem; "
	    "echo words >keys/README; echo words >keys/.hidden.pem");
	run("cat a.pem rsa.pem >mixed.pem; cat a.pem >broken.pem; sed 2s/..../++++/ b.pem >>broken.pem; : >empty; "
	    "mkdir no-keys dir-rsa dangling; cp a.pem no-keys/a; cp a.pem rsa.pem dir-rsa; mkfifo fifo; "
	    "ln -s nowhere dangling/x.pem; cp a.pem dangling");
	write_bundle("bundle", "a.key");
	data = read_bundle("bundle", &size);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct error *error;

		assert_true(trusted(data, size, good[i], &error));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(bundle_trust_deinit) struct bundle_trust trust = {0};
		struct error *error = bundle_trust_load(bad[i], &trust);

		if (!error)
			fail_msg("keys accepted: %s", bad[i]);
		assert_int_equal(error->code, ERROR_USAGE);
		assert_int_equal(trust.n, 0);
		error_destroy(error);
	}
}

static void test_signing_keys(void **state)
{
	static const char *const bad[] = {"rsa.key", "a.pem",     "locked.key", "absent",
					  "upper",   "/dev/zero", "upper/file"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct bundle_signing_key *key = NULL;
		struct error *error = bundle_signing_key_load(bad[i], &key);

		if (!error)
			fail_msg("key accepted: %s", bad[i]);
		assert_int_equal(error->code, ERROR_USAGE);
		assert_null(key);
		error_destroy(error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_openssl_agrees),
		cmocka_unit_test(test_not_signed),   cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_moved),        cmocka_unit_test(test_cut_and_lengthened),
		cmocka_unit_test(test_trusted_keys), cmocka_unit_test(test_signing_keys),
	};

	if (system("command -v openssl >/dev/null") != 0) {
		print_message("skipped: no openssl here\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
