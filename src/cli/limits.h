/* SPDX-License-Identifier: Apache-2.0 */
/* What a verb's shadow may use of the host: the options of exec and update. */
#ifndef CLI_LIMITS_H
#define CLI_LIMITS_H

#include "cli/verb.h"

/* Lines of a table of options. */
#define LIMIT_OPTIONS                                                                                                  \
	{"max-processes", 0, "N", "processes and threads of the shadow at the same time"},                             \
		{"max-memory", 0, "SIZE", "memory of the host for all of them, as 512M or 2G"},                        \
		{"max-disk", 0, "SIZE", "what all they write may take on the host's disk"},                            \
	{                                                                                                              \
		"max-open-files", 0, "N", "open files of each process"                                                 \
	}

/* Those that were given; the others are 0, for the shadow's own defaults. */
struct error *invocation_limits(const struct invocation *invocation, struct shadow_limits *ret) _must_check_;

#endif
