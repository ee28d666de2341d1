/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jansson with our errors, and strings that may hold any bytes. Host only: the guest helper
 * does not link it.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

DEFINE_CLEANUP(json_t *, json_decref)

/* Parses one document; `path` is for errors. Duplicate keys are an error. */
struct error *json_parse(const char *text, size_t size, const char *path, json_t **ret) _must_check_;
struct error *json_load_path(const char *path, size_t max, json_t **ret) _must_check_;

/* Replaces `path` atomically and durably with the document, indented, with a final newline. */
struct error *json_replace_file(const char *path, const json_t *value, mode_t mode) _must_check_;

/* Members of an object; absent or of another type is ERROR_FORMAT naming the key. Strings are borrowed. */
struct error *json_get_string(const json_t *object, const char *key, const char **ret) _must_check_;
struct error *json_get_u64(const json_t *object, const char *key, uint64_t *ret) _must_check_;
struct error *json_get_array(const json_t *object, const char *key, json_t **ret) _must_check_;
struct error *json_get_object(const json_t *object, const char *key, json_t **ret) _must_check_;

/*
 * Sets `key` to the bytes as a string. Bytes that are not UTF-8 become U+FFFD and the member
 * `KEY_b64` then holds all of them in base64. Embedded NULs count as not UTF-8.
 */
struct error *json_set_bytes(json_t *object, const char *key, const void *data, size_t size) _must_check_;
/* The reverse: `KEY_b64` where present, else `key`. The caller frees; NUL-terminated. */
struct error *json_get_bytes(const json_t *object, const char *key, char **ret, size_t *ret_size) _must_check_;

/*
 * Bytes of the UTF-8 character that the text begins with (RFC 3629: no overlong forms, no surrogates);
 * 0: none. `size` is at least 1. NUL is none.
 */
size_t utf8_length(const void *text, size_t size);

/* base64 (RFC 4648); malloc'd, NUL-terminated; NULL without memory. */
char *base64_encode(const void *data, size_t size);
/* ERROR_FORMAT for anything but canonical base64. */
struct error *base64_decode(const char *text, char **ret, size_t *ret_size) _must_check_;

#endif
