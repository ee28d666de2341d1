/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that are started. Of dpkg's maintainer scripts each is written down, and one that belongs into the running
 * guest is not started; of boot loaders' installers it is noted where there is an EFI system partition. A caller that
 * shows us another path than the kernel only does by itself what it may do anyway.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/answer.h"
#include "shadow/need.h"

/* Of an environment: variables that are looked at, and bytes of one. dpkg sets its own behind all it inherited. */
#define VARIABLES_MAX 4096u
#define VARIABLE_MAX  (SHADOW_NAME_MAX + 64u)

static bool is_dpkg(struct answer_call *call)
{
	char text[64] = "";
	_cleanup_(close_fd) int fd = answer_open_proc(call, "comm", O_RDONLY);

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && strcmp(text, "dpkg\n") == 0;
}

static bool is_plain(const char *name)
{
	for (const char *c = name; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '/')
			return false;
	return *name != '\0';
}

/* Who the script is for, as the caller tells the one it starts. */
static bool read_package(struct answer_call *call, char package[SHADOW_NAME_MAX])
{
	static const char name[] = "DPKG_MAINTSCRIPT_PACKAGE=";
	uint64_t addresses[64], environment = call->args[2];

	for (size_t i = 0; environment && i < VARIABLES_MAX; i++) {
		char text[VARIABLE_MAX];
		size_t n = i % ARRAY_SIZE(addresses);

		/* One at a time where the page ends behind the list's last. */
		if (n == 0 && answer_read(call, environment + i * 8, addresses, sizeof(addresses)) != 0)
			memset(addresses, 0, sizeof(addresses));
		if (!addresses[n] && answer_read(call, environment + i * 8, &addresses[n], 8) != 0)
			return false;
		if (!addresses[n])
			return false;
		if (answer_read_string(call, addresses[n], text, sizeof(text), E2BIG) != 0 ||
		    strncmp(text, name, strlen(name)) != 0)
			continue;
		text[strlen(name) + strcspn(text + strlen(name), ":")] = '\0';
		if (strlen(text + strlen(name)) >= SHADOW_NAME_MAX || !is_plain(text + strlen(name)))
			return false;
		strcpy(package, text + strlen(name));
		return true;
	}
	return false;
}

/* "/var/lib/dpkg/info/nginx.postinst", "/var/lib/dpkg/tmp.ci/preinst": its last word is the script's. */
static int start_script(struct answer_call *call, const char *path)
{
	const char *name = strrchr(path, '/') + 1, *dot = strrchr(name, '.');
	char package[SHADOW_NAME_MAX];

	if (!is_dpkg(call) || !read_package(call, package) || !is_plain(dot ? dot + 1 : name))
		return 0;
	if (need_script(call->shadow, package, dot ? dot + 1 : name))
		return 0;
	call->proceed = false;
	return EACCES;
}

/* What writes there whatever it is told, and what does so for some of its words. */
static void look_at_loader(struct answer_call *call, const char *name)
{
	static const char *const writers[] = {"grub-install", "grub2-install", "efibootmgr"};
	const char *efi = NULL;
	bool writes = false;

	for (size_t i = 0; i < ARRAY_SIZE(writers); i++)
		writes |= strcmp(name, writers[i]) == 0;
	if (writes || strcmp(name, "bootctl") == 0)
		efi = need_efi(call->shadow);
	if (efi)
		need_note(call->shadow, call->request->pid, writes ? SHADOW_NEED_EFI : SHADOW_NEED_REFUSED, efi,
			  "runs %s, which writes to the EFI system partition at %s", name, efi);
}

int answer_execve(struct answer_call *call)
{
	char path[PATH_MAX];

	call->proceed = true;
	if (answer_read_string(call, call->args[0], path, sizeof(path), ENAMETOOLONG) != 0 || !strchr(path, '/'))
		return 0;
	if (strncmp(path, "/var/lib/dpkg/info/", 19) == 0 || strncmp(path, "/var/lib/dpkg/tmp.ci/", 21) == 0)
		return start_script(call, path);
	look_at_loader(call, strrchr(path, '/') + 1);
	return 0;
}
