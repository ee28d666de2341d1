/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people see: text that a guest may have chosen is escaped before it reaches a terminal,
 * progress is a bar, lines, JSON lines or nothing, warnings go to standard error.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Prints on one line whatever the text is (ESCAPE_TEXT of cli/escape.h). */
void output_text(const char *text);

/* Each line of the text behind `indent`, escaped like output_text(). */
void output_lines(const char *text, const char *indent);

/* "LABEL:   VALUE"; nothing if the member is absent or null. Strings are escaped. */
void output_member(const char *label, const json_t *object, const char *key);

/* "LABEL:   VALUE" of a time in seconds since the epoch; nothing if the member is absent or null. */
void output_time(const char *label, const json_t *object, const char *key);

/* The packages of a document: "NAME  OLD → NEW", a line each. */
void output_packages(const json_t *packages);

/* Bytes as "12.3 MiB"; the buffer is static. */
const char *output_size(uint64_t bytes);

/* Listens to log and progress. `mode` as the option --progress has it; NULL: auto. */
struct error *output_setup(const char *mode, bool verbose) _must_check_;

/* Without --verbose only warnings are printed from here on: standard error is somebody else's. */
void output_warnings_only(void);

/*
 * To be called before the first byte of a result: a reader who goes away is from here on a failure to
 * write, which ends the output (ferror), and no signal.
 */
void output_begin(void);

/* From here on an error may quote what a program said, in lines; before, a newline is one in the name of a file. */
void output_keep_lines(void);

/* "ouassister: MESSAGE" and the remedy; escaped. */
void output_error(const struct error *error);

#endif
