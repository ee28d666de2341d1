/* SPDX-License-Identifier: Apache-2.0 */
#include "update/vmfile.h"

#include <glib.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/log.h"
#include "disk/disk.h"
#include "update/keep_time.h"
#include "update/vmfile_xen.h"

DEFINE_CLEANUP(GKeyFile *, g_key_file_unref)

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
#define DOMAIN_NAME_MAX 255
#define LIBVIRT_PREFIX  "libvirt:"
#define LIBVIRT_URI     "qemu:///system"

/* What a key's text means. */
enum key_kind {
	KEY_STRING,
	KEY_PATH,    /* relative to the VM file */
	KEY_COMMAND, /* shell quoting, no expansion */
	KEY_LIST,    /* separated by ';' */
};

struct key {
	const char *group, *name;
	const char *driver; /* of VMs of this one alone; NULL: of all. Two drivers can each have a key of one name */
	enum key_kind kind;
	bool required;
	size_t offset; /* of the char * (char ** for COMMAND and LIST) in struct vm_file; KEY_UNSTORED: read by hand */
};

#define KEY_UNSTORED SIZE_MAX

/* Every key there is. The manual page ouassister-vm(5) lists them in this order. */
static const struct key keys[] = {
	{"vm", "driver", NULL, KEY_STRING, true, offsetof(struct vm_file, driver)},
	{"vm", "memory", NULL, KEY_PATH, false, offsetof(struct vm_file, memory)},
	{"vm", "disk", "qemu", KEY_PATH, true, offsetof(struct vm_file, disk)},
	{"vm", "format", "qemu", KEY_STRING, true, offsetof(struct vm_file, format)},
	{"vm", "disk-reader", NULL, KEY_STRING, false, offsetof(struct vm_file, disk_reader)},
	{"vm", "gate", NULL, KEY_STRING, false, KEY_UNSTORED},
	{"qemu", "command", "qemu", KEY_COMMAND, true, offsetof(struct vm_file, command)},
	{"qemu", "qmp", "qemu", KEY_PATH, true, offsetof(struct vm_file, qmp)},
	{"vm", "disk", "xen", KEY_PATH, false, offsetof(struct vm_file, disk)},
	{"vm", "format", "xen", KEY_STRING, false, offsetof(struct vm_file, format)},
	{"xen", "domain", "xen", KEY_STRING, false, offsetof(struct vm_file, domain)},
	{"xen", "target", "xen", KEY_STRING, false, offsetof(struct vm_file, target)},
	{"libvirt", "domain", "libvirt", KEY_STRING, true, offsetof(struct vm_file, domain)},
	{"libvirt", "uri", "libvirt", KEY_STRING, false, offsetof(struct vm_file, uri)},
	{"libvirt", "disk", "libvirt", KEY_STRING, false, offsetof(struct vm_file, target)},
	{"channel", "type", NULL, KEY_STRING, false, KEY_UNSTORED},
	{"channel", "agent", "qemu", KEY_PATH, false, offsetof(struct vm_file, agent)},
	{"channel", "ssh", NULL, KEY_STRING, false, offsetof(struct vm_file, ssh)},
	{"channel", "port", NULL, KEY_STRING, false, offsetof(struct vm_file, port)},
	{"channel", "key", NULL, KEY_PATH, false, offsetof(struct vm_file, key)},
	{"update", "proxy", NULL, KEY_STRING, false, offsetof(struct vm_file, proxy)},
	{"update", "sources", NULL, KEY_PATH, false, offsetof(struct vm_file, sources)},
	{"update", "conffiles", NULL, KEY_STRING, false, offsetof(struct vm_file, conffiles)},
	{"update", "preseed", NULL, KEY_PATH, false, offsetof(struct vm_file, preseed)},
	{"update", "keep", NULL, KEY_STRING, false, offsetof(struct vm_file, keep)},
	{"update", "sign-key", NULL, KEY_PATH, false, offsetof(struct vm_file, sign_key)},
	{"update", "verify-key", NULL, KEY_PATH, false, offsetof(struct vm_file, verify_key)},
	{"update", "apt-options", NULL, KEY_LIST, false, offsetof(struct vm_file, apt_options)},
};

static struct error *refuse_unknown_keys_in(GKeyFile *ini, const char *group, const char *path)
{
	gchar **names = g_key_file_get_keys(ini, group, NULL, NULL);
	struct error *error = NULL;
	bool group_known = false;

