/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Xen's save file, as `xl save` writes it. Three layers, one in the other:
 *
 *   xl       header of 48 bytes, then the domain's configuration as libxl's JSON     (xen.git tools/xl/xl.h)
 *   libxl    header of 16 bytes, records                  (docs/specs/libxl-migration-stream.pandoc, version 2)
 *   libxc    header of 24 + 16 bytes, records: the memory (docs/specs/libxc-migration-stream.pandoc, version 3)
 *
 * The two inner headers begin big-endian; all else is in the byte order of the host that wrote it, of which
 * little-endian is read. The layers are not padded against each other. The memory is in the libxc records:
 * image/xen_pages.c.
 */
#include <endian.h>
#include <string.h>

#include "base/cleanup.h"
#include "image/xen.h"

#define XL_MAGIC                "Xen saved domain, xl format\n \0 \r"
#define XL_MAGIC_SIZE           32u
#define XL_PROBE_SIZE           27u
#define XL_BYTE_ORDER           0x01020304u
#define XL_FLAG_JSON            1u /* the configuration is JSON; before Xen 4.5 it was xl's own text */
#define XL_FLAG_STREAM_2        2u /* libxl's stream is there; before Xen 4.6 it was not */
#define XL_FLAGS                (XL_FLAG_JSON | XL_FLAG_STREAM_2)

#define LIBXL_MAGIC             UINT64_C(0x4c6962786c466d74) /* "LibxlFmt" */
#define LIBXL_VERSION           2u
#define LIBXL_OPTION_BIG        1u
#define LIBXL_END               0u
#define LIBXL_LIBXC             1u

#define LIBXC_MARKER            UINT64_MAX
#define LIBXC_ID                0x58454e46u /* "XENF" */
#define LIBXC_VERSION_MIN       2u          /* 3 says more about the CPU, and nothing else about memory */
#define LIBXC_VERSION_MAX       3u
#define LIBXC_OPTION_BIG        1u
#define LIBXC_PAGE_SHIFT        12u

#define INCOMPLETE_OR_ELSEWHERE "Copy the file again from where it was saved, or save the domain again"

static bool xen_probe(const uint8_t *head, size_t size)
{
	/* Without the magic's odd end: a file that went through a terminal or a text tool is then known for what it
	 * was. */
	return size >= XL_PROBE_SIZE && memcmp(head, XL_MAGIC, XL_PROBE_SIZE) == 0;
}

struct error *xen_le32(struct reader *r, uint32_t *ret)
{
	uint32_t raw;
	struct error *error = reader_copy(r, &raw, sizeof(raw));

	if (!error)
		*ret = le32toh(raw);
	return error;
}

static struct error *unsupported(const struct reader *r, const char *what)
{
	struct error *error = error_recode(reader_error(r, "%s, which cannot be read", what), ERROR_UNSUPPORTED);

	return error_remedy(error, "Restore the domain and save it again by xl of Xen 4.6 or later, on x86");
}

/* ---- xl ---- */

/* The header, at the file's beginning: where the configuration and libxl's stream begin. */
static struct error *read_xl_header(struct reader *r, struct xen_layout *ret)
{
	uint32_t order, mandatory, optional, size, config_size;
	char magic[XL_MAGIC_SIZE];
	struct error *error;

	r->what = "xl's header";
	error = reader_copy(r, magic, sizeof(magic));
	if (!error && memcmp(magic, XL_MAGIC, XL_MAGIC_SIZE) != 0)
		return error_remedy(reader_error(r, "xl's header is damaged at its beginning"),
				    INCOMPLETE_OR_ELSEWHERE);
	if (!error)
		error = xen_le32(r, &order);
	if (!error && order != XL_BYTE_ORDER)
		return unsupported(r, "a file of a host of another byte order");
	if (!error)
		error = xen_le32(r, &mandatory);
	if (!error)
		error = xen_le32(r, &optional); /* by their name: they may be ignored */
	if (!error)
		error = xen_le32(r, &size);
	if (error)
		return error;
	if (mandatory & ~XL_FLAGS)
		return unsupported(r, "a file of a later Xen, with flags that are not known");
	if ((mandatory & XL_FLAGS) != XL_FLAGS)
		return unsupported(r, "a file of a Xen before 4.6");
	r->what = "the domain's configuration";
	error = xen_le32(r, &config_size);
	if (error)
		return error;
	if (size < sizeof(config_size) || config_size > size - sizeof(config_size))
		return error_remedy(reader_error(r, "a configuration of %u bytes in the %u that xl's header says",
						 config_size, size),
				    INCOMPLETE_OR_ELSEWHERE);
	ret->config = r->position;
	ret->config_size = config_size;
	ret->stream = r->position + size - sizeof(config_size);
	return reader_skip(r, size - sizeof(config_size));
}

struct error *xen_layout_read(const struct image_file *file, struct xen_layout *ret)
{
	_cleanup_(reader_deinit) struct reader r;

	reader_init(&r, file, 0);
	return read_xl_header(&r, ret);
}

/* ---- libxc ---- */

static struct error *read_libxc_header(struct reader *r, bool *ret_pv)
{
	uint64_t marker;
	uint32_t id, version, type, shift, rest;
	uint16_t options, reserved;
	struct error *error;

