/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What dpkg and ucf did with configuration files, found out in the shadow. They say it by what they leave: a new
 * version that was not taken lies beside the file as .dpkg-dist or .ucf-dist.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "base/json.h"
#include "base/progress.h"
#include "update/apt.h"
#include "update/conffiles.h"

/* Files in a list, and old packages that are fetched to show what the administrator changed. */
#define CONFLICTS_MAX 200
#define OLD_MAX       16

#define UCF_SUMS      "/var/lib/ucf/hashfile"
#define UCF_COPIES    "/run/ouassister-ucf"
#define OLD_PACKAGES  "/var/tmp/ouassister-old"

/* In all scripts: the sum of a file in a table of ucf's, and another in its place (empty: the line goes). */
#define UCF_FUNCTIONS                                                                                                  \
	"sums=" UCF_SUMS "\n"                                                                                          \
	"ucf_sum() { [ -f $sums ] && p=$1 awk '{ s = $1; t = $0; sub(/^[^ ]+ +/, \"\", t) } "                          \
	"t == ENVIRON[\"p\"] { print s; exit }' $sums; }\n"                                                            \
	"ucf_set() { p=$2 n=$3 awk '{ t = $0; sub(/^[^ ]+ +/, \"\", t) } t != ENVIRON[\"p\"] { print; next } "         \
	"ENVIRON[\"n\"] != \"\" { print ENVIRON[\"n\"] \"  \" t }' $1 >$1.oua && cat $1.oua >$1; rm -f $1.oua; }\n"

/*
 * Arguments: the files of which the new version is wanted. What ucf would do after that answer: keep the old one beside
 * the new. Lines "T<TAB>PATH<TAB>SUM BEFORE, or -<TAB>SUM TOLD", "V<TAB>PACKAGE<TAB>VERSION".
 */
static const char begin_script[] =
	UCF_FUNCTIONS "[ ! -d /var/lib/ucf/cache ] || cp -a /var/lib/ucf/cache " UCF_COPIES "\n"
		      "dpkg-query -W -f 'V\\t${Package}\\t${Version}\\n'\n"
		      "for path; do\n"
		      "	[ -f $sums ] && [ -f \"$path\" ] || continue\n"
		      "	old=$(ucf_sum \"$path\")\n"
		      "	now=$(md5sum <\"$path\"); now=${now%% *}\n"
		      "	[ \"$now\" != \"$old\" ] || continue\n"
		      "	if [ -z \"$old\" ]; then\n"
		      "		! dpkg-query -W -f '${Conffiles}\\n' | grep -qF \" $path \" || continue\n"
		      "		echo \"$now  $path\" >>$sums\n"
		      "	else\n"
		      "		ucf_set $sums \"$path\" $now\n"
		      "	fi\n"
		      "	real=$(readlink -nf \"$path\")\n"
		      "	cp -pf \"$real\" \"$real.ucf-old\"\n"
		      "	printf 'T\\t%s\\t%s\\t%s\\n' \"$path\" \"${old:--}\" $now\n"
		      "done\n";

/* Arguments: PATH SUM SUM, as above. Prints those that ucf had no new version of; its older tables get the truth. */
static const char told_script[] =
	UCF_FUNCTIONS "while [ $# -ge 3 ]; do\n"
		      "	sum=$(ucf_sum \"$1\") real=$(readlink -nf \"$1\")\n"
		      "	for table in $sums.[0-9]*; do\n"
		      "		! grep -qxF \"$3  $1\" \"$table\" || ucf_set \"$table\" \"$1\" \"${2#-}\"\n"
		      "	done\n"
		      "	if [ \"$2\" = - ] && [ \"$sum\" = \"$3\" ]; then\n"
		      "		ucf_set $sums \"$1\" ''\n"
		      "		rm -f \"$real.ucf-old\"\n"
		      "	elif [ \"$sum\" = \"$3\" ] || [ \"$sum\" = \"$2\" ]; then\n"
		      "		printf '%s\\n' \"$1\"\n"
		      "	fi\n"
		      "	shift 3\n"
		      "done\n";

