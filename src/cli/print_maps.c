/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "cli/escape.h"
#include "cli/json_out.h"
#include "cli/print.h"

/* Where the kernel begins the path, in characters of the line (seq_pad() of task_mmu.c: 25 + 6 words of 8). */
#define PATH_COLUMN 73

void print_maps(FILE *stream, const struct guest_map_list *list)
{
	enum escape_style style = isatty(fileno(stream)) == 1 ? ESCAPE_MAPS : ESCAPE_PROC;

	for (size_t i = 0; i < list->n && !ferror(stream); i++) {
		const struct guest_map *map = &list->items[i];
		int n = fprintf(stream, "%08llx-%08llx %s %08llx %02x:%02x %llu ", (unsigned long long)map->start,
				(unsigned long long)map->end, map->perms, (unsigned long long)map->offset, map->major,
				map->minor, (unsigned long long)map->inode);

		if (*map->path) {
			fprintf(stream, "%*s", n < PATH_COLUMN ? PATH_COLUMN - n : 0, "");
			escape_print(stream, map->path, strlen(map->path), style);
		}
		fputc('\n', stream);
	}
}

void print_maps_json(FILE *stream, const struct guest_map_list *list)
{
	struct json_out out = json_out_begin(stream);

	json_out_list_begin(&out, "maps");
	for (size_t i = 0; i < list->n && !ferror(stream); i++) {
		const struct guest_map *map = &list->items[i];

		json_out_entry_begin(&out);
		json_out_u64(&out, "start", map->start);
		json_out_u64(&out, "end", map->end);
		json_out_text(&out, "perms", map->perms);
		json_out_u64(&out, "offset", map->offset);
		json_out_u64(&out, "inode", map->inode);
		json_out_text(&out, "path", map->path);
		json_out_object_end(&out);
	}
	json_out_list_end(&out);
	json_out_end(&out, list->incomplete ? list->incomplete->message : NULL);
}