	r->what = "libxc's header";
	error = reader_be64(r, &marker);
	if (!error)
		error = reader_be32(r, &id);
	if (!error)
		error = reader_be32(r, &version);
	if (!error)
		error = reader_be16(r, &options);
	if (!error)
		error = reader_be16(r, &reserved);
	if (!error)
		error = reader_be32(r, &rest);
	if (error)
		return error;
	if (marker != LIBXC_MARKER || id != LIBXC_ID)
		return error_remedy(reader_error(r, "libxc's stream does not begin where it should"),
				    INCOMPLETE_OR_ELSEWHERE);
	if (version < LIBXC_VERSION_MIN || version > LIBXC_VERSION_MAX)
		return error_recode(reader_error(r, "version %u of libxc's stream; known are %u and %u", version,
						 LIBXC_VERSION_MIN, LIBXC_VERSION_MAX),
				    ERROR_UNSUPPORTED);
	if (options & LIBXC_OPTION_BIG)
		return unsupported(r, "a stream of a host of another byte order");
	error = xen_le32(r, &type);
	if (!error)
		error = xen_le32(r, &shift); /* 16 bits, and 16 reserved */
	if (!error)
		error = reader_skip(r, 8); /* of which Xen */
	if (error)
		return error;
	if (type != XEN_DOMAIN_PV && type != XEN_DOMAIN_HVM)
		return unsupported(r, "a domain that is of neither kind of x86's");
	if ((shift & 0xffff) != LIBXC_PAGE_SHIFT)
		return unsupported(r, "a domain with pages of another size than 4 KiB");
	*ret_pv = type == XEN_DOMAIN_PV;
	return NULL;
}

static struct error *read_libxc(struct reader *r, struct image_map *map)
{
	bool pv = false;
	struct error *error = read_libxc_header(r, &pv);

	return error ? error : xen_read_pages(r, pv, map);
}

/* ---- libxl ---- */

static struct error *read_libxl_header(struct reader *r)
{
	uint64_t magic;
	uint32_t version, options;
	struct error *error;

	r->what = "libxl's header";
	error = reader_be64(r, &magic);
	if (!error)
		error = reader_be32(r, &version);
	if (!error)
		error = reader_be32(r, &options);
	if (error)
		return error;
	if (magic != LIBXL_MAGIC)
		return error_remedy(reader_error(r, "libxl's stream does not begin where it should"),
				    INCOMPLETE_OR_ELSEWHERE);
	if (version != LIBXL_VERSION)
		return error_recode(
			reader_error(r, "version %u of libxl's stream; known is %u", version, LIBXL_VERSION),
			ERROR_UNSUPPORTED);
	if (options & LIBXL_OPTION_BIG)
		return unsupported(r, "a stream of a host of another byte order");
	/* Another option: a stream of Xen before 4.6, turned into this format. libxc's layer is then in its version 2.
	 */
	return NULL;
}

struct error *xen_record_read(struct reader *r, struct xen_record *ret)
{
	struct error *error = xen_le32(r, &ret->type);

	if (!error)
		error = xen_le32(r, &ret->size);
	ret->body = r->position;
	return error;
}

struct error *xen_record_end(struct reader *r, const struct xen_record *record)
{
	uint64_t end = record->body + (((uint64_t)record->size + 7) & ~UINT64_C(7));

	return reader_skip(r, end - r->position);
}

/* To libxl's own end: a file that ends before it is only a part of what was saved. */
static struct error *read_libxl_records(struct reader *r, struct image_map *map)
{
	bool had_memory = false;

	for (;;) {
		struct xen_record record;
		struct error *error;

		r->what = "libxl's records";
		error = xen_record_read(r, &record);
		if (error)
			return error;
		if (record.type == LIBXL_END)
			break;
		if (record.type == LIBXL_LIBXC && had_memory)
			return unsupported(r, "a stream of checkpoints");
		if (record.type == LIBXL_LIBXC && record.size != 0)
			return error_remedy(reader_error(r, "the record of libxc's stream has a length"),
					    INCOMPLETE_OR_ELSEWHERE);
		/* Others are of the toolstack and of QEMU: they hold none of the domain's memory. */
		had_memory = had_memory || record.type == LIBXL_LIBXC;
		error = record.type == LIBXL_LIBXC ? read_libxc(r, map) : xen_record_end(r, &record);
		if (error)
			return error;
	}
	if (had_memory)
		return NULL;
	return error_remedy(reader_error(r, "libxl's stream ends without a domain's memory"), INCOMPLETE_OR_ELSEWHERE);
}

static struct error *xen_open(struct image_file *file, struct image_map *map)
{
	_cleanup_(reader_deinit) struct reader r;
	struct xen_layout layout;
	struct error *error;

	reader_init(&r, file, 0);
	error = read_xl_header(&r, &layout);
	if (!error)
		error = read_libxl_header(&r);
	return error ? error : read_libxl_records(&r, map);
}

const struct image_ops xen_save_ops = {
	.name = "xen-save",
	.probe = xen_probe,
	.open = xen_open,
};
