/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of things for each verb. Every step that cannot be repeated is written to the
 * journal before it is taken.
 */
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "apply/act.h"
#include "apply/events.h"
#include "apply/fault.h"
#include "apply/keep.h"
#include "apply/logs.h"
#include "apply/report.h"
#include "apply/room.h"
#include "apply/surroundings.h"
#include "apply/timers.h"
#include "apply/transaction.h"
#include "apply/units.h"
#include "base/io.h"

static void say(struct transaction *t, const char *name)
{
	struct event event;

	event_begin(&event, name);
	event_write(&event, t->report_fd);
}

static void say_number(struct transaction *t, const char *name, const char *key, uint64_t value)
{
	struct event event;

	event_begin(&event, name);
	event_number(&event, key, value);
	event_write(&event, t->report_fd);
}

/* A tree that is not the running system is no reason to come before others, and a boot waits for all of them. */
static void prioritize(const struct transaction *t, enum priority priority)
{
	surroundings_priority(priority == PRIORITY_FIRST && (!t->whole_system || t->early) ? PRIORITY_EQUAL : priority);
}

/* While nobody works for us, nor has to wait. */
static enum priority alone(const struct transaction *t)
{
	return t->background ? PRIORITY_BACKGROUND : PRIORITY_FIRST;
}

static const char *result_of(const struct error *error)
{
	if (error->code == ERROR_CONFLICT)
		return HELPER_RESULT_CONFLICT;
	if (error->errnum == ENOSPC || error->errnum == EDQUOT)
		return HELPER_RESULT_NO_SPACE;
	return HELPER_RESULT_FAILED;
}

static struct error *begin(const struct apply_options *options, const char *directory, int report_fd,
			   struct transaction *ret)
{
	struct error *error;

	ret->directory = directory;
	ret->report_fd = report_fd;
	ret->whole_system = !strcmp(options->root, "/") || fault_whole_system();
	ret->no_actions = options->no_actions;
	ret->strict = options->strict;
	ret->early = options->early;
	ret->verify_stat = options->verify_stat;
	/* A tree that is not the running system has no processes, and early in the boot none runs that could mind. */
	ret->freezer.limit_ms = !strcmp(options->root, "/") || fault_cgroup() ? options->freeze_ms : 0;
	if (options->early)
		ret->freezer.limit_ms = 0;
	ret->freezer.spared = options->spared;
	ret->keep_s = options->keep_s;
	ret->late = options->late;
	ret->background = options->background;
	ret->timers_held = options->timers_held;
	error = tree_open(options->root, &ret->tree);
	if (!error && options->late)
		ret->tree.stage = LATE_STAGE_NAME;
	return error;
}

static void finish(struct transaction *t)
{
	transaction_unlock(t);
	source_close(&t->source);
	payload_deinit(&t->payload);
	index_room_deinit(&t->index);
	room_destroy(take_ptr(t->slots));
	room_destroy(take_ptr(t->link_sources));
	unit_states_deinit(&t->states);
	journal_close(&t->journal);
	tree_close(&t->tree);
}

/* From here on what is done may rest on what the journal says. */
static struct error *read_journal(struct transaction *t)
{
	struct error *error = journal_read(t->directory, &t->journal, &t->tree);

	return error ? error : journal_confirm(t->directory, &t->journal);
}

/* After a failure either phase may stand on the disk: what comes next must be right for both. */
static struct error *enter_phase(struct transaction *t, enum phase phase)
{
	struct error *error;

	t->journal.phase = phase;
	if (fault_no_journal())
		return NULL;
	fault_point();
	error = journal_write(&t->journal);
	fault_point();
	return error_wrap(error, "cannot write the journal");
}

/* The index and the slots of the transaction the journal names, and the stages as far as they are there. */
static struct error *load_transaction(struct transaction *t)
{
	struct error *error;

	error = journal_read_index(t->directory, &t->journal, &t->index, &t->payload);
	if (error)
		return error_wrap(error, "cannot read the index of the unfinished update");
	error = journal_read_slots(t->directory, &t->journal, t->payload.header.n_entries, t->tree.n_file_systems,
				   &t->slots);
	return error ? error : tree_open_stages(&t->tree);
}

/*
 * Nothing of the transaction is left, neither new nor kept old files. The journal says first that
 * no path depends on the stages any more: half a stage must not be taken for one to go back with.
 */
static struct error *remove_transaction(struct transaction *t)
{
	struct error *error = NULL;

