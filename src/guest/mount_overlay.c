/* SPDX-License-Identifier: Apache-2.0 */
/* Options of overlay (ovl_show_options): what differs from the defaults, which are the module's parameters. */
#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/mount_options.h"

#define LAYERS_MAX 1024u /* the kernel allows 500 (OVL_MAX_STACK) */

/* ---- Parameters ---- */

struct parameter {
	const char *name;
	const char *symbol; /* of the variable, where overlay is built in */
	uint64_t value;
};
enum {
	REDIRECT_DIR,
	REDIRECT_FOLLOW,
	INDEX,
	NFS_EXPORT,
	XINO,
	METACOPY,
	N_PARAMETERS,
};

struct module_search {
	struct member list, name, parameters, count;
	struct member parameter_name, parameter_argument;
	uint32_t parameter_size;
	struct parameter *found;
};

static struct error *read_parameter(struct guest *guest, const struct module_search *search, struct gva address)
{
	uint64_t name, argument;
	const struct member_read reads[] = {{&search->parameter_name, &name}, {&search->parameter_argument, &argument}};
	char text[64];
	uint8_t value;
	struct error *error = guest_read_members(guest, address, reads, ARRAY_SIZE(reads));

	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){name}, text, sizeof(text));
	for (size_t i = 0; !error && i < N_PARAMETERS; i++) {
		if (strcmp(text, search->found[i].name) != 0)
			continue;
		error = memory_read(&guest->memory, (struct gva){argument}, &value, sizeof(value));
		if (!error)
			search->found[i].value = value;
	}
	return error;
}

static struct error *visit_module(struct guest *guest, struct gva module, void *context)
{
	const struct module_search *search = context;
	uint64_t first, n;
	const struct member_read reads[] = {{&search->parameters, &first}, {&search->count, &n}};
	char name[64];
	struct error *error =
		memory_read_string(&guest->memory, (struct gva){module.v + search->name.offset}, name, sizeof(name));

	if (error || strcmp(name, "overlay") != 0)
		return error;
	error = guest_read_members(guest, module, reads, ARRAY_SIZE(reads));
	if (!error && n > 1024)
		error = error_format(NULL, module.v, "module overlay has %llu parameters", (unsigned long long)n);
	for (uint64_t i = 0; !error && i < n; i++)
		error = read_parameter(guest, search, (struct gva){first + i * search->parameter_size});
	return error;
}

static struct error *load_parameters(struct guest *guest, struct parameter parameters[N_PARAMETERS])
{
	struct module_search search = {.found = parameters};
	const struct member_need needs[] = {
		{"module", "list", &search.list},
		{"module", "name", &search.name},
		{"module", "kp", &search.parameters},
		{"module", "num_kp", &search.count},
		{"kernel_param", "name", &search.parameter_name},
		{"kernel_param", "arg", &search.parameter_argument},
	};
	struct gva head, variable;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	uint8_t value;

	for (size_t i = 0; !error && i < N_PARAMETERS; i++) {
		if (!symbols_find(guest->symbols, parameters[i].symbol, &variable))
			continue;
		error = memory_read(&guest->memory, variable, &value, sizeof(value));
		parameters[i].value = value;
	}
	if (error || !symbols_find(guest->symbols, "modules", &head))
		return error;
	search.parameter_size = types_size(guest->types, "kernel_param");
	return list_walk(guest, head, search.list.offset, visit_module, &search);
}

/* ---- Options ---- */

struct overlay {
	const struct option_context *context;
	struct gva info; /* struct ovl_fs; its member `config` is a struct ovl_config */
	struct error *error;
};

static struct member config_member(const struct overlay *overlay, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "config.%s", name);
	return option_member(overlay->context, "ovl_fs", path);
}

/* A number of the configuration; 0 if this kernel has none or one before could not be read. */
static uint64_t config(struct overlay *overlay, const char *name)
{
	struct member member = config_member(overlay, name);
	uint64_t value = 0;

	if (!overlay->error && member.present)
		overlay->error = guest_read_member(overlay->context->guest, overlay->info, &member, &value);
	return value;
}

static void show_string(struct overlay *overlay, const char *name, uint64_t address)
{
	_cleanup_(free_ptr) char *text = NULL;

	if (overlay->error || !address)
		return;
	overlay->error = vfs_string(overlay->context->guest, address, &text);
	if (!overlay->error)
		fprintf(overlay->context->out, ",%s=%s", name, text);
}

/* 6.5 and later: an array, whose first entry is the list as it was given; without it (6.7) each layer by itself. */
static void show_layers(struct overlay *overlay)
{
	struct guest *guest = overlay->context->guest;
	struct member all = option_member(overlay->context, "ovl_fs", "numlayer");
	struct member data = option_member(overlay->context, "ovl_fs", "numdatalayer");
	uint64_t array = config(overlay, "lowerdirs"), first = 0, n = 0, n_data = 0, entry;

	if (!overlay->error)
		overlay->error = memory_read_u64(&guest->memory, (struct gva){array}, &first);
	if (overlay->error || first) {
		show_string(overlay, "lowerdir", first);
		return;
	}
	if (all.present)
		overlay->error = guest_read_member(guest, overlay->info, &all, &n);
	if (!overlay->error && data.present)
		overlay->error = guest_read_member(guest, overlay->info, &data, &n_data);
	for (uint64_t i = 1; !overlay->error && i < n && i < LAYERS_MAX; i++) {
		overlay->error = memory_read_u64(&guest->memory, (struct gva){array + i * 8}, &entry);
		show_string(overlay, i < n - n_data ? "lowerdir+" : "datadir+", entry);
	}
}

