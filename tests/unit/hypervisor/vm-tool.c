/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For developers and test scripts: one call of the hypervisor room's door a time.
 *
 *   vm-tool KEY=VALUE… VERB [ARGUMENT…] [-- COMMAND…]
 *
 * Keys: name directory memory qmp channel(none|agent|ssh) agent ssh port key gate(auto|none) log.
 * Verbs: state sync suspend load boot continue quit close open show wait(MS) put(FILE GUEST) run(MS ARGV…)
 *        input(MS FILE ARGV…) attach(FILE [PLACE]) detach
 * Exit status: 0, or 10 + enum error_code; `run` and `input` give the program's.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "hypervisor/ops.h"

#define PUT_MAX (8u << 20)

static void log_to_stderr(void *data, enum log_level level, const char *text)
{
	fprintf(stderr, "vm-tool: %s\n", text);
}

static void set_key(struct vm_settings *settings, const char *key, const char *value)
{
	const struct {
		const char *key;
		const char **place;
	} strings[] = {
		{"name", &settings->name},     {"directory", &settings->directory}, {"memory", &settings->memory},
		{"qmp", &settings->qmp},       {"agent", &settings->agent},         {"ssh", &settings->ssh_target},
		{"port", &settings->ssh_port}, {"key", &settings->ssh_key},         {"log", &settings->log_path},
	};

	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		if (strcmp(key, strings[i].key) == 0)
			*strings[i].place = value;
	if (strcmp(key, "channel") == 0)
		settings->channel = strcmp(value, "agent") == 0 ? CHANNEL_AGENT
				    : strcmp(value, "ssh") == 0 ? CHANNEL_SSH
								: CHANNEL_NONE;
	if (strcmp(key, "gate") == 0)
		settings->gate = strcmp(value, "none") == 0 ? GATE_NONE : GATE_AUTO;
}

static struct error *do_state(struct vm *vm, char **arguments, int *ret)
{
	static const char *const words[] = {[VM_OFF] = "off", [VM_PAUSED] = "paused", [VM_RUNNING] = "running"};
	enum vm_state state;
	struct error *error = vm_state(vm, &state);

	if (!error)
		puts(words[state]);
	return error;
}

static struct error *do_sync(struct vm *vm, char **arguments, int *ret)
{
	bool synced;
	struct error *error = vm_sync(vm, &synced);

	if (!error)
		puts(synced ? "synced" : "not synced");
	return error;
}

static struct error *do_suspend(struct vm *vm, char **arguments, int *ret)
{
	return vm_suspend(vm);
}

static struct error *do_load(struct vm *vm, char **arguments, int *ret)
{
	return vm_load(vm);
}

static struct error *do_boot(struct vm *vm, char **arguments, int *ret)
{
	return vm_boot_paused(vm);
}

static struct error *do_continue(struct vm *vm, char **arguments, int *ret)
{
	uint64_t ns;
	struct error *error = vm_continue(vm, &ns);

	if (!error)
		printf("%" PRIu64 "\n", ns);
	return error;
}

static struct error *do_quit(struct vm *vm, char **arguments, int *ret)
{
	return vm_quit(vm);
}

static struct error *do_close(struct vm *vm, char **arguments, int *ret)
{
	return vm_gate_close(vm);
}

static struct error *do_open(struct vm *vm, char **arguments, int *ret)
{
	return vm_gate_open(vm);
}

static struct error *do_show(struct vm *vm, char **arguments, int *ret)
{
	struct gate_status status;
	struct error *error = vm_gate_show(vm, &status);

	if (error)
		return error;
	printf("%s: %s\n", status.closed ? "closed" : "open", status.how);
	free(status.how);
	return NULL;
}

static struct error *do_wait(struct vm *vm, char **arguments, int *ret)
{
	return vm_channel_wait(vm, strtoull(arguments[0], NULL, 10));
}

static struct error *do_put(struct vm *vm, char **arguments, int *ret)
{
	_cleanup_(free_ptr) char *data = NULL;
	size_t size;
	struct error *error = io_read_file(arguments[0], PUT_MAX, &data, &size);

	return error ? error : vm_channel_put(vm, data, size, arguments[1]);
}

static struct error *run(struct vm *vm, char **argv, int fd, const char *timeout_ms, int *ret)
{
	struct channel_result result = {};
	struct error *error =
		vm_channel_run(vm, (const char *const *)argv, fd, strtoull(timeout_ms, NULL, 10), &result);

	if (error)
		return error;
	fputs(result.output, stdout);
	fflush(stdout);
	fputs(result.errors, stderr);
	*ret = result.status;
	channel_result_deinit(&result);
	return NULL;
}

static struct error *do_run(struct vm *vm, char **arguments, int *ret)
{
	return run(vm, arguments + 1, -1, arguments[0], ret);
}

