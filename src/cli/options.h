/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing of the command line after the verb, and help out of the same tables. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdio.h>

#include "cli/verb.h"

/* Options that every verb has. */
extern const struct option_spec common_options[];
/* Options of the verbs that read memory. */
extern const struct option_spec memory_options[];

/* Parses what follows the verb (argv[0] is the verb). ERROR_USAGE for what the tables do not hold. */
struct error *options_parse(const struct verb *verb, int argc, char **argv, struct invocation *ret) _must_check_;

void options_print(FILE *stream, const struct option_spec *options);

#endif
