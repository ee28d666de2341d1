/* SPDX-License-Identifier: Apache-2.0 */
/*
 * needrestart's configuration is Perl: its own interpreter evaluates it, in the shadow, as needrestart itself does, and
 * answers for each unit and program. Nothing of it is parsed here, so nothing is guessed.
 */
#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "update/restart.h"

#define CONFIGURATION "/etc/needrestart/needrestart.conf"
#define TIMEOUT_S     60

/* Of one call: the kernel takes 128 KiB of arguments at least. */
#define QUESTIONS_MAX 256

/*
 * The variables that a configuration may touch, with needrestart's own first values; then the questions: "u" and a
 * unit's name, or "x" and a program's path. One line each: "OUA", the number of the question, the answer.
 */
static const char program[] =
	"our $LOGPREF = '[main]';\n"
	"our %nrconf = (verbosity => 0, restart => 'l', defno => 0, ui_mode => 'a', systemctl_combine => 0,\n"
	"  blacklist => [], blacklist_interp => [], blacklist_rc => [], blacklist_mappings => [], override_rc => {},\n"
	"  override_cont => {}, skip_mapfiles => -1, interpscan => 1, kernelhints => 1, ucodehints => 1,\n"
	"  q(nagios-status) => {}, has_pam_systemd => 1, tolerance => 2);\n"
	"open(my $file, '<', '" CONFIGURATION "') or die \"$!\\n\";\n"
	"my $text = do { local $/; <$file> };\n"
	"close($file);\n"
	"eval $text;\n"
	"die $@ if $@;\n"
	"my $i = 0;\n"
	"while (@ARGV) {\n"
	"  my ($kind, $name) = splice(@ARGV, 0, 2);\n"
	"  my $says = '-';\n"
	"  if ($kind eq 'x') {\n"
	"    $says = 'b' if grep { $name =~ /$_/ } @{$nrconf{blacklist}};\n"
	"  } elsif (grep { $name =~ /$_/ } @{$nrconf{blacklist_rc}}) {\n"
	"    $says = 'b';\n"
	"  } else {\n"
	"    $says = 0 if $nrconf{defno};\n"
	"    foreach my $re (keys %{$nrconf{override_rc}}) {\n"
	"      next unless $name =~ /$re/;\n"
	"      $says = $nrconf{override_rc}->{$re} ? 1 : 0;\n"
	"      last;\n"
	"    }\n"
	"  }\n"
	"  print \"\\nOUA $i $says\\n\";\n"
	"  $i++;\n"
	"}\n";

struct error *restart_read_answers(const char *text, size_t n, int *ret)
{
	size_t expected = 0;

	for (const char *line = text; line; line = strchr(line, '\n')) {
		size_t index;
		char answer;

		line += *line == '\n';
		if (sscanf(line, "OUA %zu %c", &index, &answer) != 2)
			continue;
		if (index != expected || index >= n || !strchr("-01b", answer))
			return error_format(CONFIGURATION, ERROR_NO_ADDRESS, "an answer that nobody asked for");
		ret[expected++] = answer;
	}
	if (expected != n)
		return error_format(CONFIGURATION, ERROR_NO_ADDRESS, "%zu of %zu questions are answered", expected, n);
	return NULL;
}

struct question {
	const char *kind; /* "u" or "x" */
	const char *name;
};

static struct error *ask_some(const struct restart_input *input, const struct question *questions, size_t n, int *ret)
{
	static const char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
						  "HOME=/root", "LC_ALL=C", NULL};
	const char *argv[4 + 2 * QUESTIONS_MAX + 1] = {"perl", "-e", program, "--"};
	struct shadow_run_options options = {.argv = argv, .env = environment, .timeout_s = TIMEOUT_S};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error;
	int status;

	for (size_t i = 0; i < n; i++) {
		argv[4 + 2 * i] = questions[i].kind;
		argv[5 + 2 * i] = questions[i].name;
	}
	error = shadow_capture(input->shadow, &options, &status, &output);
	if (!error && status != 0)
		error = error_create(ERROR_UNSUPPORTED, "perl in the shadow ends with %d: %.200s", status, output);
	return error ? error : restart_read_answers(output, n, ret);
}

static struct error *ask(const struct restart_input *input, const struct question *questions, size_t n, int *ret)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < n; i += QUESTIONS_MAX)
		error = ask_some(input, questions + i, n - i < QUESTIONS_MAX ? n - i : QUESTIONS_MAX, ret + i);
	return error;
}

static bool has_configuration(int root_fd)
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error = io_open_in_root(root_fd, CONFIGURATION, O_RDONLY, &fd);

	error_destroy(error);
	return !error;
}

static bool is_asked_for(const struct restart_entry *entry)
{
	return entry->kind == RESTART_OF_UNIT;
}

/* A program's name as it was before it was replaced; perl matches it as needrestart does. */
static size_t list_questions(const struct restart_plan *plan, struct question *questions)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n; i++) {
		const struct restart_entry *entry = &plan->items[i];

		if (!is_asked_for(entry))
			continue;
		questions[n++] = (struct question){"u", entry->name};
		for (size_t k = 0; k < entry->n_tasks && k < RESTART_TASKS_MAX; k++)
			questions[n++] = (struct question){"x", entry->tasks[k]->exe ? entry->tasks[k]->exe : ""};
	}
	return n;
}

static enum needrestart_says meaning(int answer)
{
	switch (answer) {
	case '0':
		return NEEDRESTART_REPORT;
	case '1':
		return NEEDRESTART_RESTART;
	case 'b':
		return NEEDRESTART_BLACKLISTED;
	default:
		return NEEDRESTART_NOTHING;
	}
}

static void take_answers(struct restart_plan *plan, const int *answers, enum needrestart_says *says)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct restart_entry *entry = &plan->items[i];

		if (!is_asked_for(entry))
			continue;
		says[i] = meaning(*answers++);
		for (size_t k = 0; k < entry->n_tasks && k < RESTART_TASKS_MAX; k++)
			entry->n_excused += *answers++ == 'b';
	}
}

struct error *restart_ask_needrestart(const struct restart_input *input, struct restart_plan *plan,
				      enum needrestart_says *says)
{
	_cleanup_(free_ptr) struct question *questions = NULL;
	_cleanup_(free_ptr) int *answers = NULL;
	size_t n, most = 1 + plan->n;
	struct error *error;

	if (!has_configuration(input->root_fd))
		return NULL;
	for (size_t i = 0; i < plan->n; i++)
		most += plan->items[i].n_tasks < RESTART_TASKS_MAX ? plan->items[i].n_tasks : RESTART_TASKS_MAX;
	questions = calloc(most, sizeof(*questions));
	answers = calloc(most, sizeof(*answers));
	if (!questions || !answers)
		return error_no_memory();
	n = list_questions(plan, questions);
	error = ask(input, questions, n, answers);
	if (error && error->code == ERROR_NO_MEMORY)
		return error;
	if (error)
		return error_recode(error_wrap(error, "%s cannot be evaluated", CONFIGURATION), ERROR_UNSUPPORTED);
	take_answers(plan, answers, says);
	return NULL;
}
