# SPDX-License-Identifier: Apache-2.0
"""A domain's save file against what the domain said seconds before it was saved.

Between the truth and the save the domain's kernel runs on: it writes the truth, and it suspends itself, for which it stops
its processes (in the state that the truth does not know) and keeps threads of its own at work. So of these threads only
those are compared that last, by their names; and of a process all but its state.
"""
import re

from introspect.checks import field
from introspect.compare import one
from introspect.compare_files import compare_run
from introspect.compare_mounts import compare_mounts
from introspect.compare_tasks import compare_maps, compare_services, compare_units, tasks, ticks

# Threads of the kernel that come and go: workers, and whoever suspends the machine.
FLEETING = re.compile(rb"kworker/|khvcd|xen-balloon|scsi_eh|jbd2|ksoftirqd|migration|cpuhp")


def compare_ps(checks, truth, program, threads):
    document = program.verb("ps", *(["--threads"] if threads else []))
    if document is None:
        return
    what = "thread" if threads else "process"
    said = tasks(truth, threads)
    wanted = {pid: task for pid, task in said.items() if not task.kernel_thread}
    kernel = {pid: task.comm for pid, task in said.items() if task.kernel_thread and not FLEETING.match(task.comm)}
    listed = {entry["pid"]: entry for entry in document["processes"]}
    kernel_thread = {pid for pid, entry in listed.items() if entry["tgid"] == 2 or entry["ppid"] == 2}
    found = {pid: entry for pid, entry in listed.items() if pid not in kernel_thread}
    checks.equal(f"each {what} once", len(document["processes"]), len(listed))
    checks.same_items(f"every {what} of a program", dict.fromkeys(found), dict.fromkeys(wanted))
    both = [pid for pid in wanted if pid in found]
    for name in ("tgid", "ppid", "uid", "euid", "gid"):
        checks.same_items(f"{name} of each {what}", {pid: found[pid][name] for pid in both},
                          {pid: getattr(wanted[pid], name) for pid in both})
    for name in ("comm", "cgroup", "exe", "cmdline"):
        checks.same_items(f"{name} of each {what}", {pid: field(found[pid], name) for pid in both},
                          {pid: getattr(wanted[pid], name) for pid in both})
    checks.same_items(f"start_s of each {what}", {pid: ticks(found[pid]["start_s"]) for pid in both},
                      {pid: wanted[pid].start_ticks for pid in both})
    checks.same_items(f"{what}es of the kernel that last", {pid: field(listed[pid], "comm") for pid in kernel if pid in listed}, kernel)


def compare_all_maps(checks, truth, program):
    collector = truth.word("collector")
    for pid in sorted(truth.tasks):
        # The collector's own mappings changed while it collected.
        if truth.files.get(b"/proc/%d/maps" % pid) and pid != collector:
            compare_maps(checks, truth, program, pid, f"{pid}")


def compare(checks, truth, program):
    for threads in (False, True):
        one(checks, lambda *given: compare_ps(*given, threads), truth, program)
    for what in (compare_services, compare_mounts, compare_all_maps):
        one(checks, what, truth, program)
    facts = program.facts("run")
    if facts is not None:
        one(checks, compare_run, truth, facts)


__all__ = ["compare", "compare_units"]
