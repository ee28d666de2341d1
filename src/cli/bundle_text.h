/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_BUNDLE_TEXT_H
#define CLI_BUNDLE_TEXT_H

#include <jansson.h>
#include <stdbool.h>

/* A bundle for people: what `update` and `show` print. */
void print_bundle(const json_t *document);

/* Packages that failed, with what they said where that is wanted; nothing where there were none. */
void print_failures(const json_t *failures, bool with_output);

/* What of it is left to the guest, and how many scripts ran offline; nothing where there were none. */
void print_deferred(const json_t *document);

/* A line for one of its actions, as document_of_actions() has them. */
void print_action(const json_t *action);

#endif
