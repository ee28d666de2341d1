/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle/trailer.h"

#include <string.h>

#include "base/cursor.h"
#include "base/io.h"

void pack_bytes(struct packer *p, const void *data, size_t size)
{
	if (size)
		memcpy(p->data + p->size, data, size);
	p->size += size;
}

void pack_u8(struct packer *p, uint8_t value)
{
	p->data[p->size++] = value;
}

void pack_le16(struct packer *p, uint16_t value)
{
	for (int i = 0; i < 2; i++)
		pack_u8(p, (uint8_t)(value >> (8 * i)));
}

void pack_le32(struct packer *p, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		pack_u8(p, (uint8_t)(value >> (8 * i)));
}

void pack_le64(struct packer *p, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		pack_u8(p, (uint8_t)(value >> (8 * i)));
}

void header_frame(uint32_t flags, uint8_t ret[BUNDLE_HEADER_FRAME_SIZE])
{
	struct packer p = {.data = ret};

	pack_le32(&p, BUNDLE_FRAME_HEADER);
	pack_le32(&p, BUNDLE_HEADER_SIZE);
	pack_bytes(&p, BUNDLE_HEADER_MAGIC, BUNDLE_MAGIC_SIZE);
	pack_le32(&p, BUNDLE_VERSION);
	pack_le32(&p, flags);
}

void trailer_frame(const struct bundle_trailer *trailer, uint8_t ret[BUNDLE_TRAILER_FRAME_SIZE])
{
	struct packer p = {.data = ret};

	pack_le32(&p, BUNDLE_FRAME_TRAILER);
	pack_le32(&p, BUNDLE_TRAILER_SIZE);
	pack_bytes(&p, BUNDLE_TRAILER_MAGIC, BUNDLE_MAGIC_SIZE);
	pack_le64(&p, trailer->layer_offset);
	pack_le64(&p, trailer->layer_size);
	pack_le64(&p, trailer->tar_size);
	pack_le64(&p, trailer->manifest_offset);
	pack_le64(&p, trailer->manifest_size);
	pack_le64(&p, trailer->json_size);
	pack_bytes(&p, trailer->json_sha256, sizeof(trailer->json_sha256));
	pack_bytes(&p, trailer->tar_sha256, sizeof(trailer->tar_sha256));
}

/* The head of a skippable frame of a known kind and size. */
static struct error *check_head(struct cursor *c, uint32_t magic, uint64_t size)
{
	uint32_t found_magic, found_size;
	struct error *error;

	if ((error = cursor_le32(c, &found_magic)) || (error = cursor_le32(c, &found_size)))
		return error;
	if (found_magic != magic)
		return cursor_error(c, "not a bundle, or damaged: frame %#x where %#x belongs", found_magic, magic);
	if (found_size != size)
		return cursor_error(c, "damaged bundle: frame of %u bytes where %llu belong", found_size,
				    (unsigned long long)size);
	return NULL;
}

static struct error *check_magic(struct cursor *c, const char *magic)
{
	const uint8_t *bytes;
	struct error *error;

	error = cursor_bytes(c, BUNDLE_MAGIC_SIZE, &bytes);
	if (error)
		return error;
	return memcmp(bytes, magic, BUNDLE_MAGIC_SIZE) == 0 ? NULL : cursor_error(c, "not a bundle: wrong magic");
}

static struct error *check_header(int fd, const char *path, uint32_t *ret_flags)
{
	uint8_t bytes[BUNDLE_HEADER_FRAME_SIZE];
	struct cursor c = cursor_init(bytes, sizeof(bytes), path);
	uint32_t version, flags;
	struct error *error;

	if ((error = io_pread(fd, bytes, sizeof(bytes), 0, path)) ||
	    (error = check_head(&c, BUNDLE_FRAME_HEADER, BUNDLE_HEADER_SIZE)) ||
	    (error = check_magic(&c, BUNDLE_HEADER_MAGIC)) || (error = cursor_le32(&c, &version)) ||
	    (error = cursor_le32(&c, &flags)))
		return error;
	if (version != BUNDLE_VERSION || (flags & ~BUNDLE_FLAG_SIGNED))
		return error_remedy(cursor_error(&c, "bundle version %u with flags %#x is not known", version, flags),
				    "run the update again with this version");
	*ret_flags = flags;
	return NULL;
}

