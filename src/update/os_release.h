/* SPDX-License-Identifier: Apache-2.0 */
/* os-release(5): what the distribution calls itself. Private to the room. */
#ifndef UPDATE_OS_RELEASE_H
#define UPDATE_OS_RELEASE_H

/* Value of KEY= without its quotes, "unknown" where there is none (also with NULL for the text); NULL: no memory.
 * The caller frees it. */
char *os_release_value(const char *text, const char *key);

#endif
