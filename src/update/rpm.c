/* SPDX-License-Identifier: Apache-2.0 */
#include "update/rpm.h"

#include <string.h>

#include "base/io.h"
#include "update/front_end.h"

bool rpm_is_there(int root_fd)
{
	static const char *const databases[] = {
		"/usr/lib/sysimage/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/Packages.db", "/var/lib/rpm/rpmdb.sqlite",
		"/var/lib/rpm/Packages.db",           "/usr/lib/sysimage/rpm/Packages",    "/var/lib/rpm/Packages",
	};

	for (size_t i = 0; i < ARRAY_SIZE(databases); i++)
		if (front_end_has(root_fd, databases[i]))
			return front_end_has(root_fd, "/usr/bin/rpm") || front_end_has(root_fd, "/bin/rpm");
	return false;
}

static struct error *query(const struct package_run *run, const char *format, char **ret)
{
	const char *argv[] = {"rpm", "-qa", "--qf", format, NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error;
	int status;

	error = front_end_ask(run, argv, &status, &output);
	if (!error && status != 0)
		error = error_create(ERROR_FAILED, "rpm -qa: exit status %d: %.2000s", status, output);
	if (error)
		return error;
	*ret = front_end_sort(output);
	return NULL;
}

/* Keys are kept as packages, and are none. */
#define IS_KEY "gpg-pubkey.(none)"

static bool is_key(const char *line)
{
	return !strncmp(line, IS_KEY, strlen(IS_KEY));
}

struct error *rpm_list(const struct package_run *run, char **ret)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = query(run, "%{NAME}.%{ARCH} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\n", &text);
	GString *list;

	if (error)
		return error;
	list = g_string_new("");
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (!is_key(line))
			g_string_append_len(list, line, (gssize)strcspn(line, "\n") + 1);
	*ret = g_string_free(list, FALSE);
	return NULL;
}

/* dnf.conf(5), installonlypkgs; libzypp's multiversion. */
static bool may_be_double(const char *line, size_t length)
{
	return !strncmp(line, "kernel", 6) || is_key(line) || memmem(line, length, "installonlypkg(", 15) ||
	       memmem(line, length, "multiversion(", 13);
}

char *rpm_find_double(const char *text)
{
	const char *last = "";

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t n = strcspn(line, " \n");

		if (n == strcspn(last, " \n") && !strncmp(line, last, n) && !may_be_double(line, strcspn(line, "\n")))
			return strndup(line, n);
		last = line;
	}
	return NULL;
}

static struct error *refuse_double(const struct package_run *run)
{
	_cleanup_(free_ptr) char *text = NULL, *name = NULL;
	struct error *error = query(run, "%{NAME}.%{ARCH} [%{PROVIDENAME},]\\n", &text);

	if (error)
		return error;
	name = rpm_find_double(text);
	if (!name)
		return NULL;
	return error_create(ERROR_FAILED,
			    "the guest's packages are not in order: %s is installed twice, as a "
			    "transaction that was cut leaves it",
			    name);
}

struct error *rpm_audit(const struct package_run *run)
{
	static const char *const argv[] = {"rpm", "-Va", "--nofiles", "--nodigest", "--nosignature", NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error = refuse_double(run);
	int status;

	if (!error)
		error = front_end_ask(run, argv, &status, &output);
	if (!error && status != 0)
		error = error_create(ERROR_FAILED,
				     "the guest's packages are not in order: rpm -Va --nofiles says: %.4000s", output);
	return error;
}
