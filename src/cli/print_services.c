/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/json_out.h"
#include "cli/print.h"

void print_services(FILE *stream, const struct services *services)
{
	for (size_t i = 0; i < services->n && !ferror(stream); i++) {
		const struct service *service = &services->items[i];

		fprintf(stream, "%s\n", service->unit);
		for (size_t k = 0; k < service->n; k++) {
			const struct guest_task *task = services->tasks[service->first + k];

			fprintf(stream, "%s%u ", k + 1 < service->n ? "├─" : "└─", task->pid);
			print_command(stream, task);
			fputc('\n', stream);
		}
	}
}

void print_services_json(FILE *stream, const struct services *services, const char *incomplete)
{
	struct json_out out = json_out_begin(stream);

	json_out_list_begin(&out, "services");
	for (size_t i = 0; i < services->n && !ferror(stream); i++) {
		const struct service *service = &services->items[i];

		json_out_entry_begin(&out);
		json_out_text(&out, "unit", service->unit);
		json_out_array_begin(&out, "pids");
		for (size_t k = 0; k < service->n; k++)
			json_out_u64(&out, NULL, services->tasks[service->first + k]->pid);
		json_out_array_end(&out);
		json_out_object_end(&out);
	}
	json_out_list_end(&out);
	json_out_end(&out, incomplete);
}