	if (t->journal.phase != PHASE_STAGING && t->journal.phase != PHASE_NONE)
		error = enter_phase(t, PHASE_STAGING);
	if (!error)
		error = keep_end(t);
	if (!error)
		error = tree_remove_stages(&t->tree);
	if (!error)
		error = runtime_forget(t);
	fault_point();
	if (!error)
		error = journal_remove(t->directory);
	fault_point();
	if (!error)
		units_remove_recovery(t);
	return error;
}

/*
 * Goes back and clears away. The journal need not say so before the commit: whoever finds
 * PHASE_SWITCHING goes back as well.
 */
static struct error *go_back(struct transaction *t)
{
	struct error *error = NULL;

	if (t->journal.phase != PHASE_SWITCHING && t->journal.phase != PHASE_UNDOING)
		error = enter_phase(t, PHASE_UNDOING);
	if (!error)
		error = transaction_undo(t);
	if (!error)
		runtime_undo(t);
	/* From here on every path is back and durable: what is left are stages. */
	return error ? error : remove_transaction(t);
}

static bool does_actions(const struct transaction *t)
{
	return !t->no_actions && !t->early && t->whole_system;
}

/* Services run the old files again. */
static void restart_after_undo(struct transaction *t)
{
	if (!does_actions(t))
		return;
	transaction_unlock_inner(t);
	error_destroy(transaction_act_undo(t));
	say_number(t, "restarted", "failed", t->n_failed);
}

/* What the actions before the switch had stopped runs again, with the old files. At boot that is systemd's. */
static struct error *start_stopped(struct transaction *t)
{
	if (t->early)
		return transaction_forget_stopped(t);
	if (!does_actions(t))
		return NULL;
	transaction_unlock_inner(t);
	return transaction_start_stopped(t);
}

/* Ends the report; takes `error`. */
static const char *end(struct transaction *t, const char *result, struct error *error)
{
	event_end(t->report_fd, result, error);
	error_destroy(error);
	return result;
}

/*
 * A failure before the commit. What was switched goes back; a failure of that is the worse
 * news, and stays in the journal for recover.
 */
static const char *fail_early(struct transaction *t, struct error *error)
{
	const char *result = result_of(error);
	struct error *worse = NULL;

	if (t->journal.phase == PHASE_SWITCHING || t->journal.phase == PHASE_COMMITTED)
		worse = go_back(t);
	else if (t->journal.phase == PHASE_STAGING)
		worse = remove_transaction(t);
	if (!worse)
		worse = start_stopped(t);
	if (!worse)
		return end(t, result, error);
	worse = error_wrap(worse, "%s; and then going back failed, run recover", error->message);
	error_destroy(error);
	return end(t, HELPER_RESULT_FAILED, worse);
}

/* A failure after the commit. */
static const char *fail_late(struct transaction *t, struct error *error)
{
	struct error *worse = go_back(t);

	if (worse) {
		worse = error_wrap(worse, "%s; and then going back failed, run recover", error->message);
		error_destroy(error);
		return end(t, HELPER_RESULT_FAILED, worse);
	}
	restart_after_undo(t);
	say(t, "rolled-back");
	return end(t, HELPER_RESULT_ROLLED_BACK, error);
}

/* Sets the clock as the host meant it, plus the time that has passed since. */
static struct error *set_clock(const struct apply_options *options)
{
	struct timespec now;
	int64_t ns;

