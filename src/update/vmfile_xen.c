/* SPDX-License-Identifier: Apache-2.0 */
#include "update/vmfile_xen.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "image/image.h"

#define PREFIX   "xen:"
#define SAVE_DIR "/var/lib/xen/save" /* XENDOMAINS_SAVE of /etc/default/xendomains */

static bool has_prefix(const char *vm)
{
	return strncmp(vm, PREFIX, strlen(PREFIX)) == 0;
}

bool vm_file_is_xen(const char *vm)
{
	return has_prefix(vm) || image_is_xen_save(vm);
}

/* A member that is a string; NULL: there is none. libxl leaves out what is as usual. */
static const char *member(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static struct error *parse(char *text, const char *path, json_t **ret)
{
	struct error *error = error_wrap(json_parse(text, strlen(text), path, ret), "the domain's configuration");

	free(text);
	return error;
}

/* Of the domain while it is there: `xl list -l` has one object for it, with the same as a save file in it. */
static struct error *ask_host(const struct vm_file *file, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *list = NULL;
	json_t *config;
	char *text = NULL;
	struct error *error = vm_xen_config(file->domain, &text);

	if (!error)
		error = parse(text, "xl list -l", &list);
	if (error)
		return error;
	config = json_object_get(json_array_get(list, 0), "config");
	if (!config)
		return error_format("xl list -l", ERROR_NO_ADDRESS, "it says nothing of the domain %s", file->domain);
	*ret = json_incref(config);
	return NULL;
}

static struct error *nowhere(const struct vm_file *file)
{
	return error_remedy(error_create(ERROR_USAGE, "%s: the domain is not saved in %s", file->path, file->memory),
			    "save it there by xl save; or name the domain, while it runs here, by \"domain\" in [xen]");
}

/* It sleeps; or it runs here; or it slept once, and what it was then is said by its spent image. */
static struct error *load_config(const struct vm_file *file, json_t **ret)
{
	_cleanup_(free_ptr) char *spent = string_format("%s.spent", file->memory);
	const char *path = file->memory;
	char *text = NULL;
	struct error *error;

	if (!spent)
		return error_no_memory();
	if (access(path, F_OK) < 0 && file->domain) {
		error = ask_host(file, ret);
		if (!error || error->code != ERROR_NOT_FOUND || access(spent, F_OK) < 0)
			return error;
		error_destroy(error);
	}
	if (access(path, F_OK) < 0)
		path = spent;
	if (access(path, F_OK) < 0)
		return nowhere(file);
	error = image_xen_config(path, &text);
	return error ? error : parse(text, path, ret);
}

/* Numbers: LIBXL_DISK_FORMAT_RAW, …; words in JSON. */
static bool is_readable_format(const char *format)
{
	return strcmp(format, "raw") == 0 || strcmp(format, "qcow2") == 0;
}

static bool is_system_disk(const json_t *disk, const char *target)
{
	const char *name = member(disk, "vdev");

	if (target)
		return name && strcmp(name, target) == 0;
	return json_is_true(json_object_get(disk, "readwrite")) ||
	       json_integer_value(json_object_get(disk, "readwrite")) != 0;
}

static struct error *no_disk(const struct vm_file *file)
{
	if (file->target)
		return error_remedy(error_create(ERROR_USAGE, "%s: the saved domain has no disk \"%s\"", file->memory,
						 file->target),
				    "correct \"target\" in [xen], or name the disk's image itself by \"disk\" in [vm]");
	return error_remedy(
		error_create(ERROR_UNSUPPORTED, "%s: the saved domain has no disk that can be written", file->memory),
		"name the disk's image by \"disk\" in [vm] of a VM file with driver = xen");
}

static struct error *take_disk(const json_t *disk, struct vm_file *file)
{
	const char *path = member(disk, "pdev_path"), *format = member(disk, "format");

	if (!path || *path != '/')
		return error_remedy(error_create(ERROR_UNSUPPORTED,
						 "%s: the domain's disk is \"%s\", no file or device", file->memory,
						 path ? path : ""),
				    "name its image by \"disk\" in [vm] of a VM file with driver = xen");
	/* Without a word it is a block device's. */
	if (format && strcmp(format, "unknown") != 0 && !is_readable_format(format))
		return error_remedy(error_create(ERROR_UNSUPPORTED, "%s: the domain's disk %s is of the format \"%s\"",
						 file->memory, path, format),
				    "convert it to qcow2 or raw by qemu-img, while the domain is shut down");
	file->disk = strdup(path);
	if (!file->format)
		file->format = strdup(format && is_readable_format(format) ? format : "raw");
	return file->disk && file->format ? NULL : error_no_memory();
}

static struct error *choose_disk(const json_t *config, struct vm_file *file)
{
	const json_t *disks = json_object_get(config, "disks"), *disk;
	size_t i;

	json_array_foreach(disks, i, disk)
	{
		if (is_system_disk(disk, file->target))
			return take_disk(disk, file);
	}
	return no_disk(file);
}

struct error *vm_file_ask_xen(struct vm_file *file)
{
	_cleanup_(json_decref_ptr) json_t *config = NULL;
	const json_t *info;
	const char *name, *uuid;
	struct error *error;

	if (!file->memory)
		return error_remedy(error_create(ERROR_USAGE, "%s: key \"memory\" is missing in [vm]", file->path),
				    "name the file of xl save's; ouassister-vm(5) has an example");
	error = load_config(file, &config);
	if (error)
		return error;
	info = json_object_get(config, "c_info");
	name = member(info, "name");
	uuid = member(info, "uuid");
	if (!name || !uuid)
		return error_format(file->memory, ERROR_NO_ADDRESS,
				    "the domain's configuration has no name or no uuid");
	if (file->domain && strcmp(file->domain, name) != 0)
		return error_remedy(error_create(ERROR_USAGE, "%s: the domain saved in %s is \"%s\", not \"%s\"",
						 file->path, file->memory, name, file->domain),
				    "correct \"domain\" in [xen], or \"memory\" in [vm]");
	if (!file->domain)
		file->domain = strdup(name);
	file->uuid = strdup(uuid);
	if (!file->domain || !file->uuid)
		return error_no_memory();
	if (!file->disk)
		return choose_disk(config, file);
	if (file->format)
		return NULL;
	return error_remedy(error_create(ERROR_USAGE, "%s: key \"format\" is missing in [vm]", file->path),
			    "a disk that is named has a format: qcow2 or raw");
}

static struct error *find_save(const char *vm, char **ret)
{
	const char *directory = getenv("OUASSISTER_XEN_SAVE_DIR"), *name = vm + strlen(PREFIX);

	if (!has_prefix(vm)) {
		*ret = realpath(vm, NULL);
		return *ret ? NULL : error_system(errno, vm, "cannot find the save file");
	}
	if (!*name || strchr(name, '/') || *name == '.')
		return error_remedy(error_create(ERROR_USAGE, "%s: which domain?", vm),
				    "xen:NAME, or the path of a file of xl save's");
	*ret = string_format("%s/%s", directory && *directory ? directory : SAVE_DIR, name);
	if (!*ret)
		return error_no_memory();
	if (access(*ret, F_OK) == 0)
		return NULL;
	return error_remedy(error_recode(error_system(errno, *ret, "no saved domain of that name"), ERROR_USAGE),
			    "save it there by xl save %s %s, or name the file itself", name, *ret);
}

/* A domain may have a name that no VM can. */
static char *usable_name(const char *domain)
{
	char *name = strdup(domain);

	for (size_t i = 0; name && name[i]; i++) {
		bool is_letter = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
				 (name[i] >= '0' && name[i] <= '9');

		if (!is_letter && (i == 0 || !strchr("._-", name[i])))
			name[i] = i == 0 ? 'x' : '_';
	}
	if (name && strlen(name) > VM_NAME_MAX)
		name[VM_NAME_MAX] = '\0';
	if (name && !*name) {
		free(name);
		name = strdup("xen");
	}
	return name;
}

struct error *vm_file_load_xen(const char *vm, struct vm_file *file)
{
	struct error *error = find_save(vm, &file->memory);

	if (error)
		return error;
	file->channel = CHANNEL_NONE;
	file->gate = GATE_AUTO;
	file->driver = strdup("xen");
	file->directory = strdup("/");
	file->path = strdup(file->memory);
	if (!file->driver || !file->directory || !file->path)
		return error_no_memory();
	error = vm_file_ask_xen(file);
	if (error)
		return error;
	file->name = usable_name(file->domain);
	return file->name ? NULL : error_no_memory();
}
