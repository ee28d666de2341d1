/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Xen's tool xl prints for people, read; private to the driver (xen.c). Xen 4.17, tools/xl/xl_list.c and xl_nic.c:
 * the columns are kept for scripts, but only the network's are meant for them.
 */
#ifndef HYPERVISOR_XEN_LISTS_H
#define HYPERVISOR_XEN_LISTS_H

#include <stdbool.h>

#include "base/error.h"

#define XEN_PATH_MAX 128 /* of a place in xenstore; its own bound is 3072, of names that libxl does not make */

/* The number of the domain with this UUID in `xl vm-list`: a heading, then "UUID NUMBER NAME"; -1: there is none. */
long xen_find_domain(const char *list, const char *uuid);

/* Whether the only domain of `xl list` is paused: a heading, then "NAME NUMBER MEMORY CPUS --p--- SECONDS". */
bool xen_is_paused(const char *list);

/* A network card of a domain. */
struct xen_card {
	unsigned index, backend;  /* the card's number; the number of the domain that serves it */
	char place[XEN_PATH_MAX]; /* of the backend in xenstore */
};

/* A line of `xl network-list` that is not its heading; another one is ERROR_FORMAT. */
struct error *xen_read_card(const char *line, struct xen_card *ret) _must_check_;

#endif