	for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
		group_known |= !strcmp(keys[k].group, group);
	if (!group_known)
		error = error_create(ERROR_USAGE, "%s: unknown group [%s]", path, group);
	for (gchar **name = names; !error && name && *name; name++) {
		bool known = false;

		for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
			known |= !strcmp(keys[k].group, group) && !strcmp(keys[k].name, *name);
		if (!known)
			error = error_create(ERROR_USAGE, "%s: unknown key \"%s\" in [%s]", path, *name, group);
	}
	g_strfreev(names);
	return error_remedy(error,
			    "ouassister-vm(5) lists what a VM file may hold; comments stand on lines of their own");
}

static struct error *refuse_unknown_keys(GKeyFile *ini, const char *path)
{
	gchar **groups = g_key_file_get_groups(ini, NULL);
	struct error *error = NULL;

	for (gchar **group = groups; !error && *group; group++)
		error = refuse_unknown_keys_in(ini, *group, path);
	g_strfreev(groups);
	return error;
}

/* Whether the line, without space at its begin, is "[GROUP]": as GLib has it, up to the first "]". */
static bool is_group(const char *line, size_t length, char **ret_name)
{
	const char *end = memchr(line, ']', length);

	if (*line != '[' || !end)
		return false;
	g_free(*ret_name);
	*ret_name = g_strndup(line + 1, (size_t)(end - line - 1));
	return true;
}

/* GLib takes the last of two, and says nothing. It has read the text already. */
static struct error *refuse_duplicates(const char *text, const char *path)
{
	GHashTable *seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	struct error *error = NULL;
	char *group = NULL;
	size_t number = 1;

	for (const char *line = text; !error && *line; line += strcspn(line, "\n"), line += *line == '\n', number++) {
		const char *start = line + strspn(line, " \t\r\f\v");
		size_t length = strcspn(start, "\n"), n = strcspn(start, "=\n");
		char *name, *key;

		if (!length || *start == '#' || is_group(start, length, &group))
			continue;
		name = g_strchomp(g_strndup(start, n));
		key = g_strdup_printf("%s\n%s", group, name);
		if (!g_hash_table_add(seen, key))
			error = error_create(ERROR_USAGE, "%s: line %zu: key \"%s\" stands in [%s] a second time", path,
					     number, name, group);
		g_free(name);
	}
	g_free(group);
	g_hash_table_destroy(seen);
	return error_remedy(error, "leave one of them");
}

/* A copy of the key's text without surrounding space, NULL if absent. An empty one, a script's unset variable, is none.
 */
static struct error *key_text(GKeyFile *ini, const char *group, const char *name, const char *path, char **ret)
{
	GError *failure = NULL;
	gchar *text;

	*ret = NULL;
	if (!g_key_file_has_key(ini, group, name, NULL))
		return NULL;
	text = g_key_file_get_string(ini, group, name, &failure);
	if (!text) {
		struct error *error =
			error_create(ERROR_USAGE, "%s: key \"%s\" in [%s]: %s", path, name, group, failure->message);

		g_error_free(failure);
		return error;
	}
	if (*g_strstrip(text))
		*ret = strdup(text);
	g_free(text);
	if (!*ret)
		return error_remedy(error_create(ERROR_USAGE, "%s: key \"%s\" in [%s] is empty", path, name, group),
				    "give it a value, or leave it out");
	return NULL;
}

static bool is_driver(const char *name)
{
	return !strcmp(name, "qemu") || !strcmp(name, "libvirt") || !strcmp(name, "xen");
}

static bool is_libvirt(const struct vm_file *file)
{
	return !strcmp(file->driver, "libvirt");
}

static bool is_xen(const struct vm_file *file)
{
	return !strcmp(file->driver, "xen");
}

static char *absolute_path(const char *directory, const char *path)
{
	return *path == '/' ? strdup(path) : string_format("%s/%s", directory, path);
}

static struct error *parse_command(const char *text, const struct key *key, const char *path, char ***ret)
{
	GError *failure = NULL;
	struct error *error;

	if (g_shell_parse_argv(text, NULL, ret, &failure))
		return NULL;
	error = error_create(ERROR_USAGE, "%s: key \"%s\" in [%s]: %s", path, key->name, key->group, failure->message);
	g_error_free(failure);
	return error;
}