static void show_directories(struct overlay *overlay)
{
	uint64_t upper = config(overlay, "upperdir");

	if (config_member(overlay, "lowerdirs").present)
		show_layers(overlay);
	else
		show_string(overlay, "lowerdir", config(overlay, "lowerdir"));
	show_string(overlay, "upperdir", upper);
	if (upper)
		show_string(overlay, "workdir", config(overlay, "workdir"));
}

/* A word before 6.5, then a number. */
static void show_redirect(struct overlay *overlay, const struct parameter *parameters)
{
	static const char *const words[] = {"off", "follow", "nofollow", "on"};
	bool is_word = config_member(overlay, "redirect_mode").size == 8;
	uint64_t mode = config(overlay, "redirect_mode");
	const char *usual = is_word ? "off" : parameters[REDIRECT_FOLLOW].value ? "follow" : "nofollow";
	char text[16] = "";

	if (parameters[REDIRECT_DIR].value)
		usual = "on";
	if (is_word && mode && !overlay->error)
		overlay->error =
			memory_read_string(&overlay->context->guest->memory, (struct gva){mode}, text, sizeof(text));
	else if (!is_word && mode < ARRAY_SIZE(words))
		strcpy(text, words[mode]);
	if (*text && !overlay->error && strcmp(text, usual) != 0)
		fprintf(overlay->context->out, ",redirect_dir=%s", text);
}

static void show_switch(struct overlay *overlay, const char *name, uint64_t usual)
{
	uint64_t value = config(overlay, name);

	if (!overlay->error && config_member(overlay, name).present && value != usual)
		fprintf(overlay->context->out, ",%s=%s", name, value ? "on" : "off");
}

static void show_word(struct overlay *overlay, const char *member, const char *option, const char *const words[],
		      size_t n, uint64_t usual)
{
	uint64_t value = config(overlay, member);

	if (!overlay->error && config_member(overlay, member).present && value != usual && value < n)
		fprintf(overlay->context->out, ",%s=%s", option, words[value]);
}

static void show_uuid(struct overlay *overlay)
{
	static const char *const words[] = {"off", "null", "auto", "on"};
	bool is_switch = config_member(overlay, "uuid").size == 1; /* 5.12 to 6.5 */

	show_word(overlay, "uuid", "uuid", words, ARRAY_SIZE(words), is_switch ? 1 : 2);
}

static void show_xino(struct overlay *overlay, const struct parameter *parameters)
{
	static const char *const words[] = {"off", "auto", "on"};
	struct member mode = option_member(overlay->context, "ovl_fs", "xino_mode");
	uint64_t value = 1;

	/* 0: all layers are on one file system, and the option means nothing. */
	if (!overlay->error && mode.present)
		overlay->error = guest_read_member(overlay->context->guest, overlay->info, &mode, &value);
	if (value)
		show_word(overlay, "xino", "xino", words, ARRAY_SIZE(words), parameters[XINO].value ? 1 : 0);
}

struct error *option_show_overlay(const struct option_context *context, uint64_t unused)
{
	static const char *const fsync_words[] = {"volatile", "auto", "strict"};
	static const char *const verity_words[] = {"off", "on", "require"};
	struct overlay overlay = {.context = context, .info = context->info};
	struct parameter parameters[N_PARAMETERS] = {
		[REDIRECT_DIR] = {"redirect_dir", "ovl_redirect_dir_def", 0},
		[REDIRECT_FOLLOW] = {"redirect_always_follow", "ovl_redirect_always_follow", 0},
		[INDEX] = {"index", "ovl_index_def", 0},
		[NFS_EXPORT] = {"nfs_export", "ovl_nfs_export_def", 0},
		[XINO] = {"xino_auto", "ovl_xino_auto_def", 0},
		[METACOPY] = {"metacopy", "ovl_metacopy_def", 0},
	};

	if (!config_member(&overlay, "upperdir").present)
		return NULL; /* no types of the module: nothing is known */
	overlay.error = load_parameters(context->guest, parameters);
	show_directories(&overlay);
	if (config(&overlay, "default_permissions"))
		fputs(",default_permissions", context->out);
	show_redirect(&overlay, parameters);
	show_switch(&overlay, "index", parameters[INDEX].value);
	show_uuid(&overlay);
	show_switch(&overlay, "nfs_export", parameters[NFS_EXPORT].value);
	show_xino(&overlay, parameters);
	show_switch(&overlay, "metacopy", parameters[METACOPY].value);
	if (config(&overlay, "ovl_volatile"))
		fputs(",volatile", context->out);
	show_word(&overlay, "fsync_mode", "fsync", fsync_words, ARRAY_SIZE(fsync_words), 1); /* 7.0 and later */
	if (config(&overlay, "userxattr"))
		fputs(",userxattr", context->out);
	show_word(&overlay, "verity_mode", "verity", verity_words, ARRAY_SIZE(verity_words), 0);
	return overlay.error;
}