/* Argument: when it began. Lines "dpkg|ucf<TAB>PACKAGE<TAB>PATH<TAB>FILE WITH THE NEW VERSION". */
static const char list_script[] =
	"note() { [ -f \"$4\" ] && [ \"$(stat -c %Z \"$4\")\" -ge $began ] && printf '%s\\t%s\\t%s\\t%s\\n' \"$@\"; }\n"
	"began=$1\n"
	"dpkg-query -W -f 'P ${Package}\\n${Conffiles}\\n' | while IFS= read -r line; do\n"
	"	case $line in\n"
	"	'P '*) package=${line#P } ;;\n"
	"	' /'*)\n"
	"		line=${line# } line=${line% obsolete} line=${line% remove-on-upgrade}\n"
	"		path=${line% *} real=${line% *}\n"
	"		[ ! -L \"$path\" ] || real=$(readlink -nf \"$path\")\n"
	"		note dpkg \"$package\" \"$path\" \"$real.dpkg-dist\"\n"
	"		;;\n"
	"	esac\n"
	"done\n"
	"[ -f " UCF_SUMS " ] || exit 0\n"
	"sed 's/^[^ ]* *//' " UCF_SUMS " | while IFS= read -r path; do\n"
	"	package=$(p=$path awk '$2 == ENVIRON[\"p\"] { print $1; exit }' /var/lib/ucf/registry 2>/dev/null)\n"
	"	note ucf \"${package:--}\" \"$path\" \"$path.ucf-dist\"\n"
	"done\n"
	"exit 0\n";

/*
 * Arguments: KIND PACKAGE PATH NEW for each. Lines of three texts in base64: the difference between the guest's and the
 * new one, whether the version the guest's was made of is there ("y"), and the difference between that and the guest's.
 */
#define DIFF_MAX "16384"
static const char describe_script[] =
	"differ() { diff -uN --label \"$3\" --label \"$4\" \"$1\" \"$2\" | head -c " DIFF_MAX " | base64 -w 0; }\n"
	"for deb in /*.deb; do\n"
	"	[ -f \"$deb\" ] || continue\n"
	"	name=${deb#/} name=${name%%_*}\n"
	"	mkdir -p " OLD_PACKAGES "/$name && dpkg-deb -x \"$deb\" " OLD_PACKAGES "/$name\n"
	"done\n"
	"while [ $# -ge 4 ]; do\n"
	"	base=" OLD_PACKAGES "/$2$3\n"
	"	[ $1 = dpkg ] || base=" UCF_COPIES "/$(printf %s \"$3\" | tr / :)\n"
	"	differ \"$3\" \"$4\" \"$3\" \"$3 (new version)\"\n"
	"	printf '\\t'\n"
	"	if [ -f \"$base\" ]; then\n"
	"		printf 'y\\t'\n"
	"		differ \"$base\" \"$3\" \"$3 (as it was installed)\" \"$3\"\n"
	"	else\n"
	"		printf 'n\\t'\n"
	"	fi\n"
	"	printf '\\n'\n"
	"	shift 4\n"
	"done\n";

/* Runs a script of ours; WORDS are its arguments. */
static struct error *run_script(const struct package_run *run, const char *script, char **words, char **ret)
{
	GPtrArray *argv = g_ptr_array_new();
	struct shadow_run_options options = {.env = apt_environment, .timeout_s = 600};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error;
	int status;

	g_ptr_array_add(argv, (char *)"/bin/sh");
	g_ptr_array_add(argv, (char *)"-c");
	g_ptr_array_add(argv, (char *)script);
	g_ptr_array_add(argv, (char *)"conffiles");
	for (; words && *words; words++)
		g_ptr_array_add(argv, *words);
	g_ptr_array_add(argv, NULL);
	options.argv = (const char *const *)argv->pdata;
	error = shadow_capture(run->shadow, &options, &status, &output);
	g_ptr_array_free(argv, TRUE);
	if (!error && status != 0)
		error = error_create(ERROR_FAILED, "exit status %d: %s", status, output);
	if (error)
		return error_wrap(error, "looking for configuration files in the shadow");
	*ret = take_ptr(output);
	return NULL;
}

