/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519 keys in PEM files: the one that signs, and those that are trusted. */
#include "bundle/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "bundle/internal.h"

#define KEY_FILE_MAX (64 * 1024) /* a PEM block of Ed25519 has about 120 bytes */
#define KEY_SUFFIX   ".pem"

/* Everything of SubjectPublicKeyInfo before the key (RFC 8410, 4): there is only one way to write it. */
static const uint8_t spki_head[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

static inline void BIO_free_ptr(BIO **bio)
{
	BIO_free(*bio);
}

struct error *keys_failure(enum error_code code, const char *path, const char *text)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	struct error *error = error_create(code, "%s: %s%s%s", path, text, reason ? ": " : "", reason ? reason : "");

	ERR_clear_error();
	return error;
}

/* A fifo or a device would make us wait, or never end. */
static struct error *read_key_file(int directory, const char *name, const char *path, char **ret, size_t *ret_size,
				   struct stat *ret_st)
{
	_cleanup_(close_fd) int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, ret_st) < 0)
		return error_recode(error_system(errno, path, "cannot open the key"), ERROR_USAGE);
	if (!S_ISREG(ret_st->st_mode))
		return error_create(ERROR_USAGE, "%s: the key is in no ordinary file", path);
	return error_recode(io_read_all(fd, KEY_FILE_MAX, path, ret, ret_size), ERROR_USAGE);
}

/* Nobody is asked for a passphrase: an update runs without anybody there. */
static int no_passphrase(char *buffer, int size, int writing, void *data)
{
	*(bool *)data = true;
	return -1;
}

static struct error *take_private(EVP_PKEY *key, const char *path, bool locked, struct bundle_signing_key *ret)
{
	size_t size = sizeof(ret->public);

	if (!key && locked)
		return error_remedy(keys_failure(ERROR_USAGE, path, "the key is locked by a passphrase"),
				    "unlock it: openssl pkey -in FILE -out UNLOCKED, which only root may read");
	if (!key)
		return error_remedy(keys_failure(ERROR_USAGE, path, "no private key in PEM format"),
				    "make one: openssl genpkey -algorithm ed25519 -out FILE");
	if (EVP_PKEY_get_id(key) != EVP_PKEY_ED25519 || EVP_PKEY_get_raw_public_key(key, ret->public, &size) != 1 ||
	    size != sizeof(ret->public))
		return error_remedy(error_create(ERROR_USAGE, "%s: not a key for Ed25519", path),
				    "make one: openssl genpkey -algorithm ed25519 -out FILE");
	return NULL;
}

struct error *bundle_signing_key_load(const char *path, struct bundle_signing_key **ret)
{
	_cleanup_(bundle_signing_key_destroy_ptr) struct bundle_signing_key *key = calloc(1, sizeof(*key));
	_cleanup_(BIO_free_ptr) BIO *bio = NULL;
	_cleanup_(free_ptr) char *text = NULL;
	bool locked = false;
	struct error *error;
	struct stat st;
	size_t size;

	if (!key || !(key->path = strdup(path)))
		return error_no_memory();
	error = read_key_file(AT_FDCWD, path, path, &text, &size, &st);
	if (error)
		return error;
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		log_warning("%s: others than its owner may use the key that signs bundles (mode %04o)", path,
			    st.st_mode & 07777);
	bio = BIO_new_mem_buf(text, (int)size);
	if (bio)
		key->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &locked);
	OPENSSL_cleanse(text, size);
	error = take_private(key->key, path, locked, key);
	if (error)
		return error;
	*ret = take_ptr(key);
	return NULL;
}

void bundle_signing_key_destroy(struct bundle_signing_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->key);
	free(key->path);
	free(key);
}

const uint8_t *bundle_signing_key_public(const struct bundle_signing_key *key)
{
	return key->public;
}

static struct error *add_key(EVP_PKEY *key, const char *path, struct bundle_trust *trust)
{
	struct bundle_trusted_key *keys;
	size_t size = BUNDLE_KEY_SIZE;

	if (EVP_PKEY_get_id(key) != EVP_PKEY_ED25519)
		return error_create(ERROR_USAGE, "%s: a key that is not for Ed25519", path);
	keys = realloc(trust->keys, (trust->n + 1) * sizeof(*keys));
	if (!keys)
		return error_no_memory();
	trust->keys = keys;
	keys[trust->n] = (struct bundle_trusted_key){.path = strdup(path)};
	if (!keys[trust->n].path)
		return error_no_memory();
	trust->n++;
	if (EVP_PKEY_get_raw_public_key(key, keys[trust->n - 1].key, &size) != 1)
		return keys_failure(ERROR_USAGE, path, "unusable public key");
	return NULL;
}

static struct error *add_der(const uint8_t *der, long size, const char *path, struct bundle_trust *trust)
{
	const uint8_t *end = der;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &end, size);
	struct error *error = key && end == der + size ? add_key(key, path, trust)
						       : keys_failure(ERROR_USAGE, path, "damaged public key");

	EVP_PKEY_free(key);
	return error;
}

/* The next PEM block, which must be a public key; *more is false at the end of the file. */
static struct error *add_block(BIO *bio, const char *path, struct bundle_trust *trust, bool *more)
{
	char *name = NULL, *header = NULL;
	uint8_t *der = NULL;
	struct error *error = NULL;
	long size;

