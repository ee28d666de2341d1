/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/dbus.h"

#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/io.h"

#define PROTOCOL_VERSION 1
#define FIXED_SIZE       16 /* what every message begins with, up to the length of its header's fields */
#define LINE_MAX_BYTES   256

enum field {
	FIELD_PATH = 1,
	FIELD_INTERFACE = 2,
	FIELD_MEMBER = 3,
	FIELD_ERROR_NAME = 4,
	FIELD_REPLY_SERIAL = 5,
	FIELD_SIGNATURE = 8,
};

/* --- the connection --- */

static struct error *check_time(const struct dbus *bus, uint64_t now)
{
	return now < bus->deadline_ns ? NULL : error_system(ETIMEDOUT, NULL, "the bus does not answer");
}

static struct error *await(struct dbus *bus, short events)
{
	struct pollfd p = {.fd = bus->fd, .events = events};
	uint64_t now = clock_monotonic_ns();
	struct error *error = check_time(bus, now);

	if (!error && poll(&p, 1, (int)((bus->deadline_ns - now) / 1000000) + 1) < 0 && errno != EINTR)
		error = error_system(errno, NULL, "cannot wait for the bus");
	return error;
}

static struct error *write_all(struct dbus *bus, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	while (size) {
		ssize_t n = send(bus->fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
		struct error *error;

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return error_system(errno, NULL, "cannot write to the bus");
		if (n > 0) {
			at += n;
			size -= n;
			continue;
		}
		error = await(bus, POLLOUT);
		if (error)
			return error;
	}
	return NULL;
}

static void drop_taken(struct dbus *bus)
{
	memmove(bus->bytes, bus->bytes + bus->taken, bus->have - bus->taken);
	bus->have -= bus->taken;
	bus->taken = 0;
}

/*
 * Until there are `size` bytes, at most DBUS_MESSAGE_MAX, that were not taken. What is there already moves only where
 * more must come: a buffer full of the smallest messages would be moved sixty thousand times.
 */
static struct error *fill(struct dbus *bus, size_t size)
{
	/* Here, and not only where nothing comes: who sends without an end would never be waited for. */
	struct error *error = check_time(bus, clock_monotonic_ns());

	if (bus->have - bus->taken < size)
		drop_taken(bus);
	while (!error && bus->have - bus->taken < size) {
		ssize_t n = recv(bus->fd, bus->bytes + bus->have, DBUS_MESSAGE_MAX - bus->have, MSG_DONTWAIT);

		if (n == 0)
			return error_system(ECONNRESET, NULL, "the bus has ended the connection");
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return error_system(errno, NULL, "cannot read from the bus");
		if (n > 0)
			bus->have += n;
		error = n > 0 ? check_time(bus, clock_monotonic_ns()) : await(bus, POLLIN);
	}
	return error;
}

/*
 * "OK GUID": the peer knows this user by the socket. What follows the line may be messages already. BEGIN goes along
 * with the question: sd-bus as a server leaves a message that it reads together with BEGIN until another one comes.
 */
static struct error *authenticate(struct dbus *bus)
{
	char user[16], hello[64];
	const uint8_t *end = NULL;
	size_t n = 0;
	struct error *error;

	snprintf(user, sizeof(user), "%u", (unsigned)geteuid());
	n = 1 + sprintf(hello + 1, "AUTH EXTERNAL ");
	hello[0] = '\0';
	for (const char *c = user; *c; c++)
		n += sprintf(hello + n, "%02x", *c);
	n += sprintf(hello + n, "\r\nBEGIN\r\n");
	error = write_all(bus, hello, n);
	for (n = 1; !error && !end && n < LINE_MAX_BYTES; n = bus->have + 1) {
		error = fill(bus, n);
		end = error ? NULL : memmem(bus->bytes, bus->have, "\r\n", 2);
	}
	if (error)
		return error;
	if (!end || memcmp(bus->bytes, "OK ", 3) != 0)
		return error_create(ERROR_FAILED, "the bus does not take us for who we are");
	bus->taken = end + 2 - bus->bytes;
	return NULL;
}

struct error *dbus_connect(const char *path, uint64_t deadline_ns, struct dbus *ret)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct error *error;

	*ret = (struct dbus){.fd = -1, .deadline_ns = deadline_ns};
	if (strlen(path) >= sizeof(address.sun_path))
		return error_system(ENAMETOOLONG, path, "cannot connect to");
	strcpy(address.sun_path, path);
	ret->bytes = malloc(DBUS_MESSAGE_MAX);
	/* Not to wait for one who accepts nobody any more: connect() has no end of its own. */
	ret->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (!ret->bytes)
		error = error_no_memory();
	else if (ret->fd < 0 || connect(ret->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		error = error_system(errno, path, "cannot connect to");
	else
		error = authenticate(ret);
	if (error)
		dbus_close(ret);
	return error;
}

void dbus_close(struct dbus *bus)
{
	close_fd(&bus->fd);
	free(bus->bytes);
	*bus = (struct dbus)DBUS_INIT;
}

/* --- what goes out --- */

/* Counted before: without memory nothing that is written brings it nearer. */
static void put_padding(FILE *stream, unsigned alignment)
{
	for (unsigned long n = -(unsigned long)ftell(stream) % alignment; n > 0; n--)
		fputc(0, stream);
}

/* False: there was no memory, for some of it or for the last. */
static bool end_stream(FILE *stream)
{
	bool failed = ferror(stream);

	return fclose(stream) == 0 && !failed;
}

static void put_u32(FILE *stream, uint32_t value)
{
	uint32_t le = htole32(value);

	put_padding(stream, sizeof(le));
	fwrite(&le, sizeof(le), 1, stream);
}

static void put_string(FILE *stream, const char *string)
{
	size_t n = strlen(string);

	put_u32(stream, n);
	fwrite(string, n + 1, 1, stream);
}

static void put_signature(FILE *stream, const char *signature)
{
	size_t n = strlen(signature);

	fputc((int)n, stream);
	fwrite(signature, n + 1, 1, stream);
}

void dbus_call_begin(struct dbus_call *call)
{
	*call = (struct dbus_call){};
	call->stream = open_memstream(&call->bytes, &call->size);
}

void dbus_put_string(struct dbus_call *call, const char *string)
{
	if (call->stream)
		put_string(call->stream, string);
}

void dbus_put_strings(struct dbus_call *call, const char *const *strings, size_t n)
{
	uint32_t size = 0;

	/* How long it is stands before it: musl's open_memstream() does not bear to be wound back. */
	for (size_t i = 0; i < n; i++)
		size = (size + 3) / 4 * 4 + 4 + strlen(strings[i]) + 1;
	if (!call->stream)
		return;
	put_u32(call->stream, size);
	for (size_t i = 0; i < n; i++)
		put_string(call->stream, strings[i]);
}

static void put_field(FILE *stream, enum field field, const char *type, const char *value)
{
	if (!*value)
		return;
	put_padding(stream, 8);
	fputc(field, stream);
	put_signature(stream, type);
	if (*type == 'g')
		put_signature(stream, value);
	else
		put_string(stream, value);
}

/* They begin at a multiple of 8, so that they can be laid out by themselves. */
static struct error *make_fields(const char *path, const char *interface, const char *member, const char *signature,
				 char **ret, size_t *ret_size)
{
	FILE *stream = open_memstream(ret, ret_size);

	if (!stream)
		return error_no_memory();
	put_field(stream, FIELD_PATH, "o", path);
	put_field(stream, FIELD_INTERFACE, "s", interface);
	put_field(stream, FIELD_MEMBER, "s", member);
	put_field(stream, FIELD_SIGNATURE, "g", signature);
	return end_stream(stream) ? NULL : error_no_memory();
}

static void le32_put(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

/* One call of send(): each would wake who waits at the other end. */
static struct error *send_parts(struct dbus *bus, const char *fields, size_t fields_size, const char *body,
				size_t body_size)
{
	size_t header_size = FIXED_SIZE + (fields_size + 7) / 8 * 8, size = header_size + body_size;
	_cleanup_(free_ptr) uint8_t *message = calloc(1, size);

	if (!message)
		return error_no_memory();
	message[0] = 'l';
	message[1] = DBUS_CALL;
	message[3] = PROTOCOL_VERSION;
	le32_put(message + 4, body_size);
	le32_put(message + 8, ++bus->serial);
	le32_put(message + 12, fields_size);
	memcpy(message + FIXED_SIZE, fields, fields_size);
	memcpy(message + header_size, body, body_size);
	return write_all(bus, message, size);
}

struct error *dbus_send(struct dbus *bus, struct dbus_call *call, const char *path, const char *interface,
			const char *member, const char *signature, uint32_t *ret_serial)
{
	_cleanup_(free_ptr) char *body = NULL, *fields = NULL;
	bool closed = call->stream && end_stream(call->stream);
	size_t fields_size = 0;
	struct error *error;

	body = take_ptr(call->bytes);
	call->stream = NULL;
	error = closed ? make_fields(path, interface, member, signature, &fields, &fields_size) : error_no_memory();
	if (!error)
		error = send_parts(bus, fields, fields_size, body, call->size);
	*ret_serial = bus->serial;
	return error;
}

/* --- what comes in --- */

struct error *dbus_align(struct cursor *body, unsigned alignment)
{
	return cursor_skip(body, (alignment - body->position % alignment) % alignment);
}

struct error *dbus_get_u32(struct cursor *body, uint32_t *ret)
{
	struct error *error = dbus_align(body, 4);

	return error ? error : cursor_le32(body, ret);
}

static struct error *get_text(struct cursor *body, uint64_t n, const char **ret)
{
	const uint8_t *bytes;
	struct error *error = cursor_bytes(body, n + 1, &bytes);

	if (!error && strnlen((const char *)bytes, n + 1) != n)
		return cursor_error(body, "a string with a NUL in it");
	if (!error)
		*ret = (const char *)bytes;
	return error;
}

struct error *dbus_get_string(struct cursor *body, const char **ret)
{
	uint32_t n;
	struct error *error = dbus_get_u32(body, &n);

	return error ? error : get_text(body, n, ret);
}

static struct error *get_signature(struct cursor *body, const char **ret)
{
	uint8_t n = 0;
	struct error *error = cursor_u8(body, &n);

	return error ? error : get_text(body, n, ret);
}

struct error *dbus_get_variant(struct cursor *body, const char **ret)
{
	const char *type;
	struct error *error = get_signature(body, &type);

	if (!error && strcmp(type, "s") != 0)
		error = cursor_error(body, "a variant of the type %s, where a string should be", type);
	return error ? error : dbus_get_string(body, ret);
}

struct error *dbus_get_array(struct cursor *body, unsigned alignment, uint64_t *ret_end)
{
	uint32_t n;
	struct error *error = dbus_get_u32(body, &n);

	if (!error)
		error = dbus_align(body, alignment);
	if (!error && n > cursor_left(body))
		error = cursor_error(body, "an array of %u bytes, of which %llu are there", n,
				     (unsigned long long)cursor_left(body));
	if (!error)
		*ret_end = body->position + n;
	return error;
}

/* Fields are of these types only. */
static struct error *take_field(struct cursor *header, struct dbus_message *message)
{
	const char *type, *text = "";
	uint32_t number = 0;
	struct error *error;
	uint8_t field;

	error = dbus_align(header, 8);
	if (!error)
		error = cursor_u8(header, &field);
	if (!error)
		error = get_signature(header, &type);
	if (error)
		return error;
	if (!strcmp(type, "s") || !strcmp(type, "o"))
		error = dbus_get_string(header, &text);
	else if (!strcmp(type, "g"))
		error = get_signature(header, &text);
	else if (!strcmp(type, "u"))
		error = dbus_get_u32(header, &number);
	else
		error = cursor_error(header, "a header field of the type %s", type);
	if (error)
		return error;
	if (field == FIELD_MEMBER)
		message->member = text;
	else if (field == FIELD_ERROR_NAME)
		message->error = text;
	else if (field == FIELD_SIGNATURE)
		message->signature = text;
	else if (field == FIELD_REPLY_SERIAL)
		message->reply_to = number;
	return NULL;
}

struct error *dbus_receive(struct dbus *bus, struct dbus_message *ret)
{
	uint64_t body_size, fields_size, size;
	const uint8_t *message;
	struct cursor header;
	struct error *error;

	*ret = (struct dbus_message){.member = "", .error = "", .signature = ""};
	error = fill(bus, FIXED_SIZE);
	if (error)
		return error;
	message = bus->bytes + bus->taken;
	body_size = le32_at(message + 4);
	fields_size = le32_at(message + 12);
	size = FIXED_SIZE + (fields_size + 7) / 8 * 8 + body_size;
	if (message[0] != 'l' || message[3] != PROTOCOL_VERSION || size > DBUS_MESSAGE_MAX)
		return error_format(NULL, ERROR_NO_ADDRESS, "a message of the bus that is none of ours: %llu bytes",
				    (unsigned long long)size);
	error = fill(bus, size);
	if (error)
		return error;
	/* It may have moved. */
	message = bus->bytes + bus->taken;
	bus->taken += size;
	ret->type = message[1];
	ret->body = cursor_init(message + size - body_size, body_size, NULL);
	header = cursor_init(message, FIXED_SIZE + fields_size, NULL);
	error = cursor_seek(&header, FIXED_SIZE);
	while (!error && cursor_left(&header))
		error = take_field(&header, ret);
	return error;
}
