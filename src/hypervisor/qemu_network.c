/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's network cards and what is behind them.
 *
 * Only the monitor for people tells a card's peer (`info network`; no QMP query does), and it
 * tells no tap's name for -netdev bridge or fd=: that is read from the kernel, which names the
 * device in fdinfo of every descriptor of /dev/net/tun. What cannot be matched gets no tap, and so
 * its link taken down: what is not understood is not left open.
 *
 * QEMU has no query for a link's state either. set_link() therefore leaves a null character
 * device of its own name inside QEMU, which lives and ends with that process.
 */
#include <ctype.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "hypervisor/qemu.h"

#define LINK_MARK  "ouassister-link-"
#define FDINFO_MAX 4096
#define NICS_MAX   256 /* cards and taps; QEMU's own limit for legacy cards is 8, PCI gives some 200 */

void nic_list_deinit(struct nic_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->nics[i].name);
		free(list->nics[i].tap);
	}
	for (size_t i = 0; i < list->n_taps; i++)
		free(list->taps[i]);
	free(list->nics);
	free(list->taps);
	*list = (struct nic_list){};
}

static struct error *too_many(void)
{
	return error_create(ERROR_UNSUPPORTED, "more than %d network cards", NICS_MAX);
}

struct error *nic_list_add(struct nic_list *list, const char *name, size_t name_size)
{
	struct nic *nics;
	char *copy;

	for (size_t i = 0; i < list->n; i++)
		if (strlen(list->nics[i].name) == name_size && memcmp(list->nics[i].name, name, name_size) == 0)
			return NULL; /* another queue of the same card */
	if (list->n >= NICS_MAX)
		return too_many();
	copy = strndup(name, name_size);
	nics = reallocarray(list->nics, list->n + 1, sizeof(*nics));
	if (nics)
		list->nics = nics;
	if (!nics || !copy) {
		free(copy);
		return error_no_memory();
	}
	list->nics[list->n++] = (struct nic){.name = copy};
	return NULL;
}

struct error *nic_list_add_tap(struct nic_list *list, const char *tap)
{
	char **taps, *copy;

	for (size_t i = 0; i < list->n_taps; i++)
		if (strcmp(list->taps[i], tap) == 0)
			return NULL;
	if (list->n_taps >= NICS_MAX)
		return too_many();
	copy = strdup(tap);
	taps = reallocarray(list->taps, list->n_taps + 1, sizeof(*taps));
	if (taps)
		list->taps = taps;
	if (!taps || !copy) {
		free(copy);
		return error_no_memory();
	}
	list->taps[list->n_taps++] = copy;
	return NULL;
}