	if (!options->clock_ns)
		return NULL;
	ns = options->clock_ns + (int64_t)(clock_boottime_ns() - options->clock_taken_ns);
	now = (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
	if (clock_settime(CLOCK_REALTIME, &now) < 0)
		return error_system(errno, NULL, "cannot set the clock");
	return NULL;
}

/*
 * The change times of all we did are not after *ret, and whatever anybody does from now on is:
 * file systems stamp with a clock that stands still for a tick.
 */
static int64_t moment_after(void)
{
	int64_t moment = clock_realtime_ns();
	struct timespec coarse;

	for (unsigned i = 0; i < 50; i++) {
		clock_gettime(CLOCK_REALTIME_COARSE, &coarse);
		if (coarse.tv_sec * 1000000000ll + coarse.tv_nsec > moment)
			break;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return moment;
}

/* For what comes after a commit: the units of its actions may be in the middle of them. */
static struct error *lock_and_hold(struct transaction *t)
{
	struct error *error = transaction_lock(t);

	return error || !does_actions(t) ? error : timers_hold(t, false);
}

static struct error *check(struct transaction *t, const struct apply_options *options)
{
	struct error *error;

	error = transaction_lock(t);
	/* The clock's jump would fire them. */
	if (!error && does_actions(t))
		error = timers_hold(t, true);
	if (!error)
		error = set_clock(options);
	if (!error)
		error = transaction_check(t);
	if (!error)
		say(t, "checked");
	return error;
}

/* Everything the journal will ever hold has its place on the disk before anything else is touched. */
static struct error *open_transaction(struct transaction *t)
{
	struct error *error;

	t->journal.phase = PHASE_STAGING;
	fault_point();
	error = journal_create(t->directory, &t->journal, &t->tree, t->index.bytes, t->index.index_size,
			       t->payload.header.n_entries);
	fault_point();
	return error_wrap(error, "cannot make the journal");
}

static struct error *stage(struct transaction *t)
{
	struct error *error;
	struct event event;

	error = open_transaction(t);
	/* Durable with what is staged. */
	if (!error)
		error = units_add_recovery(t);
	fault_point();
	if (!error)
		error = transaction_stage(t);
	if (!error)
		error = journal_write_slots(t->directory, &t->journal, t->slots, t->payload.header.n_entries);
	if (error)
		return error;
	event_begin(&event, "staged");
	event_number(&event, "files", t->files);
	event_number(&event, "bytes", t->bytes);
	event_write(&event, t->report_fd);
	return NULL;
}

static struct error *switch_over(struct transaction *t)
{
	struct error *error;
	struct event event;
	uint32_t entries;

	error = enter_phase(t, PHASE_SWITCHING);
	if (!error)
		error = transaction_switch(t, &entries);
	if (error)
		return error;
	t->journal.switched_ns = moment_after();
	error = enter_phase(t, PHASE_COMMITTED);
	if (error)
		return error;
	event_begin(&event, "switched");
	event_number(&event, "entries", entries);
	event_number(&event, "frozen_us", t->freezer.frozen_us);
	event_write(&event, t->report_fd);
	return NULL;
}

static struct error *act(struct transaction *t)
{
	struct error *error;

	prioritize(t, PRIORITY_EQUAL);
	error = transaction_act_after(t);
	prioritize(t, alone(t));
	if (!error && t->strict && t->n_failed && !t->journal.deferred)
		error = error_create(ERROR_CONFLICT, "%u action%s failed", t->n_failed, plural(t->n_failed));
	return error;
}

/*
 * What was put off comes when everything else is as it should be. There is no way back from it: what fails is reported,
 * and stays to be done by hand.
 */
static struct error *act_deferred(struct transaction *t)
{
	struct error *error;

	prioritize(t, PRIORITY_EQUAL);
	error = does_actions(t) ? transaction_act_deferred(t) : NULL;
	prioritize(t, alone(t));
	/* What a killed process left in the middle is in order only now. */
	if (!error && t->deferred_again)
		error = transaction_audit(t);
	if (!error)
		say_number(t, "deferred", "failed", t->n_failed);
	return error;
}

/* Files must not go back below scripts that ran on them, in this process or in one that was killed. */
static const char *fail_concluding(struct transaction *t, struct error *error)
{
	return t->journal.deferred ? end(t, HELPER_RESULT_FAILED, error) : fail_late(t, error);
}

/* All is verified: nothing is left for the next boot to do. */
static struct error *enter_applied(struct transaction *t)
{
	struct error *error;

	keep_begin(t);
	error = enter_phase(t, PHASE_APPLIED);

	if (!error)
		units_remove_recovery(t);
	fault_point();
	return error;
}

/*
 * At boot: the files stand. With actions put off, which need the services, the update stays committed, so that they are
 * not forgotten.
 */
static const char *conclude_early(struct transaction *t, uint64_t files)
{
	struct error *error;

	logs_carry_late(t);
	say_number(t, "verified", "files", files);
	error = transaction_forget_stopped(t);
	if (!error && transaction_has_deferred(t)) {
		event_note(t->report_fd, NULL, "what was put off is done by the next apply or recover");
		return end(t, HELPER_RESULT_APPLIED, NULL);
	}
	if (!error)
		error = enter_applied(t);
	return error ? end(t, HELPER_RESULT_FAILED, error) : end(t, HELPER_RESULT_APPLIED, NULL);
}

/* From the commit on. */
static const char *conclude(struct transaction *t, bool with_actions)
{
	struct error *error = NULL;
	uint64_t files = 0;

	t->deferred_again = t->journal.deferred;
	transaction_unlock_inner(t);
	if (with_actions && does_actions(t))
		error = act(t);
	say_number(t, "restarted", "failed", t->n_failed);
	if (!error)
		error = transaction_verify(t, &files);
	if (!error && t->early)
		return conclude_early(t, files);
	if (!error)
		error = act_deferred(t);
	logs_carry_late(t);
	if (error)
		return fail_concluding(t, error);
	transaction_report_stale(t);
	if (t->n_changed_since)
		event_note(t->report_fd, NULL, "%u path%s changed by the guest since the switch", t->n_changed_since,
			   t->n_changed_since == 1 ? " was" : "s were");
	say_number(t, "verified", "files", files);
	error = enter_applied(t);
	if (!error && with_actions)
		error = transaction_forget_stopped(t);
	return error ? fail_concluding(t, error) : end(t, HELPER_RESULT_APPLIED, NULL);
}

/* What an earlier transaction left, before a new one begins. */
static struct error *clear_earlier(struct transaction *t)
{
	struct error *error = NULL;

	switch (t->journal.phase) {
	case PHASE_SWITCHING:
	case PHASE_UNDOING:
		error = load_transaction(t);
		if (!error)
			error = go_back(t);
		break;
	case PHASE_STAGING:
	case PHASE_COMMITTED:
	case PHASE_APPLIED:
		error = remove_transaction(t);
		break;
	case PHASE_NONE:
	case PHASE_MAX:
		break;
	}
	return error_wrap(error, "an earlier update is in the way");
}

/* What was chained to that transaction lies on it, and goes first. */
static struct error *clear_late(const struct apply_options *options, const char *directory, int report_fd)
{
	_cleanup_(free_ptr) char *path = string_format("%s/" HELPER_LATE, directory);
	_cleanup_(finish) struct transaction t = TRANSACTION_INIT;
	struct apply_options late = *options;
	struct error *error;

	if (!path)
		return error_no_memory();
	if (options->late || access(path, F_OK) < 0)
		return NULL;
	late.late = true;
	error = begin(&late, path, report_fd, &t);
	if (!error)
		error = read_journal(&t);
	if (!error)
		error = clear_earlier(&t);
	return error ? error : io_remove_tree(path);
}

static const char *apply_new(struct transaction *t, const struct apply_options *options)
{
	struct error *error;

	memcpy(t->journal.id, options->id, sizeof(t->journal.id));
	prioritize(t, alone(t));
	error = source_open(options->payload, &t->source);
	if (!error)
		error = source_read_index(&t->source, options->id, t->directory, &t->index, &t->payload);
	if (!error)
		error = check(t, options);
	if (!error)
		error = stage(t);
	prioritize(t, PRIORITY_EQUAL);
	if (!error && does_actions(t))
		error = transaction_act_before(t);
	/* While files are switched others stand still, and wait. */
	prioritize(t, PRIORITY_FIRST);
	if (!error && t->strict && t->n_failed)
		error = error_create(ERROR_CONFLICT, "%u action%s failed", t->n_failed, plural(t->n_failed));
	if (!error)
		error = switch_over(t);
	if (error)
		return fail_early(t, error);
	return conclude(t, true);
}

const char *sequence_apply(const struct apply_options *options, const char *directory, int report_fd)
{
	_cleanup_(finish) struct transaction earlier = TRANSACTION_INIT;
	_cleanup_(finish) struct transaction t = TRANSACTION_INIT;
	struct error *error;

	error = begin(options, directory, report_fd, &earlier);
	if (!error)
		error = read_journal(&earlier);
	if (error)
		return end(&earlier, HELPER_RESULT_FAILED, error);
	if ((earlier.journal.phase == PHASE_COMMITTED || earlier.journal.phase == PHASE_APPLIED) &&
	    !memcmp(earlier.journal.id, options->id, SHA256_SIZE)) {
		/* The worker was killed after the commit. */
		error = load_transaction(&earlier);
		if (!error)
			error = lock_and_hold(&earlier);
		return error ? end(&earlier, HELPER_RESULT_FAILED, error) : conclude(&earlier, true);
	}
	error = clear_late(options, directory, report_fd);
	if (!error)
		error = clear_earlier(&earlier);
	if (!error)
		error = begin(options, directory, report_fd, &t);
	if (error)
		return end(&earlier, HELPER_RESULT_FAILED, error);
	return apply_new(&t, options);
}

const char *sequence_recover(const struct apply_options *options, const char *directory, int report_fd)
{
	_cleanup_(finish) struct transaction t = TRANSACTION_INIT;
	enum phase found;
	struct error *error;

	error = begin(options, directory, report_fd, &t);
	if (!error)
		error = read_journal(&t);
	if (error)
		return end(&t, HELPER_RESULT_FAILED, error);
	found = t.journal.phase;
	if (t.early) {
		units_mark_recovery(&t);
		timers_forget(t.directory);
	}
	if (found == PHASE_NONE || found == PHASE_APPLIED) {
		units_remove_recovery(&t);
		return end(&t, HELPER_RESULT_NOTHING, NULL);
	}
	error = lock_and_hold(&t);
	if (!error && found != PHASE_STAGING)
		error = load_transaction(&t);
	/* A power loss ended all processes that ran old code: there is nothing to restart. */
	if (!error && found == PHASE_COMMITTED)
		return conclude(&t, false);
	if (!error)
		error = found == PHASE_STAGING ? remove_transaction(&t) : go_back(&t);
	if (!error)
		error = start_stopped(&t);
	if (error)
		return end(&t, HELPER_RESULT_FAILED, error);
	say(&t, "rolled-back");
	return end(&t, HELPER_RESULT_ROLLED_BACK, NULL);
}

/* Finds the update that stands; else the result to end with. */
static const char *begin_committed(const struct apply_options *options, const char *directory, int report_fd,
				   struct transaction *t)
{
	struct error *error = begin(options, directory, report_fd, t);

	if (!error)
		error = journal_read(directory, &t->journal, &t->tree);
	if (error)
		return end(t, HELPER_RESULT_FAILED, error);
	if (t->journal.phase != PHASE_COMMITTED && t->journal.phase != PHASE_APPLIED)
		return end(t, HELPER_RESULT_NOTHING, NULL);
	return NULL;
}

const char *sequence_rollback(const struct apply_options *options, const char *directory, int report_fd)
{
	_cleanup_(finish) struct transaction t = TRANSACTION_INIT;
	const char *result = begin_committed(options, directory, report_fd, &t);
	struct error *error;

	if (result)
		return result;
	error = lock_and_hold(&t);
	if (!error)
		error = journal_confirm(directory, &t.journal);
	if (!error)
		error = load_transaction(&t);
	if (!error && t.journal.deferred)
		error = error_create(ERROR_CONFLICT,
				     "maintainer scripts have run on the new files: there is no way back from them");
	if (!error)
		error = transaction_unchanged(&t);
	if (error)
		return end(&t, result_of(error), error);
	error = go_back(&t);
	if (error)
		return end(&t, HELPER_RESULT_FAILED, error);
	restart_after_undo(&t);
	say(&t, "rolled-back");
	return end(&t, HELPER_RESULT_ROLLED_BACK, NULL);
}

const char *sequence_look(const struct apply_options *options, const char *directory, int report_fd)
{
	_cleanup_(finish) struct transaction t = TRANSACTION_INIT;
	const char *result = begin_committed(options, directory, report_fd, &t);
	struct error *error;

	if (result)
		return result;
	error = load_transaction(&t);
	if (error)
		return end(&t, HELPER_RESULT_FAILED, error);
	transaction_report_stale(&t);
	return end(&t, HELPER_RESULT_APPLIED, NULL);
}

static struct error *forget(struct transaction *t, bool *ret_timers)
{
	struct error *error;

	if (t->journal.phase == PHASE_SWITCHING || t->journal.phase == PHASE_UNDOING)
		return error_create(ERROR_BUSY, "an update is unfinished: run recover first");
	error = remove_transaction(t);
	/* The first has the timer, for both. */
	return error || t->late ? error : units_remove_keep(t, NULL, ret_timers);
}

struct error *sequence_forget(const struct apply_options *options, const char *directory, bool *ret_timers)
{
	_cleanup_(finish) struct transaction t = TRANSACTION_INIT;
	struct error *error;

	error = begin(options, directory, -1, &t);
	if (!error)
		error = read_journal(&t);
	return error ? error : forget(&t, ret_timers);
}

struct error *sequence_is_over(const struct apply_options *options, const char *directory, bool *ret)
{
	_cleanup_(finish) struct transaction t = TRANSACTION_INIT;
	struct error *error;

	error = begin(options, directory, -1, &t);
	if (!error)
		error = read_journal(&t);
	return error ? error : keep_is_over(&t, ret);
}