static struct error *store_key(const struct key *key, char *text, struct vm_file *file)
{
	char *slot = (char *)file + key->offset;

	switch (key->kind) {
	case KEY_STRING:
		*(char **)slot = strdup(text);
		break;
	case KEY_PATH:
		*(char **)slot = absolute_path(file->directory, text);
		break;
	case KEY_COMMAND:
		return parse_command(text, key, file->path, (char ***)slot);
	case KEY_LIST:
		*(char ***)slot = g_strsplit(text, ";", -1);
		return NULL;
	}
	return *(char **)slot ? NULL : error_no_memory();
}

static bool is_foreign(const struct vm_file *file, const struct key *key)
{
	return key->driver && strcmp(key->driver, file->driver) != 0;
}

/* Whether the VM's own driver has a key of this name, too. */
static bool has_same_key(const struct vm_file *file, const struct key *key)
{
	for (size_t k = 1; k < ARRAY_SIZE(keys); k++)
		if (!strcmp(keys[k].group, key->group) && !strcmp(keys[k].name, key->name) &&
		    !is_foreign(file, &keys[k]))
			return true;
	return false;
}

/* A key of another driver's. The first key of all is the driver. */
static struct error *refuse_foreign_key(const struct vm_file *file, const struct key *key)
{
	return error_remedy(error_create(ERROR_USAGE, "%s: key \"%s\" in [%s] is only for driver = %s", file->path,
					 key->name, key->group, key->driver),
			    "leave it out; ouassister-vm(5) lists the keys of each driver");
}

static struct error *read_keys(GKeyFile *ini, struct vm_file *file)
{
	for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
		_cleanup_(free_ptr) char *text = NULL;
		struct error *error = key_text(ini, keys[k].group, keys[k].name, file->path, &text);
		/* The first one is the driver. */
		bool foreign = k > 0 && is_foreign(file, &keys[k]);

		if (error)
			return error;
		if (foreign && has_same_key(file, &keys[k]))
			continue;
		if (text && foreign && is_driver(file->driver))
			return refuse_foreign_key(file, &keys[k]);
		if (!text && keys[k].required && !foreign)
			return error_remedy(error_create(ERROR_USAGE, "%s: key \"%s\" is missing in [%s]", file->path,
							 keys[k].name, keys[k].group),
					    "ouassister-vm(5) has an example");
		/* Of a driver that is unknown: two of them may share a place. */
		if (!text || foreign || keys[k].offset == KEY_UNSTORED)
			continue;
		error = store_key(&keys[k], text, file);
		if (error)
			return error;
	}
	return NULL;
}

static struct error *bad_value(const struct vm_file *file, const char *group, const char *key, const char *value,
			       const char *expected)
{
	return error_create(ERROR_USAGE, "%s: key \"%s\" in [%s] is \"%s\", %s expected", file->path, key, group, value,
			    expected);
}

static struct error *read_channel(GKeyFile *ini, struct vm_file *file)
{
	_cleanup_(free_ptr) char *type = NULL;
	struct error *error = key_text(ini, "channel", "type", file->path, &type);

	if (error)
		return error;
	/* Of a domain it is known whether it has a port for the agent: ask_libvirt(). */
	if (!type && is_libvirt(file)) {
		file->channel = CHANNEL_AGENT;
		return NULL;
	}
	if (!type || !strcmp(type, "none")) {
		file->channel = CHANNEL_NONE;
		return NULL;
	}
	if (!strcmp(type, "agent")) {
		file->channel = CHANNEL_AGENT;
		return file->agent || is_libvirt(file)
			       ? NULL
			       : error_create(ERROR_USAGE, "%s: type = agent needs the key \"agent\" in [channel]",
					      file->path);
	}
	if (!strcmp(type, "ssh")) {
		file->channel = CHANNEL_SSH;
		return file->ssh ? NULL
				 : error_create(ERROR_USAGE, "%s: type = ssh needs the key \"ssh\" in [channel]",
						file->path);
	}
	return bad_value(file, "channel", "type", type, "agent, ssh or none");
}

static struct error *read_gate(GKeyFile *ini, struct vm_file *file)
{
	_cleanup_(free_ptr) char *type = NULL;
	struct error *error = key_text(ini, "vm", "gate", file->path, &type);

	if (error)
		return error;
	if (!type || !strcmp(type, "auto"))
		file->gate = GATE_AUTO;
	else if (!strcmp(type, "none"))
		file->gate = GATE_NONE;
	else
		return bad_value(file, "vm", "gate", type, "auto or none");
	return NULL;
}

