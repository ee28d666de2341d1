/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON document that is written while it is made: a list of a million entries needs no memory, and
 * numbers have all of their 64 bits. Failures to write stay with the stream (ferror).
 *
 *	{"version": 1, "processes": [
 *	  {"pid": 1, …},
 *	  {"pid": 2, …}
 *	]}
 */
#ifndef CLI_JSON_OUT_H
#define CLI_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json_out {
	FILE *stream; /* borrowed */
	bool ascii;   /* everything else is written as \uXXXX: for terminals */
	bool comma;   /* something stands before the next value */
};

/* Begins the document with its version. To a terminal it is plain ASCII. */
struct json_out json_out_begin(FILE *stream);
/* Ends it, with "incomplete": WHY unless that is NULL. */
void json_out_end(struct json_out *out, const char *incomplete);

/* The document's list, and an entry of it on a line of its own. */
void json_out_list_begin(struct json_out *out, const char *key);
void json_out_list_end(struct json_out *out);
void json_out_entry_begin(struct json_out *out);

/* `key` NULL: an element of an array. Keys are our own words. */
void json_out_array_begin(struct json_out *out, const char *key);
void json_out_array_end(struct json_out *out);
void json_out_object_begin(struct json_out *out, const char *key);
void json_out_object_end(struct json_out *out);

void json_out_u64(struct json_out *out, const char *key, uint64_t value);
void json_out_i64(struct json_out *out, const char *key, int64_t value);
void json_out_bool(struct json_out *out, const char *key, bool value);
void json_out_null(struct json_out *out, const char *key);
/* Nanoseconds as seconds, exactly: 12.345 */
void json_out_seconds(struct json_out *out, const char *key, uint64_t ns);
/* The address as "0x…": numbers above 2^53 do not survive many readers. */
void json_out_address(struct json_out *out, const char *key, uint64_t value);

/*
 * Any bytes as a string. What is not UTF-8 (NULs, too) becomes U+FFFD, and the member KEY_b64 after it
 * has all bytes in base64. NULL is null.
 */
void json_out_bytes(struct json_out *out, const char *key, const void *data, size_t size);
void json_out_text(struct json_out *out, const char *key, const char *text);
/* Only the string, without KEY_b64; false: there was something that is not UTF-8. For elements of arrays. */
bool json_out_string(struct json_out *out, const char *key, const void *data, size_t size);
/* Base64 alone, in parts: `size` of all but the last is a multiple of 3. */
void json_out_base64_begin(struct json_out *out, const char *key);
void json_out_base64_part(struct json_out *out, const void *data, size_t size);
void json_out_base64_end(struct json_out *out);
/* The same at once. */
void json_out_base64(struct json_out *out, const char *key, const void *data, size_t size);

#endif