static struct error *do_input(struct vm *vm, char **arguments, int *ret)
{
	_cleanup_(close_fd) int fd = open(arguments[1], O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_system(errno, arguments[1], "cannot open");
	return run(vm, arguments + 2, fd, arguments[0], ret);
}

/* stream PROGRAM INPUT GUEST-PATH [WORD...] */
static struct error *do_stream(struct vm *vm, char **arguments, int *ret)
{
	_cleanup_(free_ptr) char *path = string_format("%s/stream", vm->settings.directory);
	_cleanup_(channel_result_deinit) struct channel_result result = {};
	_cleanup_(free_ptr) char *program = NULL;
	size_t size;
	struct error *error = io_read_file(arguments[0], PUT_MAX, &program, &size);

	if (!error)
		error = vm_stream_write(path, program, size, arguments[1]);
	if (!error)
		error = vm_stream_plug(vm, path, size);
	if (!error)
		error = vm_stream_run(vm, (const char *const *)arguments + 2, 60000, &result);
	if (error)
		return error;
	fputs(result.output, stdout);
	fflush(stdout);
	fputs(result.errors, stderr);
	*ret = result.status;
	return NULL;
}

static struct error *do_attach(struct vm *vm, char **arguments, int *ret)
{
	static const char *const ways[] = {[PAYLOAD_DISK] = "disk", [PAYLOAD_STDIN] = "stdin", [PAYLOAD_FILE] = "file"};
	struct payload_place place = {};
	/* Without a number as the user has it; with one, at that place or none. */
	unsigned number = arguments[1] ? (unsigned)strtoul(arguments[1], NULL, 10) : 0, wanted = number;
	struct error *error = arguments[1] ? payload_plug(vm, arguments[0], &number, &place)
					   : vm_payload_attach(vm, arguments[0], &place);
	_cleanup_(close_fd) int fd = -1;

	if (!error && arguments[1] && number != wanted)
		error = error_create(ERROR_UNSUPPORTED, "it went to place %u", number);
	if (!error && place.way == PAYLOAD_FILE) {
		fd = open(arguments[0], O_RDONLY | O_CLOEXEC);
		error = fd < 0 ? error_system(errno, arguments[0], "cannot open")
			       : vm_payload_write(vm, fd, arguments[0], &place);
	}
	if (error)
		return error;
	printf("%s %s\n", ways[place.way], place.guest_path ? place.guest_path : "-");
	free(place.guest_path);
	return NULL;
}

static struct error *do_detach(struct vm *vm, char **arguments, int *ret)
{
	return vm_payload_detach(vm);
}

static const struct verb {
	const char *name;
	int n_arguments; /* at least */
	struct error *(*function)(struct vm *vm, char **arguments, int *ret);
} verbs[] = {
	{"state", 0, do_state},   {"sync", 0, do_sync},         {"suspend", 0, do_suspend}, {"load", 0, do_load},
	{"boot", 0, do_boot},     {"continue", 0, do_continue}, {"quit", 0, do_quit},       {"close", 0, do_close},
	{"open", 0, do_open},     {"show", 0, do_show},         {"wait", 1, do_wait},       {"put", 2, do_put},
	{"run", 2, do_run},       {"input", 3, do_input},       {"stream", 3, do_stream},   {"attach", 1, do_attach},
	{"detach", 0, do_detach},
};

static int report(struct error *error)
{
	int status = 10 + (int)error->code;

	fprintf(stderr, "vm-tool: %s\n", error->message);
	if (error->remedy)
		fprintf(stderr, "vm-tool: %s\n", error->remedy);
	error_destroy(error);
	return status;
}

static const struct verb *find_verb(const char *name, int n_arguments)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0 && n_arguments >= verbs[i].n_arguments)
			return &verbs[i];
	return NULL;
}

int main(int argc, char **argv)
{
	struct vm_settings settings = {.name = "vm", .command = (const char *const *)&argv[argc]};
	_cleanup_(vm_destroy_ptr) struct vm *vm = NULL;
	const struct verb *verb;
	int first = 1, end = argc, status = 0;
	struct error *error;

	log_set(log_to_stderr, NULL);
	for (; first < argc && strchr(argv[first], '='); first++) {
		*strchr(argv[first], '=') = '\0';
		set_key(&settings, argv[first], argv[first] + strlen(argv[first]) + 1);
	}
	for (int i = first; i < argc && end == argc; i++)
		if (strcmp(argv[i], "--") == 0)
			end = i;
	if (end < argc) {
		settings.command = (const char *const *)&argv[end + 1];
		argv[end] = NULL;
	}
	verb = find_verb(argv[first], end - first - 1);
	if (!verb) {
		fprintf(stderr, "usage: vm-tool KEY=VALUE... VERB [ARGUMENT...] [-- COMMAND...]\n");
		return 2;
	}
	error = vm_create("qemu", &settings, &vm);
	if (!error)
		error = verb->function(vm, argv + first + 1, &status);
	return error ? report(error) : status;
}