/* The device behind descriptor `fd` of the process, if that is one of /dev/net/tun; false otherwise. */
static bool tap_of_fd(pid_t pid, const char *fd, char ret[IF_NAMESIZE])
{
	char path[64], link[32];
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error;
	const char *found;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%.16s", (int)pid, fd);
	n = readlink(path, link, sizeof(link) - 1);
	if (n <= 0)
		return false;
	link[n] = '\0';
	if (strcmp(link, "/dev/net/tun") != 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.16s", (int)pid, fd);
	error = io_read_file(path, FDINFO_MAX, &text, NULL);
	if (error) {
		error_destroy(error);
		return false;
	}
	found = strstr(text, "\niff:\t");
	if (!found)
		return false;
	found += strlen("\niff:\t");
	n = (ssize_t)strcspn(found, "\n");
	if (n == 0 || n >= IF_NAMESIZE)
		return false;
	memcpy(ret, found, (size_t)n);
	ret[n] = '\0';
	return true;
}

/* A tap of another network namespace has a name that means something else, or nothing, in ours. */
static bool same_network(pid_t pid)
{
	char path[64];
	struct stat theirs, ours;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	return stat(path, &theirs) == 0 && stat("/proc/self/ns/net", &ours) == 0 && theirs.st_dev == ours.st_dev &&
	       theirs.st_ino == ours.st_ino;
}

struct error *qemu_list_taps(pid_t pid, struct nic_list *list)
{
	_cleanup_(closedir_ptr) DIR *directory = NULL;
	char path[64];
	struct dirent *entry;

	if (!same_network(pid))
		return NULL;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	directory = opendir(path);
	if (!directory)
		return error_system(errno, path, "cannot list the descriptors of QEMU");
	while ((entry = readdir(directory))) {
		char tap[IF_NAMESIZE];
		struct error *error;

		if (!isdigit((unsigned char)entry->d_name[0]) || !tap_of_fd(pid, entry->d_name, tap) ||
		    if_nametoindex(tap) == 0)
			continue;
		error = nic_list_add_tap(list, tap);
		if (error)
			return error;
	}
	return NULL;
}

/* The value of `key` ("ifname=") in a client's description, or false. */
static bool value_of(const char *text, const char *key, char *buffer, size_t size)
{
	const char *found = strstr(text, key);
	size_t n;

	if (!found)
		return false;
	found += strlen(key);
	n = strcspn(found, ",");
	if (n == 0 || n >= size)
		return false;
	memcpy(buffer, found, n);
	buffer[n] = '\0';
	return true;
}

static bool holds_tap(const struct nic_list *list, const char *tap)
{
	for (size_t i = 0; i < list->n_taps; i++)
		if (strcmp(list->taps[i], tap) == 0)
			return true;
	return false;
}

/* A tap that no card has claimed: the helper's of -netdev bridge, whose name QEMU does not tell. */
static const char *unclaimed_tap(const struct nic_list *list)
{
	for (size_t i = 0; i < list->n_taps; i++) {
		bool claimed = false;

		for (size_t j = 0; j < list->n; j++)
			claimed = claimed || (list->nics[j].tap && strcmp(list->nics[j].tap, list->taps[i]) == 0);
		if (!claimed)
			return list->taps[i];
	}
	return NULL;
}

/* Gives the last card of the list the tap that its peer's description names. */
static struct error *claim_tap(struct nic_list *list, struct nic *nic, const char *peer, pid_t pid)
{
	char name[IF_NAMESIZE], fd[16];
	const char *tap = NULL;

	if (nic->tap || !strstr(peer, ",type=tap"))
		return NULL;
	if (value_of(peer, "ifname=", name, sizeof(name)))
		tap = name;
	else if (value_of(peer, ",fd=", fd, sizeof(fd)))
		tap = tap_of_fd(pid, fd, name) ? name : NULL;
	else
		tap = unclaimed_tap(list);
	if (!tap || !holds_tap(list, tap))
		return NULL;
	nic->tap = strdup(tap);
	return nic->tap ? NULL : error_no_memory();
}

/*
 * A line is a client; one that begins with " \ " is the peer of the card above it. Members of a
 * hub stand below "hub N" as " \ hubNportM: CLIENT: index=…": a hub joins any number of backends,
 * so its cards have no tap of their own.
 */
struct parser {
	struct nic_list *list;
	pid_t pid;
	const char *card; /* the card of the line above, waiting for its peer */
	size_t card_size;
};

static struct error *parse_line(struct parser *parser, const char *line)
{
	const char *index = strstr(line, ": index=");
	bool below = strncmp(line, " \\ ", 3) == 0;
	const char *name = below ? line + 3 : line;
	const char *colon = strstr(name, ": ");
	bool in_hub = index && colon && colon < index;
	bool card = index && strstr(index, ",type=nic");
	struct error *error;

	if (!index) {
		if (!below && !isspace((unsigned char)line[0]))
			parser->card = NULL;
		return NULL;
	}
	if (in_hub)
		name = colon + 2;
	if (in_hub && card)
		return nic_list_add(parser->list, name, (size_t)(index - name));
	if (!below) {
		parser->card = card ? name : NULL;
		parser->card_size = (size_t)(index - name);
		return NULL;
	}
	if (in_hub || !parser->card)
		return NULL;
	error = nic_list_add(parser->list, parser->card, parser->card_size);
	if (error)
		return error;
	for (size_t i = 0; i < parser->list->n; i++) {
		struct nic *nic = &parser->list->nics[i];

		if (strlen(nic->name) == parser->card_size && memcmp(nic->name, parser->card, parser->card_size) == 0)
			return claim_tap(parser->list, nic, line, parser->pid);
	}
	return NULL;
}

struct error *qemu_parse_network(const char *text, pid_t pid, struct nic_list *list)
{
	_cleanup_(free_ptr) char *copy = strdup(text);
	struct parser parser = {.list = list, .pid = pid};
	char *position = copy, *line;

	if (!copy)
		return error_no_memory();
	while ((line = strsep(&position, "\r\n"))) {
		struct error *error = *line ? parse_line(&parser, line) : NULL;

		if (error)
			return error;
	}
	return NULL;
}

/* A card that the host gave away bypasses the host: nothing here could close it. */
static struct error *refuse_passthrough(struct qmp *qmp)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = qmp_human(qmp, "info qtree", &text);

	if (error)
		return error;
	if (strstr(text, "dev: vfio-"))
		return error_create(
			ERROR_UNSUPPORTED,
			"a device of the host is passed through (vfio): if it is a network card, its traffic "
			"cannot be cut");
	return NULL;
}

