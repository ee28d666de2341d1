/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/io.h"
#include "bundle/bundle.h"
#include "bundle/layer.h"
#include "bundle/manifest.h"
#include "bundle/signature.h"
#include "bundle/trailer.h"

#define MANIFEST_LEVEL 9 /* repetitive text: a tenth of its size in a blink */

static struct error *compress(const char *text, size_t size, void **ret, size_t *ret_size)
{
	size_t bound = ZSTD_compressBound(size), n;
	void *data = malloc(bound);

	if (!data)
		return error_no_memory();
	n = ZSTD_compress(data, bound, text, size, MANIFEST_LEVEL);
	if (ZSTD_isError(n)) {
		free(data);
		return error_create(ERROR_FAILED, "cannot compress the manifest: %s", ZSTD_getErrorName(n));
	}
	*ret = data;
	*ret_size = n;
	return NULL;
}

static struct error *hash(const void *data, size_t size, uint8_t digest[SHA256_SIZE])
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *sha256 = sha256_create();

	if (!sha256)
		return error_no_memory();
	sha256_update(sha256, data, size);
	sha256_final(sha256, digest);
	return NULL;
}

/* Writes the manifest's frame and completes what the trailer says about it. */
static struct error *write_manifest(int fd, const char *path, const struct bundle_manifest *manifest,
				    struct bundle_trailer *trailer)
{
	uint8_t head[BUNDLE_FRAME_HEAD_SIZE];
	struct packer p = {.data = head};
	_cleanup_(free_ptr) void *data = NULL;
	_cleanup_(free_ptr) char *json = NULL;
	size_t json_size = 0, size = 0;
	struct error *error;

	if ((error = manifest_to_json(manifest, &json, &json_size)) ||
	    (error = hash(json, json_size, trailer->json_sha256)) || (error = compress(json, json_size, &data, &size)))
		return error;
	if (json_size > BUNDLE_JSON_MAX || size > BUNDLE_MANIFEST_MAX)
		return error_create(ERROR_UNSUPPORTED, "the update has too many changes: its manifest has %zu bytes",
				    json_size);
	trailer->json_size = json_size;
	trailer->manifest_size = size;
	trailer->manifest_offset = trailer->layer_offset + trailer->layer_size + BUNDLE_FRAME_HEAD_SIZE;
	pack_le32(&p, BUNDLE_FRAME_MANIFEST);
	pack_le32(&p, (uint32_t)size);
	error = io_write(fd, head, sizeof(head), path);
	return error ? error : io_write(fd, data, size, path);
}

static struct error *write_frames(int fd, const char *path, const struct bundle_manifest *manifest,
				  const struct change_layer *layers, size_t n_layers,
				  const struct bundle_signing_key *key)
{
	_cleanup_(layer_records_deinit) struct layer_records records = {};
	uint8_t header[BUNDLE_HEADER_FRAME_SIZE], trailer_bytes[BUNDLE_TRAILER_FRAME_SIZE];
	uint8_t signature[BUNDLE_SIGNATURE_FRAME_SIZE];
	struct bundle_trailer trailer = {};
	struct layer_result layer;
	struct error *error;

	header_frame(key ? BUNDLE_FLAG_SIGNED : 0, header);
	if ((error = layer_records_create(&manifest->changes, &records)) ||
	    (error = io_write(fd, header, sizeof(header), path)) ||
	    (error = layer_write(fd, path, &records, layers, n_layers, &layer)))
		return error;
	trailer.layer_offset = layer.offset;
	trailer.layer_size = layer.size;
	trailer.tar_size = layer.tar_size;
	memcpy(trailer.tar_sha256, layer.tar_sha256, sizeof(trailer.tar_sha256));
	error = write_manifest(fd, path, manifest, &trailer);
	if (error)
		return error;
	trailer_frame(&trailer, trailer_bytes);
	error = io_write(fd, trailer_bytes, sizeof(trailer_bytes), path);
	if (error || !key)
		return error;
	error = signature_make(key, header, trailer_bytes, signature);
	return error ? error : io_write(fd, signature, sizeof(signature), path);
}

struct error *bundle_write(const char *path, const struct bundle_manifest *manifest, const struct change_layer *layers,
			   size_t n_layers, const struct bundle_signing_key *key)
{
	_cleanup_(free_ptr) char *temporary = string_format("%s.XXXXXX", path);
	_cleanup_(close_fd) int fd = -1;
	struct error *error;

	if (!temporary)
		return error_no_memory();
	fd = mkostemp(temporary, O_CLOEXEC); /* 0600 */
	if (fd < 0)
		return error_system(errno, path, "cannot create the bundle");
	error = write_frames(fd, path, manifest, layers, n_layers, key);
	if (!error && fsync(fd) < 0)
		error = error_system(errno, path, "cannot write the bundle");
	if (!error && rename(temporary, path) < 0)
		error = error_system(errno, path, "cannot put the bundle in place");
	if (error) {
		unlink(temporary);
		return error;
	}
	return io_sync_parent(path);
}
