/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree as text: one line a path, with everything an update may change but inode numbers and
 * change times. Hard links say which path they were first met at.
 */
#ifndef TEST_APPLY_DUMP_H
#define TEST_APPLY_DUMP_H

/* The helper's own directory and the root's time (staging changes it) are left out. The caller frees. */
char *dump_tree(const char *root);

#endif
