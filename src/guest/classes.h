/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of a class (/sys/class). Private to guest/. */
#ifndef GUEST_CLASSES_H
#define GUEST_CLASSES_H

#include "guest/containers.h"

/* Calls `visit` with each struct device of the class that the kernel has as a variable (block_class), in its order. */
struct error *class_walk(struct guest *guest, const char *name, list_visit visit, void *context) _must_check_;

#endif
