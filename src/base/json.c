/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"

struct error *json_parse(const char *text, size_t size, const char *path, json_t **ret)
{
	json_error_t failure;
	json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES, &failure);

	if (!value)
		return error_format(path, (uint64_t)failure.position, "not JSON: %s (line %d)", failure.text,
				    failure.line);
	*ret = value;
	return NULL;
}

struct error *json_load_path(const char *path, size_t max, json_t **ret)
{
	_cleanup_(free_ptr) char *text = NULL;
	size_t size;
	struct error *error = io_read_file(path, max, &text, &size);

	if (error)
		return error;
	return json_parse(text, size, path, ret);
}

struct error *json_replace_file(const char *path, const json_t *value, mode_t mode)
{
	_cleanup_(free_ptr) char *text = json_dumps(value, JSON_INDENT(2));
	_cleanup_(free_ptr) char *line = text ? string_format("%s\n", text) : NULL;

	if (!line)
		return error_no_memory();
	return io_replace_file(path, line, strlen(line), mode);
}

static struct error *wrong_type(const char *key, const json_t *found, const char *expected)
{
	return error_format(NULL, ERROR_NO_ADDRESS, "\"%s\" is %s, %s expected", key,
			    found ? "of another type" : "missing", expected);
}

struct error *json_get_string(const json_t *object, const char *key, const char **ret)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_string(value))
		return wrong_type(key, value, "a string");
	*ret = json_string_value(value);
	return NULL;
}

struct error *json_get_u64(const json_t *object, const char *key, uint64_t *ret)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return wrong_type(key, value, "a number that is not negative");
	*ret = (uint64_t)json_integer_value(value);
	return NULL;
}

struct error *json_get_array(const json_t *object, const char *key, json_t **ret)
{
	json_t *value = json_object_get(object, key);

	if (!json_is_array(value))
		return wrong_type(key, value, "an array");
	*ret = value;
	return NULL;
}

struct error *json_get_object(const json_t *object, const char *key, json_t **ret)
{
	json_t *value = json_object_get(object, key);

	if (!json_is_object(value))
		return wrong_type(key, value, "an object");
	*ret = value;
	return NULL;
}

size_t utf8_length(const void *data, size_t size)
{
	const uint8_t *text = data;
	uint8_t first = text[0];
	size_t length;
	uint32_t point;

	if (first == 0)
		return 0;
	if (first < 0x80)
		return 1;
	length = first >= 0xf0 && first <= 0xf4 ? 4 : first >= 0xe0 ? 3 : 2;
	if (first < 0xc2 || first > 0xf4 || length > size)
		return 0;
	point = first & (0xffu >> (length + 1));
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (text[i] & 0x3f);
	}
	if (length == 3 && (point < 0x800 || (point >= 0xd800 && point <= 0xdfff)))
		return 0;
	if (length == 4 && (point < 0x10000 || point > 0x10ffff))
		return 0;
	return length;
}

/* Copies `size` bytes to `out` (room for 3 * size + 1) with U+FFFD for what is not UTF-8; false if there was any. */
static bool utf8_clean(const uint8_t *data, size_t size, char *out)
{
	bool clean = true;

	for (size_t i = 0; i < size;) {
		size_t length = utf8_length(data + i, size - i);

		if (length) {
			memcpy(out, data + i, length);
			out += length;
			i += length;
		} else {
			memcpy(out, "\xef\xbf\xbd", 3);
			out += 3;
			i++;
			clean = false;
		}
	}
	*out = 0;
	return clean;
}

static struct error *set_base64(json_t *object, const char *key, const void *data, size_t size)
{
	_cleanup_(free_ptr) char *raw_key = string_format("%s_b64", key);
	_cleanup_(free_ptr) char *encoded = base64_encode(data, size);

	if (!raw_key || !encoded || json_object_set_new(object, raw_key, json_string(encoded)) < 0)
		return error_no_memory();
	return NULL;
}

struct error *json_set_bytes(json_t *object, const char *key, const void *data, size_t size)
{
	_cleanup_(free_ptr) char *text = malloc(3 * size + 1);
	bool clean;

	if (!text)
		return error_no_memory();
	clean = utf8_clean(data, size, text);
	if (json_object_set_new(object, key, json_string(text)) < 0)
		return error_no_memory();
	return clean ? NULL : set_base64(object, key, data, size);
}

struct error *json_get_bytes(const json_t *object, const char *key, char **ret, size_t *ret_size)
{
	_cleanup_(free_ptr) char *raw_key = string_format("%s_b64", key);
	const char *text;
	struct error *error;

	if (!raw_key)
		return error_no_memory();
	if (json_object_get(object, raw_key)) {
		error = json_get_string(object, raw_key, &text);
		return error ? error : base64_decode(text, ret, ret_size);
	}
	error = json_get_string(object, key, &text);
	if (error)
		return error;
	*ret = strdup(text);
	if (!*ret)
		return error_no_memory();
	if (ret_size)
		*ret_size = strlen(text);
	return NULL;
}

char *base64_encode(const void *data, size_t size)
{
	char *text;

	if (size > INT_MAX / 2)
		return NULL;
	text = malloc(4 * ((size + 2) / 3) + 1);
	if (text)
		EVP_EncodeBlock((unsigned char *)text, data, (int)size);
	return text;
}

struct error *base64_decode(const char *text, char **ret, size_t *ret_size)
{
	_cleanup_(free_ptr) char *bytes = NULL;
	_cleanup_(free_ptr) char *again = NULL;
	size_t length = strlen(text), padding = 0, size;

	if (length % 4 || length > INT_MAX / 2)
		return error_format(NULL, ERROR_NO_ADDRESS, "not base64: its length is %zu", length);
	while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
		padding++;
	bytes = malloc(length / 4 * 3 + 1);
	if (!bytes)
		return error_no_memory();
	if (EVP_DecodeBlock((unsigned char *)bytes, (const unsigned char *)text, (int)length) < 0)
		return error_format(NULL, ERROR_NO_ADDRESS, "not base64: a character that does not belong there");
	size = length / 4 * 3 - padding;
	bytes[size] = 0;
	/* EVP_DecodeBlock() lets through spaces and stray bits; canonical text comes out as it went in. */
	again = base64_encode(bytes, size);
	if (!again)
		return error_no_memory();
	if (strcmp(again, text) != 0)
		return error_format(NULL, ERROR_NO_ADDRESS, "not canonical base64");
	if (ret_size)
		*ret_size = size;
	*ret = take_ptr(bytes);
	return NULL;
}
