/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bundle's parsers one by one, because hashes keep a fuzzer out of the whole: the frames, the
 * manifest (input that begins with '{'), the layer against a list of one change.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle/layer.h"
#include "bundle/manifest.h"
#include "bundle/signature.h"
#include "bundle/trailer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_manifest(const uint8_t *data, size_t size)
{
	struct bundle_manifest manifest;
	struct layer_records records;
	struct error *error;

	error = manifest_from_json((const char *)data, size, "fuzz", &manifest);
	if (!error) {
		error = layer_records_create(&manifest.changes, &records);
		if (!error)
			layer_records_deinit(&records);
		bundle_manifest_deinit(&manifest);
	}
	error_destroy(error);
}

static void parse_layer(int fd, size_t size)
{
	static const struct layer_consumer nobody;
	struct change change = {.kind = CHANGE_WRITE, .path = (char *)"file", .attributes.mode = S_IFREG | 0644};
	const struct change_list list = {&change, 1};
	const struct bundle_trailer trailer = {.layer_size = size, .tar_size = 1 << 20};
	struct layer_records records;

	error_destroy(layer_records_create(&list, &records));
	error_destroy(layer_read(fd, "fuzz", &trailer, &records, &nobody));
	layer_records_deinit(&records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bundle_trailer trailer;
	uint8_t key[BUNDLE_KEY_SIZE];
	uint32_t flags;
	int fd;

	if (size > 0 && data[0] == '{') {
		parse_manifest(data, size);
		return 0;
	}
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return 0;
	error_destroy(trailer_read(fd, size, "fuzz", &trailer, &flags));
	error_destroy(signature_read(fd, size, "fuzz", key));
	parse_layer(fd, size);
	close(fd);
	return 0;
}