static struct error *read_marks(struct qmp *qmp, struct nic_list *list)
{
	_cleanup_(json_decref_ptr) json_t *answer = NULL;
	size_t i;
	json_t *device;
	struct error *error = qmp_execute(qmp, "query-chardev", NULL, &answer);

	if (error)
		return error;
	json_array_foreach(answer, i, device)
	{
		const char *label = json_string_value(json_object_get(device, "label"));

		if (!label || strncmp(label, LINK_MARK, strlen(LINK_MARK)) != 0)
			continue;
		for (size_t j = 0; j < list->n; j++)
			if (strcmp(list->nics[j].name, label + strlen(LINK_MARK)) == 0)
				list->nics[j].down = true;
	}
	return NULL;
}

struct error *qemu_network(struct vm *vm, struct nic_list *ret)
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;
	_cleanup_(free_ptr) char *text = NULL;
	_cleanup_(nic_list_deinit) struct nic_list list = {};
	pid_t pid;
	struct error *error = qmp_open(vm->settings.qmp, &qmp);

	if (!error)
		error = qmp_pid(qmp, &pid);
	if (!error)
		error = refuse_passthrough(qmp);
	if (!error)
		error = qmp_human(qmp, "info network", &text);
	if (!error)
		error = qemu_list_taps(pid, &list);
	if (!error)
		error = qemu_parse_network(text, pid, &list);
	if (!error)
		error = read_marks(qmp, &list);
	if (error)
		return error;
	*ret = list;
	list = (struct nic_list){};
	return NULL;
}

static struct error *set_link(struct qmp *qmp, const char *nic, bool up)
{
	return qmp_execute(qmp, "set_link", json_pack("{s:s, s:b}", "name", nic, "up", (int)up), NULL);
}

/* The mark says "down" at most while the link is: it is made after the link goes and removed before it comes. */
struct error *qemu_set_link(struct vm *vm, const char *nic, bool up)
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;
	_cleanup_(free_ptr) char *mark = string_format("%s%s", LINK_MARK, nic);
	struct error *error = mark ? qmp_open(vm->settings.qmp, &qmp) : error_no_memory();

	if (!error && !up)
		error = set_link(qmp, nic, false);
	if (error)
		return error;
	/* Refused where the mark is gone already, or still there: the state that was wanted. */
	if (up)
		error_destroy(qmp_execute(qmp, "chardev-remove", json_pack("{s:s}", "id", mark), NULL));
	else
		error_destroy(qmp_execute(
			qmp, "chardev-add",
			json_pack("{s:s, s:{s:s, s:{}}}", "id", mark, "backend", "type", "null", "data"), NULL));
	return up ? set_link(qmp, nic, true) : NULL;
}
