/* SPDX-License-Identifier: Apache-2.0 */
#include "update/trust.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"

#define SIGN_KEY_NAME    "sign-key.pem"
#define VERIFY_KEYS_NAME "verify-keys"

/* *ret NULL: nowhere. Owned. */
static struct error *find(const struct session *session, const char *given, const char *of_vm, const char *name,
			  char **ret)
{
	_cleanup_(free_ptr) char *path = NULL;

	if (given || of_vm)
		path = strdup(given ? given : of_vm);
	else
		path = string_format("%s/%s", session->settings->config_dir, name);
	if (!path)
		return error_no_memory();
	/* One that cannot be looked at may be there: it is opened, and that says why not. */
	if (given || of_vm || access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR))
		*ret = take_ptr(path);
	return NULL;
}

/* Without keys *ret is empty. */
static struct error *load_trust(const struct session *session, struct bundle_trust *ret)
{
	_cleanup_(free_ptr) char *path = NULL;
	struct error *error =
		find(session, session->settings->verify_key, session->file.verify_key, VERIFY_KEYS_NAME, &path);

	if (error || !path)
		return error;
	return error_wrap(bundle_trust_load(path, ret), "keys that bundles must be signed with");
}

struct error *trust_signing_key(const struct session *session, struct bundle_signing_key **ret)
{
	_cleanup_(bundle_trust_deinit) struct bundle_trust trust = {0};
	_cleanup_(free_ptr) char *path = NULL;
	struct error *error = find(session, session->settings->sign_key, session->file.sign_key, SIGN_KEY_NAME, &path);

	if (!error)
		error = load_trust(session, &trust);
	if (!error && path)
		error = error_wrap(bundle_signing_key_load(path, ret), "the key that signs bundles");
	if (error)
		return error;
	if (trust.n > 0 && !path)
		log_warning(
			"%s: resume asks for a signature, and no key is there to make one: it will refuse the bundle",
			session->file.name);
	else if (trust.n > 0 && !bundle_trust_has(&trust, bundle_signing_key_public(*ret)))
		log_warning("%s: resume does not trust the key %s: it will refuse the bundle", session->file.name,
			    path);
	return NULL;
}

static struct error *refuse(const struct session *session, const struct bundle *bundle)
{
	const uint8_t *signer = bundle_signer(bundle);
	char fingerprint[SHA256_HEX_SIZE];
	struct error *error;

	if (!signer)
		return error_create(ERROR_CONFLICT, "%s: the bundle is not signed", session->bundle_path);
	error = bundle_key_fingerprint(signer, fingerprint);
	return error ? error
		     : error_create(ERROR_CONFLICT, "%s: the bundle is signed by key %s, which is not trusted",
				    session->bundle_path, fingerprint);
}

struct error *trust_check(const struct session *session, const struct bundle *bundle)
{
	_cleanup_(bundle_trust_deinit) struct bundle_trust trust = {0};
	struct error *error = load_trust(session, &trust);

	if (error || trust.n == 0 || bundle_trust_find(&trust, bundle))
		return error;
	return error_remedy(
		refuse(session, bundle),
		"nothing was woken: find out where the bundle comes from; run update again with --sign-key, "
		"or name the key that signed it with --verify-key");
}

struct error *trust_document(const struct session *session, const struct bundle *bundle, json_t **ret)
{
	_cleanup_(bundle_trust_deinit) struct bundle_trust trust = {0};
	const uint8_t *signer = bundle_signer(bundle);
	const struct bundle_trusted_key *key;
	char fingerprint[SHA256_HEX_SIZE];
	_cleanup_(json_decref_ptr) json_t *document = json_null();
	struct error *error = load_trust(session, &trust);

	if (!error && signer)
		error = bundle_key_fingerprint(signer, fingerprint);
	if (error)
		return error;
	key = bundle_trust_find(&trust, bundle);
	if (signer)
		document = json_pack("{s:s, s:o, s:n}", "key", fingerprint, "trusted",
				     trust.n ? json_boolean(key != NULL) : json_null(), "key_file");
	if (document && key)
		error = json_set_bytes(document, "key_file", key->path, strlen(key->path));
	if (!document || error)
		return error ? error : error_no_memory();
	*ret = take_ptr(document);
	return NULL;
}
