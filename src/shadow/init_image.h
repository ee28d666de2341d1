/* SPDX-License-Identifier: Apache-2.0 */
/* Private: the static program of init/init.c, linked in as bytes. */
#ifndef SHADOW_INIT_IMAGE_H
#define SHADOW_INIT_IMAGE_H

extern const char shadow_init_image[];
extern const char shadow_init_image_end[];

#endif