/* --- before --- */

struct error *conffiles_begin(const struct package_run *run, struct conffiles_state *ret)
{
	const struct conffiles *conffiles = run->conffiles;
	GPtrArray *wanted;
	struct error *error;

	ret->began_s = (int64_t)time(NULL);
	if (conffiles->mode != CONFFILES_ASK && conffiles->mode != CONFFILES_FILE)
		return NULL;
	wanted = g_ptr_array_new();
	for (size_t i = 0; i < conffiles->n_answers; i++)
		if (conffiles->answers[i].take_new)
			g_ptr_array_add(wanted, conffiles->answers[i].path);
	g_ptr_array_add(wanted, NULL);
	error = run_script(run, begin_script, (char **)wanted->pdata, &ret->told);
	g_ptr_array_free(wanted, TRUE);
	return error;
}

void conffiles_state_deinit(struct conffiles_state *state)
{
	free(state->told);
	state->told = NULL;
}

/* --- afterwards --- */

/* ucf replaced a file although it asked nobody: what we told it made it think so. */
static struct error *check_told(const struct package_run *run, const struct conffiles_state *state)
{
	char **lines = g_strsplit(state->told, "\n", -1);
	GPtrArray *words = g_ptr_array_new();
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error = NULL;

	for (char **line = lines; *line; line++) {
		char *save = NULL;

		if (strncmp(*line, "T\t", 2) != 0)
			continue;
		for (char *word = strtok_r(*line + 2, "\t", &save); word; word = strtok_r(NULL, "\t", &save))
			g_ptr_array_add(words, word);
	}
	g_ptr_array_add(words, NULL);
	if (words->len > 1)
		error = run_script(run, told_script, (char **)words->pdata, &output);
	if (!error && output && *output)
		error = error_create(ERROR_USAGE, "%s: there is no new version to decide about of %.*s",
				     run->conffiles->file, (int)strcspn(output, "\n"), output);
	g_ptr_array_free(words, TRUE);
	g_strfreev(lines);
	return error;
}

/* One line of the list; words are borrowed from it. */
struct conflict {
	char *words[4]; /* KIND PACKAGE PATH NEW */
};

static bool parse_conflict(char *line, struct conflict *ret)
{
	char *save = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(ret->words); i++) {
		ret->words[i] = strtok_r(i ? NULL : line, "\t", &save);
		if (!ret->words[i])
			return false;
	}
	return !strtok_r(NULL, "\t", &save);
}

/* Those nobody has decided about, of the script's lines, which are altered. */
static size_t find_undecided(const struct package_run *run, char **lines, struct conflict ret[CONFLICTS_MAX])
{
	size_t n = 0;

	for (; *lines && n < CONFLICTS_MAX; lines++) {
		const struct conffiles_answer *answer;

		if (!parse_conflict(*lines, &ret[n]))
			continue;
		answer = conffiles_find(run->conffiles, ret[n].words[2]);
		/* One that was to be replaced and was not: the guest's own configuration of dpkg may say so. */
		if (!answer || answer->take_new)
			n++;
	}
	return n;
}

/* "V<TAB>PACKAGE<TAB>VERSION"; NULL: it was not installed. Owned by the caller. */
static char *old_version(const struct conffiles_state *state, const char *package)
{
	_cleanup_(free_ptr) char *key = string_format("V\t%s\t", package);
	const char *line = key ? strstr(state->told, key) : NULL;

	return line ? strndup(line + strlen(key), strcspn(line + strlen(key), "\n")) : NULL;
}

/* What the guest's sources still have; where they do not, what the administrator changed is not known. */
static struct error *fetch_old(const struct package_run *run, const struct conffiles_state *state,
			       const struct conflict *conflicts, size_t n)
{
	const char *last = "";
	unsigned fetched = 0;
	struct error *error = NULL;

	progress_step("old", "fetching the packages as they were, to see what was changed");
	for (size_t i = 0; !error && i < n && fetched < OLD_MAX; i++) {
		_cleanup_(free_ptr) char *version = NULL, *word = NULL;

		if (strcmp(conflicts[i].words[0], "dpkg") != 0 || !strcmp(conflicts[i].words[1], last))
			continue;
		last = conflicts[i].words[1];
		version = old_version(state, last);
		word = version && *version ? string_format("%s=%s", last, version) : NULL;
		if (word)
			error = apt_fetch(run, word);
		fetched++;
	}
	return error;
}

