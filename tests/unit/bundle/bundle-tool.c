/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doors of changes and bundle for test scripts:
 *
 *   bundle-tool write BUNDLE PREFIX LOWER UPPER [TARGET LOWER UPPER]...
 *     reads the change list of the overlays (the first is mounted on "/") and writes a bundle, and
 *     BUNDLE.deltas, the differences of its large files
 *   bundle-tool second BUNDLE FIRST PREFIX LOWER UPPER
 *     the same, less what the bundle FIRST of an earlier state of the layer has done
 *     (exit status 9: that cannot be said)
 *   bundle-tool list BUNDLE        one line a change
 *   bundle-tool verify BUNDLE
 *   bundle-tool payload BUNDLE OUT [COMMAND]...
 *     writes the payload, with an action after the switch for each command of the shell; prints its hash
 *   bundle-tool pack PAYLOAD [DELTAS]  packs it to standard output
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "bundle/bundle.h"

#define LAYERS_MAX 8

static const char *const kinds[] = {"?",      "write", "directory",  "symlink", "fifo",
				    "device", "link",  "attributes", "delete"};

static void print_path(const char *path)
{
	for (; *path; path++)
		printf(*path < 33 || *path > 126 ? "\\x%02x" : "%c", (unsigned char)*path);
}

static void print_change(const struct change *change)
{
	const struct change_attributes *a = &change->attributes;

	printf("%s /", kinds[change->kind]);
	print_path(change->path);
	if (change->kind != CHANGE_DELETE)
		printf(" %o %u:%u %lld.%09u", a->mode, a->uid, a->gid, (long long)a->mtime_s, a->mtime_ns);
	if (change->kind == CHANGE_WRITE)
		printf(" size=%llu", (unsigned long long)change->size);
	if (change->target) {
		printf(" -> ");
		print_path(change->target);
	}
	for (size_t i = 0; i < a->n_xattrs; i++)
		printf(" %s[%zu]", a->xattrs[i].name, a->xattrs[i].size);
	if (change->before.exists)
		printf(" before=%o,%u", change->before.attributes.mode, change->before.nlink);
	if (change->kind == CHANGE_WRITE && change->before.exists &&
	    memcmp(change->sha256, change->before.sha256, SHA256_SIZE) == 0)
		printf(" same");
	printf("\n");
}

/* Beside the bundle. */
static struct error *write_deltas(const char *bundle, const struct change_list *changes,
				  const struct change_layer *layers, size_t n_layers)
{
	_cleanup_(free_ptr) char *deltas = string_format("%s.deltas", bundle);

	return deltas ? deltas_write(deltas, changes, layers, n_layers) : error_no_memory();
}

static struct error *write_bundle(char **args, int n)
{
	struct change_layer layers[LAYERS_MAX];
	struct bundle_manifest manifest = {};
	struct error *error;
	size_t n_layers = 0;
	const char *target = "/", *prefix = args[1];

	for (int i = 2; i + 1 < n && n_layers < LAYERS_MAX; i += 3) {
		layers[n_layers++] = (struct change_layer){target, open(args[i], O_PATH | O_DIRECTORY | O_CLOEXEC),
							   open(args[i + 1], O_PATH | O_DIRECTORY | O_CLOEXEC), prefix};
		target = args[i + 2];
	}
	error = changes_read(layers, n_layers, NULL, &manifest.changes);
	if (!error)
		error = bundle_write(args[0], &manifest, layers, n_layers, NULL);
	if (!error)
		error = write_deltas(args[0], &manifest.changes, layers, n_layers);
	bundle_manifest_deinit(&manifest);
	return error;
}

/* Exit status of `second` where the first cannot be taken out. */
#define IMPOSSIBLE 9

static struct error *write_second(char **args)
{
	_cleanup_(bundle_close_ptr) struct bundle *first = NULL;
	struct change_layer layer = {"/", open(args[3], O_PATH | O_DIRECTORY | O_CLOEXEC),
				     open(args[4], O_PATH | O_DIRECTORY | O_CLOEXEC), args[2]};
	struct bundle_manifest manifest = {};
	struct error *error;
	bool possible;

	error = bundle_open(args[1], &first);
	if (!error)
		error = changes_read(&layer, 1, NULL, &manifest.changes);
	if (!error)
		error = changes_subtract(&bundle_manifest(first)->changes, &manifest.changes, &possible);
	if (!error && !possible)
		exit(IMPOSSIBLE);
	if (!error)
		error = bundle_write(args[0], &manifest, &layer, 1, NULL);
	if (!error)
		error = write_deltas(args[0], &manifest.changes, &layer, 1);
	bundle_manifest_deinit(&manifest);
	return error;
}

static struct error *add_commands(struct action_list *actions, char **commands, int n)
{
	struct error *error = NULL;

	for (int i = 0; i < n && !error; i++) {
		char *argv[] = {(char *)"/bin/sh", (char *)"-c", commands[i], NULL};
		struct action action = {}, borrowed = {.kind = ACTION_COMMAND, .argv = argv};

		error = action_copy(&borrowed, &action);
		if (!error)
			error = action_list_append(actions, action);
	}
	return error;
}

static struct error *write_payload(struct bundle *bundle, const char *path, char **commands, int n)
{
	_cleanup_(action_list_deinit) struct action_list actions = {};
	char hex[SHA256_HEX_SIZE];
	uint8_t sha256[SHA256_SIZE];
	struct error *error;
	uint64_t size;

	error = add_commands(&actions, commands, n);
	if (!error)
		error = bundle_write_payload(bundle, &actions, path, sha256, &size);
	if (error)
		return error;
	sha256_to_hex(sha256, hex);
	printf("%s\n", hex);
	return NULL;
}

static struct error *use_bundle(char **args, int n)
{
	_cleanup_(bundle_close_ptr) struct bundle *bundle = NULL;
	struct error *error;

	error = bundle_open(args[1], &bundle);
	if (error)
		return error;
	if (strcmp(args[0], "verify") == 0)
		return bundle_verify(bundle);
	if (strcmp(args[0], "payload") == 0 && n >= 3)
		return write_payload(bundle, args[2], args + 3, n - 3);
	for (size_t i = 0; i < bundle_manifest(bundle)->changes.n; i++)
		print_change(&bundle_manifest(bundle)->changes.items[i]);
	return NULL;
}

static void print_log(void *data, enum log_level level, const char *text)
{
	fprintf(stderr, "%s\n", text);
}

int main(int argc, char **argv)
{
	struct error *error;

	log_set(print_log, NULL);
	if (argc >= 6 && strcmp(argv[1], "write") == 0)
		error = write_bundle(argv + 2, argc - 2);
	else if (argc >= 3 && strcmp(argv[1], "pack") == 0)
		error = payload_pack(argv[2], argv[3], 1, NULL);
	else if (argc == 7 && strcmp(argv[1], "second") == 0)
		error = write_second(argv + 2);
	else if (argc >= 3)
		error = use_bundle(argv + 1, argc - 1);
	else
		return 2;
	if (!error)
		return 0;
	fprintf(stderr, "bundle-tool: %s\n", error->message);
	argc = error_exit_status(error->code);
	error_destroy(error);
	return argc;
}
