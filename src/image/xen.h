/* SPDX-License-Identifier: Apache-2.0 */
/* Xen's save file: what its two files here share. Private to image/. */
#ifndef IMAGE_XEN_H
#define IMAGE_XEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "image/map.h"
#include "image/ops.h"
#include "image/reader.h"

/* The domain's type in libxc's header. A PVH domain is saved as an HVM one is. */
enum xen_domain {
	XEN_DOMAIN_PV = 1,
	XEN_DOMAIN_HVM = 2,
};

/* Where the parts of the file lie, in bytes from its beginning; checked against its size. */
struct xen_layout {
	uint64_t config; /* libxl's JSON, mostly with a NUL at its end */
	uint32_t config_size;
	uint64_t stream; /* libxl's header */
};
struct error *xen_layout_read(const struct image_file *file, struct xen_layout *ret) _must_check_;

/* A record of libxl's or of libxc's stream: le32 type, le32 size, the body, zeros up to a multiple of 8 bytes. */
struct xen_record {
	uint32_t type;
	uint32_t size; /* of the body, without the zeros */
	uint64_t body; /* its place in the file */
};
struct error *xen_record_read(struct reader *r, struct xen_record *ret) _must_check_;
/* Goes on to the next record, from any place in this one. */
struct error *xen_record_end(struct reader *r, const struct xen_record *record) _must_check_;

struct error *xen_le32(struct reader *r, uint32_t *ret) _must_check_;

/* libxc's records up to their end, from behind its headers on. Fills the map. */
struct error *xen_read_pages(struct reader *r, bool pv, struct image_map *map) _must_check_;

#endif