static struct error *set_decoded(json_t *object, const char *key, const char *text)
{
	_cleanup_(free_ptr) char *data = NULL;
	size_t size;
	struct error *error = base64_decode(text, &data, &size);

	return error ? error : json_set_bytes(object, key, data, size);
}

/* {"package", "path", "by", "changed", "new"}; `line` as describe_script prints it, altered. */
static struct error *append_conflict(json_t *list, const struct conflict *conflict, char *line)
{
	json_t *object = json_pack("{s:s}", "by", conflict->words[0]);
	char *has_base = strchr(line, '\t'), *changed = has_base ? strchr(has_base + 1, '\t') : NULL;
	struct error *error;

	if (!object || json_array_append_new(list, object) < 0)
		return error_no_memory();
	if (!changed)
		return error_create(ERROR_FORMAT, "no differences of %s were told", conflict->words[2]);
	*has_base = *changed = '\0';
	error = strcmp(conflict->words[1], "-") == 0
			? NULL
			: json_set_bytes(object, "package", conflict->words[1], strlen(conflict->words[1]));
	if (!error)
		error = json_set_bytes(object, "path", conflict->words[2], strlen(conflict->words[2]));
	if (!error && has_base[1] == 'y')
		error = set_decoded(object, "changed", changed + 1);
	return error ? error : set_decoded(object, "new", line);
}

static struct error *describe(const struct package_run *run, const struct conffiles_state *state,
			      const struct conflict *conflicts, size_t n, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *list = json_array();
	_cleanup_(free_ptr) char *output = NULL;
	GPtrArray *words = g_ptr_array_new();
	char **lines = NULL;
	struct error *error = list ? fetch_old(run, state, conflicts, n) : error_no_memory();

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < ARRAY_SIZE(conflicts[i].words); k++)
			g_ptr_array_add(words, conflicts[i].words[k]);
	g_ptr_array_add(words, NULL);
	if (!error)
		error = run_script(run, describe_script, (char **)words->pdata, &output);
	lines = error ? NULL : g_strsplit(output, "\n", -1);
	for (size_t i = 0; !error && i < n; i++)
		error = lines[i] ? append_conflict(list, &conflicts[i], lines[i])
				 : error_create(ERROR_FORMAT, "not all differences were told");
	g_strfreev(lines);
	g_ptr_array_free(words, TRUE);
	if (!error)
		*ret = take_ptr(list);
	return error;
}

struct error *conffiles_end(const struct package_run *run, const struct conffiles_state *state, json_t **ret)
{
	struct conflict *conflicts = NULL;
	_cleanup_(free_ptr) char *output = NULL, *began = string_format("%lld", (long long)state->began_s);
	char **lines;
	struct error *error;
	size_t n;

	if (!state->told)
		return NULL;
	error = check_told(run, state);
	if (!error)
		error = run_script(run, list_script, (char *[]){began, NULL}, &output);
	if (error)
		return error;
	conflicts = calloc(CONFLICTS_MAX, sizeof(*conflicts));
	lines = g_strsplit(output, "\n", -1);
	n = conflicts ? find_undecided(run, lines, conflicts) : 0;
	if (!conflicts)
		error = error_no_memory();
	else if (n)
		error = describe(run, state, conflicts, n, ret);
	if (!error && n)
		error = error_remedy(
			error_create(ERROR_CONFLICT,
				     "%zu configuration file%s changed both in the guest and in the new packages", n,
				     n == 1 ? "" : "s"),
			"decide by a file with lines \"keep PATH\" and \"new PATH\": --conffiles=FILE");
	g_strfreev(lines);
	free(conflicts);
	return error;
}