/* Anything but the three words is a path. */
static struct error *place_conffiles(struct vm_file *file)
{
	char *path;

	if (!file->conffiles || !strcmp(file->conffiles, "keep") || !strcmp(file->conffiles, "new") ||
	    !strcmp(file->conffiles, "ask"))
		return NULL;
	path = absolute_path(file->directory, file->conffiles);
	if (!path)
		return error_no_memory();
	free(file->conffiles);
	file->conffiles = path;
	return NULL;
}

static struct error *check_keep(const struct vm_file *file)
{
	uint64_t ignored;
	struct error *error = file->keep ? keep_time_parse(file->keep, &ignored) : NULL;

	if (!error)
		return NULL;
	error_destroy(error);
	return bad_value(file, "update", "keep", file->keep, "none, or a time like 90min, 12h, 7d or 2w");
}

/* "[USER@]HOST": no option of ssh's, and one word. */
static bool is_ssh_target(const char *text)
{
	const char *at = strrchr(text, '@'), *host = at ? at + 1 : text;

	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return false;
	return *text != '-' && at != text && *host && *host != '-';
}

static bool is_port(const char *text, size_t length)
{
	unsigned long number = 0;

	for (size_t i = 0; i < length; i++)
		if (text[i] < '0' || text[i] > '9' || (number = number * 10 + (unsigned long)(text[i] - '0')) > 65535)
			return false;
	return length > 0 && number > 0;
}

/* "http://[USER:PASSWORD@]HOST[:PORT][/]", HOST being a name, an IPv4 address, or an IPv6 one in brackets. */
static bool is_proxy(const char *text)
{
	static const char of_host[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	size_t scheme = !strncmp(text, "http://", 7) ? 7 : !strncmp(text, "https://", 8) ? 8 : 0, n;
	const char *host = text + scheme, *at = strrchr(text, '@'), *end;

	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || strchr("\"'`\\<>", *p))
			return false;
	if (!scheme)
		return false;
	if (at)
		host = at + 1;
	n = *host == '[' ? 1 + strspn(host + 1, "0123456789abcdefABCDEF:.") : strspn(host, of_host);
	if (*host == '[' ? host[n] != ']' || n < 3 : n == 0)
		return false;
	end = host + n + (*host == '[');
	if (*end == ':') {
		n = strcspn(end + 1, "/");
		if (!is_port(end + 1, n))
			return false;
		end += 1 + n;
	}
	return !strcmp(end, "") || !strcmp(end, "/");
}

static bool is_readable_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, R_OK) == 0;
}

static bool is_disk_reader(const char *word)
{
	enum disk_way way;
	struct error *error = disk_way_parse(word, &way);
	bool known = !error;

	error_destroy(error);
	return known;
}

static struct error *check_values(const struct vm_file *file)
{
	if (!is_driver(file->driver))
		return bad_value(file, "vm", "driver", file->driver, "qemu, libvirt or xen");
	if (strcmp(file->format, "qcow2") != 0 && strcmp(file->format, "raw") != 0)
		return bad_value(file, "vm", "format", file->format, "qcow2 or raw");
	if (file->disk_reader && !is_disk_reader(file->disk_reader))
		return bad_value(file, "vm", "disk-reader", file->disk_reader, "userspace or kernel");
	if (file->ssh && !is_ssh_target(file->ssh))
		return bad_value(file, "channel", "ssh", file->ssh, "user@host");
	if (file->command && !*file->command[0])
		return error_create(ERROR_USAGE, "%s: key \"command\" in [qemu] names no program", file->path);
	if (file->port && !is_port(file->port, strlen(file->port)))
		return bad_value(file, "channel", "port", file->port, "a port, 1 to 65535,");
	if (file->proxy && !is_proxy(file->proxy))
		return bad_value(file, "update", "proxy", file->proxy, "http://HOST:PORT");
	if (file->sources && !is_readable_file(file->sources))
		return bad_value(file, "update", "sources", file->sources, "an ordinary file that can be read");
	for (char **option = file->apt_options; option && *option; option++)
		if (**option == '-' || **option == '=' || !strchr(*option, '='))
			return bad_value(file, "update", "apt-options", *option, "Name::Option=value");
	return check_keep(file);
}