static struct error *parse_trailer(struct cursor *c, struct bundle_trailer *t)
{
	struct error *error;

	if ((error = check_head(c, BUNDLE_FRAME_TRAILER, BUNDLE_TRAILER_SIZE)) ||
	    (error = check_magic(c, BUNDLE_TRAILER_MAGIC)) || (error = cursor_le64(c, &t->layer_offset)) ||
	    (error = cursor_le64(c, &t->layer_size)) || (error = cursor_le64(c, &t->tar_size)) ||
	    (error = cursor_le64(c, &t->manifest_offset)) || (error = cursor_le64(c, &t->manifest_size)) ||
	    (error = cursor_le64(c, &t->json_size)) || (error = cursor_copy(c, t->json_sha256, sizeof(t->json_sha256))))
		return error;
	return cursor_copy(c, t->tar_sha256, sizeof(t->tar_sha256));
}

/* The frames in order, each beginning where the one before ends. */
static struct error *check_layout(const struct cursor *c, const struct bundle_trailer *t, uint64_t size)
{
	uint64_t middle = size - BUNDLE_HEADER_FRAME_SIZE - BUNDLE_TRAILER_FRAME_SIZE - BUNDLE_FRAME_HEAD_SIZE;

	if (t->manifest_size > BUNDLE_MANIFEST_MAX || t->json_size > BUNDLE_JSON_MAX)
		return cursor_error(c, "the manifest is too large");
	if (t->layer_offset != BUNDLE_HEADER_FRAME_SIZE || t->manifest_size > middle ||
	    t->layer_size != middle - t->manifest_size ||
	    t->manifest_offset != t->layer_offset + t->layer_size + BUNDLE_FRAME_HEAD_SIZE)
		return cursor_error(c, "damaged bundle: its frames do not fill it");
	return NULL;
}

#define FRAMES_SIZE_MIN (BUNDLE_HEADER_FRAME_SIZE + BUNDLE_FRAME_HEAD_SIZE + BUNDLE_TRAILER_FRAME_SIZE)

struct error *trailer_read(int fd, uint64_t size, const char *path, struct bundle_trailer *ret, uint32_t *ret_flags)
{
	uint8_t bytes[BUNDLE_TRAILER_FRAME_SIZE], head[BUNDLE_FRAME_HEAD_SIZE];
	struct cursor c = cursor_init(bytes, sizeof(bytes), path);
	struct cursor h = cursor_init(head, sizeof(head), path);
	struct bundle_trailer trailer;
	struct error *error;
	uint32_t flags = 0;

	if (size < FRAMES_SIZE_MIN)
		return error_format(path, size, "not a bundle: too short");
	error = check_header(fd, path, &flags);
	if (error)
		return error;
	if (flags & BUNDLE_FLAG_SIGNED) {
		if (size < FRAMES_SIZE_MIN + BUNDLE_SIGNATURE_FRAME_SIZE)
			return error_format(path, size, "not a signed bundle: too short");
		size -= BUNDLE_SIGNATURE_FRAME_SIZE;
	}
	c.base = size - sizeof(bytes);
	if ((error = io_pread(fd, bytes, sizeof(bytes), c.base, path)) || (error = parse_trailer(&c, &trailer)) ||
	    (error = check_layout(&c, &trailer, size)))
		return error;
	h.base = trailer.manifest_offset - BUNDLE_FRAME_HEAD_SIZE;
	if ((error = io_pread(fd, head, sizeof(head), h.base, path)) ||
	    (error = check_head(&h, BUNDLE_FRAME_MANIFEST, trailer.manifest_size)))
		return error;
	*ret = trailer;
	*ret_flags = flags;
	return NULL;
}
