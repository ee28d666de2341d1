/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of collect share. */
#ifndef GUEST_COLLECT_H
#define GUEST_COLLECT_H

#include <stdbool.h>
#include <sys/stat.h>

/* Says what failed, with errno, and ends the process. */
void die(const char *what) __attribute__((noreturn));

/* --- collect.c: records --- */

void put_file(const char *path);
void put_link(const char *path);
void put_stat(const char *path, const struct stat *st);

/* Of each name in a directory, to a NULL. */
void put_all(const char *directory, const char *const *names, void (*put)(const char *));

/* Calls `each` for every entry of a directory that is wanted; `want` NULL: all. */
void for_entries(const char *directory, bool (*want)(const char *), void (*each)(const char *path));

bool is_number(const char *name);

/* --- collect_proc.c: /proc --- */

/* All regular files of /proc that are not a process's, as far as reading them changes nothing. */
void put_system(void);

/* Those that change all the time. */
void put_moving_system(void);

/* All of /proc/PID. */
void put_process(const char *directory);

/* Who it is, its mounts and mappings. */
void put_process_in_short(const char *directory);

/* --- collect_swap.c --- */

/* Puts the page where the arguments of a process (a number) begin to swap; whether it went there. */
bool page_out_arguments(const char *process);

#endif
