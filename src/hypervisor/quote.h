/* SPDX-License-Identifier: Apache-2.0 */
/* Words for a shell that is not ours: QEMU's exec: and the guest's at the end of ssh. */
#ifndef HYPERVISOR_QUOTE_H
#define HYPERVISOR_QUOTE_H

/* The string as one word, whatever it holds: 'it'\''s'. malloc'd, NULL without memory. */
char *shell_quote(const char *word);

/* The words quoted, a blank between them; likewise. */
char *shell_quote_all(const char *const *words);

#endif
