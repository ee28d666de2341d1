/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/json_out.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"

struct json_out json_out_begin(FILE *stream)
{
	struct json_out out = {.stream = stream, .ascii = isatty(fileno(stream)) == 1};

	fputs("{\"version\": 1", stream);
	out.comma = true;
	return out;
}

void json_out_end(struct json_out *out, const char *incomplete)
{
	if (incomplete)
		json_out_text(out, "incomplete", incomplete);
	fputs("}\n", out->stream);
}

/* What stands before a value. */
static void put_key(struct json_out *out, const char *suffix, const char *key)
{
	if (out->comma)
		fputs(", ", out->stream);
	out->comma = true;
	if (key)
		fprintf(out->stream, "\"%s%s\": ", key, suffix);
}

void json_out_list_begin(struct json_out *out, const char *key)
{
	json_out_array_begin(out, key);
}

void json_out_list_end(struct json_out *out)
{
	fputs(out->comma ? "\n]" : "]", out->stream);
	out->comma = true;
}

void json_out_entry_begin(struct json_out *out)
{
	fputs(out->comma ? ",\n  {" : "\n  {", out->stream);
	out->comma = false;
}

static void begin(struct json_out *out, const char *key, char bracket)
{
	put_key(out, "", key);
	fputc(bracket, out->stream);
	out->comma = false;
}

static void end(struct json_out *out, char bracket)
{
	fputc(bracket, out->stream);
	out->comma = true;
}

void json_out_array_begin(struct json_out *out, const char *key)
{
	begin(out, key, '[');
}

void json_out_array_end(struct json_out *out)
{
	end(out, ']');
}

void json_out_object_begin(struct json_out *out, const char *key)
{
	begin(out, key, '{');
}

void json_out_object_end(struct json_out *out)
{
	end(out, '}');
}

void json_out_u64(struct json_out *out, const char *key, uint64_t value)
{
	put_key(out, "", key);
	fprintf(out->stream, "%" PRIu64, value);
}

void json_out_i64(struct json_out *out, const char *key, int64_t value)
{
	put_key(out, "", key);
	fprintf(out->stream, "%" PRId64, value);
}

void json_out_bool(struct json_out *out, const char *key, bool value)
{
	put_key(out, "", key);
	fputs(value ? "true" : "false", out->stream);
}

void json_out_null(struct json_out *out, const char *key)
{
	put_key(out, "", key);
	fputs("null", out->stream);
}

void json_out_seconds(struct json_out *out, const char *key, uint64_t ns)
{
	char fraction[12];
	size_t n = 10;

	snprintf(fraction, sizeof(fraction), ".%09u", (unsigned)(ns % 1000000000));
	/* One digit stays: a number with a fraction is one everywhere. */
	while (n > 2 && fraction[n - 1] == '0')
		fraction[--n] = 0;
	put_key(out, "", key);
	fprintf(out->stream, "%" PRIu64 "%s", ns / 1000000000, fraction);
}

void json_out_address(struct json_out *out, const char *key, uint64_t value)
{
	put_key(out, "", key);
	fprintf(out->stream, "\"0x%" PRIx64 "\"", value);
}

static void put_point(FILE *stream, uint32_t point)
{
	if (point > 0xffff)
		fprintf(stream, "\\u%04x\\u%04x", 0xd800 + ((point - 0x10000) >> 10), 0xdc00 + (point & 0x3ff));
	else
		fprintf(stream, "\\u%04x", point);
}

static void put_character(const struct json_out *out, const uint8_t *text, size_t length)
{
	uint32_t point = length == 1 ? text[0] : text[0] & (0xffu >> (length + 1));

	for (size_t i = 1; i < length; i++)
		point = point << 6 | (text[i] & 0x3f);
	if (point == '"' || point == '\\')
		fprintf(out->stream, "\\%c", (char)point);
	else if (point == '\n' || point == '\t')
		fputs(point == '\n' ? "\\n" : "\\t", out->stream);
	else if (point < 0x20 || point == 0x7f || (out->ascii && point > 0x7f))
		put_point(out->stream, point);
	else
		fwrite(text, 1, length, out->stream);
}

bool json_out_string(struct json_out *out, const char *key, const void *data, size_t size)
{
	static const uint8_t replacement[] = {0xef, 0xbf, 0xbd};
	const uint8_t *text = data;
	bool clean = true;

	put_key(out, "", key);
	fputc('"', out->stream);
	for (size_t i = 0; i < size;) {
		size_t length = utf8_length(text + i, size - i);

		if (length)
			put_character(out, text + i, length);
		else
			put_character(out, replacement, sizeof(replacement));
		clean = clean && length;
		i += length ? length : 1;
	}
	fputc('"', out->stream);
	return clean;
}

void json_out_base64_begin(struct json_out *out, const char *key)
{
	put_key(out, "", key);
	fputc('"', out->stream);
}

void json_out_base64_part(struct json_out *out, const void *data, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i += 3) {
		size_t n = size - i < 3 ? size - i : 3;
		uint32_t bits = (uint32_t)bytes[i] << 16 | (n > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
				(n > 2 ? bytes[i + 2] : 0);
		char group[4] = {digits[bits >> 18], digits[bits >> 12 & 63], '=', '='};

		if (n > 1)
			group[2] = digits[bits >> 6 & 63];
		if (n > 2)
			group[3] = digits[bits & 63];
		fwrite(group, 1, sizeof(group), out->stream);
	}
}

void json_out_base64_end(struct json_out *out)
{
	fputc('"', out->stream);
}

void json_out_bytes(struct json_out *out, const char *key, const void *data, size_t size)
{
	if (!data) {
		json_out_null(out, key);
	} else if (!json_out_string(out, key, data, size)) {
		put_key(out, "_b64", key);
		fputc('"', out->stream);
		json_out_base64_part(out, data, size);
		json_out_base64_end(out);
	}
}

void json_out_text(struct json_out *out, const char *key, const char *text)
{
	json_out_bytes(out, key, text, text ? strlen(text) : 0);
}

void json_out_base64(struct json_out *out, const char *key, const void *data, size_t size)
{
	json_out_base64_begin(out, key);
	json_out_base64_part(out, data, size);
	json_out_base64_end(out);
}
