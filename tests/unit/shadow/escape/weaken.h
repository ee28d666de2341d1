/* SPDX-License-Identifier: Apache-2.0 */
/* How many names shadow/weaken.h's list may have. */
#ifndef TESTS_ESCAPE_WEAKEN_H
#define TESTS_ESCAPE_WEAKEN_H

#define WEAKEN_MAX 32

#endif