static bool is_name(const char *text)
{
	return *text && strlen(text) <= VM_NAME_MAX && *text != '.' && *text != '-' && *text != '_' &&
	       strspn(text, NAME_CHARACTERS) == strlen(text);
}

/* --- domains of libvirt's --- */

/* What the VM file leaves to libvirt. Which channel: where there is none for the agent, none. */
static struct error *ask_libvirt(struct vm_file *file)
{
	struct vm_domain domain = {0};
	struct error *error;

	if (!file->uri && !(file->uri = strdup(LIBVIRT_URI)))
		return error_no_memory();
	error = vm_domain_read(file->uri, file->domain, file->memory, file->target, &domain);
	if (error)
		return error;
	file->uuid = take_ptr(domain.uuid);
	file->disk = take_ptr(domain.disk);
	file->format = take_ptr(domain.format);
	file->managed_save = domain.managed;
	if (!file->memory)
		file->memory = take_ptr(domain.memory);
	if (file->channel == CHANNEL_AGENT && !domain.has_agent)
		file->channel = CHANNEL_NONE;
	/* A domain may have a name that no table of a filter can. */
	if (!file->name)
		file->name = strdup(is_name(domain.name) ? domain.name : file->uuid);
	vm_domain_deinit(&domain);
	return file->name ? NULL : error_no_memory();
}

static bool names_domain(const char *vm)
{
	return !strncmp(vm, LIBVIRT_PREFIX, strlen(LIBVIRT_PREFIX));
}

/* "libvirt:NAME", or "libvirt:URI#NAME". */
static struct error *load_domain(const char *vm, struct vm_file *file)
{
	const char *text = vm + strlen(LIBVIRT_PREFIX), *hash = strstr(text, "://") ? strchr(text, '#') : NULL;
	const char *name = hash ? hash + 1 : text;

	if (!*name || strlen(name) > DOMAIN_NAME_MAX || (!hash && strstr(text, "://")))
		return error_remedy(error_create(ERROR_USAGE, "%s: which domain?", vm),
				    "libvirt:NAME, or libvirt:URI#NAME, or -c URI NAME");
	file->channel = CHANNEL_AGENT;
	file->gate = GATE_AUTO;
	file->driver = strdup("libvirt");
	file->directory = strdup("/");
	file->domain = strdup(name);
	file->uri = hash ? strndup(text, (size_t)(hash - text)) : strdup(LIBVIRT_URI);
	if (!file->driver || !file->directory || !file->domain || !file->uri)
		return error_no_memory();
	/* One domain has one state, however its default connection was named. */
	file->path = !strcmp(file->uri, LIBVIRT_URI) ? string_format(LIBVIRT_PREFIX "%s", name) : strdup(vm);
	return file->path ? ask_libvirt(file) : error_no_memory();
}

bool vm_file_is_there(const char *path)
{
	return names_domain(path) || access(path, F_OK) == 0;
}

const char *vm_file_place(const struct vm_file *file)
{
	return is_libvirt(file) ? file->uri : is_xen(file) ? "xl list" : file->qmp;
}

/* Sets path, directory and name from the file's real path. */
static struct error *name_after(const char *path, struct vm_file *file)
{
	char *slash;
	size_t length;

	file->path = realpath(path, NULL);
	if (!file->path)
		return error_remedy(error_recode(error_system(errno, path, "no such VM file"), ERROR_USAGE),
				    "name a VM file, or a VM that has one in the configuration directory");
	slash = strrchr(file->path, '/');
	file->directory = strndup(file->path, slash == file->path ? 1 : (size_t)(slash - file->path));
	length = strlen(slash + 1);
	if (length > 3 && !strcmp(slash + 1 + length - 3, ".vm"))
		length -= 3;
	file->name = strndup(slash + 1, length);
	if (!file->directory || !file->name)
		return error_no_memory();
	if (length > VM_NAME_MAX || *file->name == '.' || *file->name == '-' ||
	    strspn(file->name, NAME_CHARACTERS) != length)
		return error_remedy(
			error_create(ERROR_USAGE,
				     "%s: \"%s\" cannot be a VM's name: letters, digits, '.', '_' and '-', %d at most, "
				     "the first neither '.' nor '-'",
				     file->path, file->name, VM_NAME_MAX),
			"rename the file: its name without .vm is the VM's");
	return NULL;
}

static struct error *find_path(const char *config_dir, const char *vm, char **ret)
{
	struct stat st;

