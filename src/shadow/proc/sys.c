/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/sys: the guest's values. What is written to them is recorded for the running system and shown afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "shadow/internal.h"
#include "shadow/proc/serve.h"
#include "shadow/record.h"

#define FIELDS_MAX 64

/* What was written to one file. */
struct sys_value {
	uint32_t index;
	char *text; /* as a read gives it, to the newline */
};

/* They are read when first asked for: most programs never do. */
static int load(struct server *server)
{
	struct error *error;

	if (server->sysctls)
		return 0;
	if (server->no_sysctls)
		return ENOENT;
	error = proc_sysctls_create(&server->facts, &server->sysctls);
	server->no_sysctls = error;
	error_destroy(error);
	return error ? ENOENT : 0;
}

/* NULL: none. The directory itself is 0 and has no entry. */
static const struct proc_sysctl *sysctl_of(struct server *server, struct node node)
{
	const struct proc_sysctl *all;
	size_t n;

	if (load(server) != 0)
		return NULL;
	all = proc_sysctls_all(server->sysctls, &n);
	return node.sub > 0 && node.sub <= n ? &all[node.sub - 1] : NULL;
}

int sys_stat(struct server *server, struct node node, struct stat *ret)
{
	const struct proc_sysctl *sysctl = sysctl_of(server, node);

	if (!sysctl && (node.sub > 0 || !server->sysctls))
		return ENOENT;
	ret->st_mode = sysctl ? sysctl->mode : S_IFDIR | 0555;
	ret->st_nlink = 1;
	return 0;
}

int sys_lookup(struct server *server, struct node parent, const char *name, struct node *ret)
{
	const struct proc_sysctl *directory = sysctl_of(server, parent), *found;
	char path[512];
	size_t n;

	if (!server->sysctls)
		return ENOENT;
	n = (size_t)snprintf(path, sizeof(path), "%s%s%s", directory ? directory->name : "", directory ? "/" : "",
			     name);
	found = n < sizeof(path) ? proc_sysctls_find(server->sysctls, path) : NULL;
	if (!found)
		return ENOENT;
	*ret = (struct node){.kind = NODE_SYS, .sub = (uint64_t)(found - proc_sysctls_all(server->sysctls, &n)) + 1};
	return 0;
}

int sys_list(struct server *server, struct node parent, struct listing *listing)
{
	const struct proc_sysctl *directory = sysctl_of(server, parent), *all;
	size_t n, prefix;

	if (!server->sysctls)
		return ENOENT;
	all = proc_sysctls_all(server->sysctls, &n);
	prefix = directory ? strlen(directory->name) + 1 : 0;
	for (size_t i = 0; i < n; i++) {
		const char *name = all[i].name;

		if (prefix && (strncmp(name, directory->name, prefix - 1) != 0 || name[prefix - 1] != '/'))
			continue;
		if (strchr(name + prefix, '/'))
			continue;
		if (!listing_add(listing, (struct node){.kind = NODE_SYS, .sub = i + 1}, all[i].mode & S_IFMT,
				 name + prefix))
			return ENOMEM;
	}
	return 0;
}

static struct sys_value *written(struct server *server, uint64_t index)
{
	for (size_t i = 0; i < server->n_sys_values; i++)
		if (server->sys_values[i].index == index)
			return &server->sys_values[i];
	return NULL;
}

/* The name behind the file, which system calls set and read too; NULL: another file, or nobody has set it. */
static char *shared_name(struct server *server, const struct proc_sysctl *sysctl)
{
	if (!server->shared_names)
		return NULL;
	if (strcmp(sysctl->name, "kernel/hostname") == 0)
		return server->shared_names->nodename;
	return strcmp(sysctl->name, "kernel/domainname") == 0 ? server->shared_names->domainname : NULL;
}

static struct error *write_value(void *data, FILE *out)
{
	proc_sysctl_write(data, out);
	return NULL;
}

static struct error *write_string(void *data, FILE *out)
{
	fputs(data, out);
	return NULL;
}

static int value_text(struct server *server, struct node node, struct text **ret)
{
	const struct proc_sysctl *sysctl = sysctl_of(server, node);
	const struct sys_value *value = written(server, node.sub);
	const char *shared;
	char name[66];

	if (!sysctl || !sysctl->file)
		return ENOENT;
	shared = shared_name(server, sysctl);
	if (shared && shared[0]) {
		shadow_name(shared, name);
		strcat(name, "\n");
		*ret = texts_write(&server->texts, write_string, name);
		return *ret ? 0 : ENOMEM;
	}
	*ret = value ? texts_write(&server->texts, write_string, value->text)
		     : texts_write(&server->texts, write_value, (void *)sysctl);
	return *ret ? 0 : ENOMEM;
}

/* As the kernel decides, which is stricter than for other files: root too needs the bit. */
static bool may_open(const struct asker *asker, uint32_t mode, int flags)
{
	uint32_t bits = asker->uid == 0 ? mode >> 6 : mode;
	uint32_t wanted = (flags & O_ACCMODE) == O_RDONLY ? 4 : (flags & O_ACCMODE) == O_WRONLY ? 2 : 6;

	return (bits & wanted) == wanted;
}

