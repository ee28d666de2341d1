/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/io.h"
#include "bundle/internal.h"
#include "bundle/manifest.h"
#include "bundle/signature.h"
#include "bundle/trailer.h"

/* The JSON, decompressed and of the hash the trailer states. */
static struct error *read_json(const struct bundle *bundle, char **ret)
{
	const struct bundle_trailer *t = &bundle->trailer;
	_cleanup_(sha256_destroy_ptr) struct sha256 *sha256 = sha256_create();
	_cleanup_(free_ptr) char *data = malloc(t->manifest_size + 1);
	_cleanup_(free_ptr) char *json = malloc(t->json_size + 1);
	uint8_t digest[SHA256_SIZE];
	struct error *error;
	size_t n;

	if (!sha256 || !data || !json)
		return error_no_memory();
	error = io_pread(bundle->fd, data, t->manifest_size, t->manifest_offset, bundle->path);
	if (error)
		return error;
	n = ZSTD_decompress(json, t->json_size, data, t->manifest_size);
	if (ZSTD_isError(n) || n != t->json_size)
		return error_format(bundle->path, t->manifest_offset, "damaged manifest: %s",
				    ZSTD_isError(n) ? ZSTD_getErrorName(n) : "not as long as the trailer says");
	sha256_update(sha256, json, n);
	sha256_final(sha256, digest);
	if (memcmp(digest, t->json_sha256, sizeof(digest)) != 0)
		return error_format(bundle->path, t->manifest_offset, "damaged manifest: wrong hash");
	*ret = take_ptr(json);
	return NULL;
}

/* Before anything else is believed: whoever signed the trailer signed the rest. */
static struct error *read_frames(struct bundle *bundle, uint64_t size)
{
	struct error *error;
	uint32_t flags;

	error = trailer_read(bundle->fd, size, bundle->path, &bundle->trailer, &flags);
	if (error || !(flags & BUNDLE_FLAG_SIGNED))
		return error;
	bundle->is_signed = true;
	return signature_read(bundle->fd, size, bundle->path, bundle->signer);
}

static struct error *open_checked(struct bundle *bundle)
{
	_cleanup_(free_ptr) char *json = NULL;
	struct error *error;
	struct stat st;

	bundle->fd = open(bundle->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (bundle->fd < 0 && errno == ENOENT)
		return error_create(ERROR_NOT_FOUND, "there is no bundle %s", bundle->path);
	if (bundle->fd < 0 || fstat(bundle->fd, &st) < 0)
		return error_system(errno, bundle->path, "cannot open the bundle");
	if (!S_ISREG(st.st_mode))
		return error_format(bundle->path, ERROR_NO_ADDRESS, "not a bundle: not a regular file");
	if ((error = read_frames(bundle, (uint64_t)st.st_size)) || (error = read_json(bundle, &json)) ||
	    (error = manifest_from_json(json, bundle->trailer.json_size, bundle->path, &bundle->manifest)))
		return error;
	return layer_records_create(&bundle->manifest.changes, &bundle->records);
}

struct error *bundle_open(const char *path, struct bundle **ret)
{
	_cleanup_(bundle_close_ptr) struct bundle *bundle = calloc(1, sizeof(*bundle));
	struct error *error;

	if (!bundle)
		return error_no_memory();
	bundle->fd = -1;
	bundle->path = strdup(path);
	if (!bundle->path)
		return error_no_memory();
	error = open_checked(bundle);
	if (error)
		return error_remedy(error, "run the update again");
	*ret = take_ptr(bundle);
	return NULL;
}

const struct bundle_manifest *bundle_manifest(const struct bundle *bundle)
{
	return &bundle->manifest;
}

const uint8_t *bundle_id(const struct bundle *bundle)
{
	return bundle->trailer.json_sha256;
}

const uint8_t *bundle_signer(const struct bundle *bundle)
{
	return bundle->is_signed ? bundle->signer : NULL;
}

struct error *bundle_verify(struct bundle *bundle)
{
	static const struct layer_consumer nobody;

	return bundle_read_layer(bundle, &nobody);
}

struct error *bundle_read_layer(struct bundle *bundle, const struct layer_consumer *consumer)
{
	return layer_read(bundle->fd, bundle->path, &bundle->trailer, &bundle->records, consumer);
}

void bundle_close(struct bundle *bundle)
{
	if (!bundle)
		return;
	layer_records_deinit(&bundle->records);
	bundle_manifest_deinit(&bundle->manifest);
	close_fd(&bundle->fd);
	free(bundle->path);
	free(bundle);
}
