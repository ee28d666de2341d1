/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a script imports, and what that imports, as far as the text of the files tells: the statements at the beginning
 * of lines, as needrestart reads them. What is loaded by a name that only the running program knows is not found.
 * Private to the room.
 */
#ifndef UPDATE_RESTART_IMPORTS_H
#define UPDATE_RESTART_IMPORTS_H

#include <glib.h>
#include <stdbool.h>

#include "base/error.h"
#include "update/restart.h"

enum import_language {
	IMPORTS_OF_PYTHON,
	IMPORTS_OF_PERL,
};

/* Bounds of one trace: Python's whole standard library has 1,800 files of 30 MB. */
#define IMPORTS_FILES_MAX 4000u
#define IMPORTS_BYTES_MAX (48u << 20)
#define IMPORTS_FILE_MAX  (2u << 20)

struct imports {
	int root_fd; /* the guest's files */
	enum import_language language;
	GPtrArray *directories; /* where modules are looked for, in order; relative paths, owned */
	GPtrArray *queue;       /* files still to be read, and those that were; relative paths, owned by `seen` */
	GHashTable *seen;
	size_t next;    /* in the queue */
	uint64_t bytes; /* read */
	bool cut;       /* more was imported than was followed */
};

void imports_init(struct imports *imports, int root_fd, enum import_language language);
void imports_deinit(struct imports *imports);
/* A directory of modules; absolute or relative path in the guest. */
void imports_add_directory(struct imports *imports, const char *path);
/* The file to begin with; false: it is not there. */
bool imports_add_file(struct imports *imports, const char *path);
/* The module to begin with, by its name ("a.b", "A::B"); false: not found. */
bool imports_add_module(struct imports *imports, const char *name);

/* What the text of one file imports goes into the queue. `path`: the file's own. */
void imports_read_text(struct imports *imports, const char *path, char *text);

/* Follows everything; the queue then holds all files. */
void imports_follow(struct imports *imports);

#endif