int sys_open(struct server *server, const struct asker *asker, struct node node, int flags, struct text **ret)
{
	const struct proc_sysctl *sysctl = sysctl_of(server, node);

	if (!sysctl)
		return ENOENT;
	if (!may_open(asker, sysctl->mode, flags))
		return EACCES;
	return (sysctl->mode & 0444) ? value_text(server, node, ret) : 0;
}

static bool is_number(const char *text)
{
	char *end;

	errno = 0;
	(void)strtoll(text, &end, 0);
	return end != text && !*end && errno == 0;
}

/* Cuts the text at blanks, in place; returns how many pieces there are, FIELDS_MAX + 1 if too many. */
static size_t cut(char *text, char *fields[FIELDS_MAX])
{
	size_t n = 0;
	char *rest;

	for (char *field = strtok_r(text, " \t\n", &rest); field; field = strtok_r(NULL, " \t\n", &rest)) {
		if (n == FIELDS_MAX)
			return n + 1;
		fields[n++] = field;
	}
	return n;
}

/*
 * The value after the write, without its newline. A list of numbers takes numbers alone, and keeps those behind what
 * was written; anything else is text up to the end of the line.
 */
static int merge(char *old, char *new, char *out, size_t size)
{
	char *before[FIELDS_MAX], *after[FIELDS_MAX], copy[4096];
	size_t n_before, n_after, used = 0;
	bool numbers;

	snprintf(copy, sizeof(copy), "%s", old);
	n_before = cut(copy, before);
	numbers = n_before > 0 && n_before <= FIELDS_MAX;
	for (size_t i = 0; numbers && i < n_before; i++)
		numbers = is_number(before[i]);
	if (!numbers) {
		new[strcspn(new, "\n")] = '\0';
		snprintf(out, size, "%s", new);
		return 0;
	}
	n_after = cut(new, after);
	if (n_after == 0 || n_after > n_before)
		return EINVAL;
	for (size_t i = 0; i < n_before; i++) {
		const char *field = i < n_after ? after[i] : before[i];

		if (!is_number(field))
			return EINVAL;
		used += (size_t)snprintf(out + used, size - used, "%s%s", i ? "\t" : "", field);
		if (used >= size)
			return EINVAL;
	}
	return 0;
}

static int record(struct server *server, const char *name, const char *value, uint32_t asker)
{
	struct manager_record record = {
		.kind = RECORD_VALUE, .pid = asker, .depth = 2, .size = (uint32_t)strlen(value)};
	int n = snprintf(record.path, sizeof(record.path), "/proc/sys/%s", name);

	if (n < 0 || (size_t)n >= sizeof(record.path) || record.size > sizeof(record.data))
		return EINVAL;
	memcpy(record.data, value, record.size);
	return -record_send(server->record_fd, &record);
}

static int remember(struct server *server, uint64_t index, const char *value)
{
	struct sys_value *item = written(server, index), *grown;
	char *text;

	if (asprintf(&text, "%s\n", value) < 0)
		return ENOMEM;
	if (!item) {
		grown = realloc(server->sys_values, (server->n_sys_values + 1) * sizeof(*grown));
		if (!grown) {
			free(text);
			return ENOMEM;
		}
		server->sys_values = grown;
		item = &grown[server->n_sys_values++];
		*item = (struct sys_value){.index = (uint32_t)index};
	}
	free(item->text);
	item->text = text;
	return 0;
}

int sys_write(struct server *server, struct node node, const char *data, size_t size, off_t offset, uint32_t asker)
{
	const struct proc_sysctl *sysctl = sysctl_of(server, node);
	char old[4096] = "", new[4096], value[4096];
	struct text *text;
	char *name;
	int r;

	if (!sysctl || !sysctl->file)
		return ENOENT;
	/* A value is written at once (kernel.sysctl_writes_strict). */
	if (offset != 0 || size == 0)
		return 0;
	if (size >= sizeof(new) || memchr(data, '\0', size - 1))
		return EINVAL;
	memcpy(new, data, size);
	new[size] = '\0';
	if (sysctl->mode & 0444) {
		r = value_text(server, node, &text);
		if (r)
			return r;
		snprintf(old, sizeof(old), "%.*s", (int)text->size, text->data ? text->data : "");
		texts_unref(&server->texts, text);
	}
	r = merge(old, new, value, sizeof(value));
	if (r == 0)
		r = record(server, sysctl->name, value, asker);
	name = shared_name(server, sysctl);
	if (r == 0 && name && strlen(value) <= 64)
		strcpy(name, value);
	return r ? r : remember(server, node.sub, value);
}

void sys_deinit(struct server *server)
{
	for (size_t i = 0; i < server->n_sys_values; i++)
		free(server->sys_values[i].text);
	free(take_ptr(server->sys_values));
	proc_sysctls_destroy(server->sysctls);
	server->sysctls = NULL;
}
