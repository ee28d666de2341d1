/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may sign a VM's bundles. Keys are named, first found wins, by the command line or the environment
 * (struct update_settings), by the VM file, by CONFIG_DIR/sign-key.pem and CONFIG_DIR/verify-keys. Private to the room.
 */
#ifndef UPDATE_TRUST_H
#define UPDATE_TRUST_H

#include <jansson.h>

#include "bundle/bundle.h"
#include "update/session.h"

/*
 * The key that signs the VM's bundles; *ret NULL: none is configured. Warns where the VM's keys would not accept what
 * it signs. A key that is configured and cannot be used is ERROR_USAGE.
 */
struct error *trust_signing_key(const struct session *session, struct bundle_signing_key **ret) _must_check_;

/* ERROR_CONFLICT if keys are configured and none of them signed the bundle. */
struct error *trust_check(const struct session *session, const struct bundle *bundle) _must_check_;

/*
 * {"key": fingerprint, "trusted": true or false, or null where no keys are configured, "key_file": of the trusted key,
 * or null}; null: not signed.
 */
struct error *trust_document(const struct session *session, const struct bundle *bundle, json_t **ret) _must_check_;

#endif