	if (PEM_read_bio(bio, &name, &header, &der, &size) != 1) {
		*more = false;
		if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
			return keys_failure(ERROR_USAGE, path, "damaged PEM file");
		ERR_clear_error();
		return NULL;
	}
	if (strcmp(name, PEM_STRING_PUBLIC) != 0)
		error = error_create(ERROR_USAGE, "%s: \"%s\" where only public keys belong", path, name);
	else
		error = add_der(der, size, path, trust);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_clear_free(der, (size_t)size);
	return error;
}

/* Who may write here says which bundles are taken. The rule is that of ssh for its own files. */
static struct error *refuse_writers(const struct stat *st, const char *path)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return error_remedy(error_create(ERROR_USAGE, "%s: it belongs to user %u, who could trust any key",
						 path, st->st_uid),
				    "chown root %s, if what it holds is right", path);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return error_remedy(error_create(ERROR_USAGE,
						 "%s: others than its owner may write there (mode %04o), and could "
						 "trust any key",
						 path, st->st_mode & 07777),
				    "chmod go-w %s, if what it holds is right", path);
	return NULL;
}

/* All public keys of a file, one at least: what cannot be read must not be passed over in silence. */
static struct error *add_file(int directory, const char *name, const char *path, struct bundle_trust *trust)
{
	_cleanup_(BIO_free_ptr) BIO *bio = NULL;
	_cleanup_(free_ptr) char *text = NULL;
	size_t size, before = trust->n;
	struct error *error;
	struct stat st;

	error = read_key_file(directory, name, path, &text, &size, &st);
	if (!error)
		error = refuse_writers(&st, path);
	if (error)
		return error;
	bio = BIO_new_mem_buf(text, (int)size);
	if (!bio)
		return error_no_memory();
	for (bool more = true; !error && more;)
		error = add_block(bio, path, trust, &more);
	if (!error && trust->n == before)
		error = error_create(ERROR_USAGE, "%s: no public key in PEM format", path);
	return error_remedy(error, "a public key is made by: openssl pkey -in PRIVATE -pubout");
}

static bool is_key_name(const char *name)
{
	size_t size = strlen(name);

	return *name != '.' && size > strlen(KEY_SUFFIX) && !strcmp(name + size - strlen(KEY_SUFFIX), KEY_SUFFIX);
}

static struct error *add_directory(int fd, const char *path, struct bundle_trust *trust)
{
	_cleanup_(closedir_ptr) DIR *directory = fdopendir(fd);
	struct error *error = NULL;
	struct dirent *entry;
	struct stat st;

	if (!directory) {
		error = error_system(errno, path, "cannot read the keys");
		close(fd);
		return error;
	}
	if (fstat(dirfd(directory), &st) < 0)
		return error_system(errno, path, "cannot examine the keys");
	error = refuse_writers(&st, path);
	while (!error && (errno = 0, entry = readdir(directory))) {
		_cleanup_(free_ptr) char *name = NULL;

		if (!is_key_name(entry->d_name))
			continue;
		name = string_format("%s/%s", path, entry->d_name);
		error = name ? add_file(dirfd(directory), entry->d_name, name, trust) : error_no_memory();
	}
	if (!error && errno)
		error = error_system(errno, path, "cannot read the keys");
	if (!error && trust->n == 0)
		error = error_remedy(error_create(ERROR_USAGE, "%s: no key is in this directory", path),
				     "public keys in it have names that end with " KEY_SUFFIX);
	return error;
}

struct error *bundle_trust_load(const char *path, struct bundle_trust *ret)
{
	_cleanup_(bundle_trust_deinit) struct bundle_trust trust = {0};
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct error *error;

	if (directory < 0 && errno != ENOTDIR)
		return error_recode(error_system(errno, path, "cannot open the keys"), ERROR_USAGE);
	error = directory < 0 ? add_file(AT_FDCWD, path, path, &trust) : add_directory(directory, path, &trust);
	if (error)
		return error;
	*ret = trust;
	trust = (struct bundle_trust){0};
	return NULL;
}

void bundle_trust_deinit(struct bundle_trust *trust)
{
	for (size_t i = 0; i < trust->n; i++)
		free(trust->keys[i].path);
	free(trust->keys);
	*trust = (struct bundle_trust){0};
}

static const struct bundle_trusted_key *find_key(const struct bundle_trust *trust, const uint8_t key[BUNDLE_KEY_SIZE])
{
	for (size_t i = 0; i < trust->n; i++)
		if (!memcmp(trust->keys[i].key, key, BUNDLE_KEY_SIZE))
			return &trust->keys[i];
	return NULL;
}

bool bundle_trust_has(const struct bundle_trust *trust, const uint8_t key[BUNDLE_KEY_SIZE])
{
	return find_key(trust, key) != NULL;
}

const struct bundle_trusted_key *bundle_trust_find(const struct bundle_trust *trust, const struct bundle *bundle)
{
	return bundle->is_signed ? find_key(trust, bundle->signer) : NULL;
}

struct error *bundle_key_fingerprint(const uint8_t key[BUNDLE_KEY_SIZE], char ret[SHA256_HEX_SIZE])
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *sha256 = sha256_create();
	uint8_t digest[SHA256_SIZE];

	if (!sha256)
		return error_no_memory();
	sha256_update(sha256, spki_head, sizeof(spki_head));
	sha256_update(sha256, key, BUNDLE_KEY_SIZE);
	sha256_final(sha256, digest);
	sha256_to_hex(digest, ret);
	return NULL;
}