	if (!*vm)
		return error_create(ERROR_USAGE, "the VM's name is empty");
	if (stat(vm, &st) == 0 && S_ISDIR(st.st_mode))
		return error_create(ERROR_USAGE, "%s is a directory, not a VM file", vm);
	if (strchr(vm, '/') || (stat(vm, &st) == 0 && S_ISREG(st.st_mode)))
		*ret = strdup(vm);
	else
		*ret = string_format("%s/%s.vm", config_dir, vm);
	return *ret ? NULL : error_no_memory();
}

/* It names a command that we run, with our rights. */
static void warn_of_writers(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && st.st_mode & S_IWOTH)
		log_warning("%s: anybody may write it, and have any command run by who uses it (mode %04o): chmod o-w",
			    path, st.st_mode & 07777);
}

#define VM_FILE_MAX (1024 * 1024)

static struct error *load_ini(const struct vm_file *file, GKeyFile *ini)
{
	_cleanup_(free_ptr) char *text = NULL;
	size_t size;
	GError *failure = NULL;
	struct error *error = io_read_file(file->path, VM_FILE_MAX, &text, &size);

	if (error)
		return error_recode(error, ERROR_USAGE);
	if (strlen(text) != size)
		return error_create(ERROR_USAGE, "%s: not a text", file->path);
	warn_of_writers(file->path);
	if (!g_key_file_load_from_data(ini, text, size, G_KEY_FILE_NONE, &failure)) {
		error = error_create(ERROR_USAGE, "%s: %s", file->path, failure->message);
		g_error_free(failure);
		return error;
	}
	error = refuse_unknown_keys(ini, file->path);
	return error ? error : refuse_duplicates(text, file->path);
}

static struct error *load(const char *path, struct vm_file *file)
{
	_cleanup_(g_key_file_unref_ptr) GKeyFile *ini = g_key_file_new();
	struct error *error = name_after(path, file);

	if (!error)
		error = load_ini(file, ini);
	if (!error)
		error = read_keys(ini, file);
	if (!error)
		error = read_gate(ini, file);
	if (!error)
		error = read_channel(ini, file);
	if (!error)
		error = place_conffiles(file);
	if (!error && is_libvirt(file))
		error = ask_libvirt(file);
	if (!error && is_xen(file))
		error = vm_file_ask_xen(file);
	return error ? error : check_values(file);
}

struct error *vm_file_load(const char *config_dir, const char *vm, struct vm_file *ret)
{
	_cleanup_(free_ptr) char *path = NULL;
	struct vm_file file = {0};
	struct error *error;

	if (names_domain(vm)) {
		error = load_domain(vm, &file);
	} else if (vm_file_is_xen(vm)) {
		error = vm_file_load_xen(vm, &file);
	} else {
		error = find_path(config_dir, vm, &path);
		if (!error)
			error = load(path, &file);
	}
	if (error) {
		vm_file_deinit(&file);
		return error;
	}
	*ret = file;
	return NULL;
}

void vm_file_deinit(struct vm_file *file)
{
	free(file->path);
	free(file->name);
	free(file->directory);
	free(file->driver);
	free(file->uri);
	free(file->domain);
	free(file->target);
	free(file->uuid);
	free(file->memory);
	free(file->disk);
	free(file->format);
	free(file->disk_reader);
	g_strfreev(file->command);
	free(file->qmp);
	free(file->agent);
	free(file->ssh);
	free(file->port);
	free(file->key);
	free(file->proxy);
	free(file->sources);
	free(file->conffiles);
	free(file->preseed);
	free(file->keep);
	free(file->sign_key);
	free(file->verify_key);
	g_strfreev(file->apt_options);
	*file = (struct vm_file){0};
}

struct vm_settings vm_file_settings(const struct vm_file *file, const char *log_path)
{
	return (struct vm_settings){
		.name = file->name,
		.directory = file->directory,
		.memory = file->memory,
		.disk = file->disk,
		.disk_format = file->format,
		.command = (const char *const *)file->command,
		.qmp = file->qmp,
		.uri = file->uri,
		.uuid = file->uuid,
		.managed_save = file->managed_save,
		.channel = file->channel,
		.agent = file->agent,
		.ssh_target = file->ssh,
		.ssh_port = file->port,
		.ssh_key = file->key,
		.gate = file->gate,
		.log_path = log_path,
	};
}
