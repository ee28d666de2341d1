# SPDX-License-Identifier: Apache-2.0
"""All comparisons of one saved guest with what it said of itself."""
import traceback

from .compare_facts import compare_file_systems, compare_task_facts
from .compare_files import compare_cat, compare_run, compare_swapped
from .compare_mounts import compare_mounts
from .compare_proc_net import compare_proc_net, compare_proc_sys
from .compare_proc_process import compare_proc_process
from .compare_proc_system import compare_proc_system
from .compare_sockets import compare_sockets
from .compare_system import (compare_counters, compare_dmesg, compare_inspect, compare_interfaces, compare_log,
                             compare_modules, compare_names, compare_sysctls)
from .compare_tasks import compare_tasks

# By what guest-dump says of these subjects.
BY_FACTS = ((compare_names, ("uts", "clock")), (compare_task_facts, ("tasks",)), (compare_log, ("log",)),
            (compare_counters, ("counters",)), (compare_sysctls, ("sysctls",)), (compare_interfaces, ("interfaces",)),
            (compare_run, ("run",)))
# By the verbs' documents.
BY_VERBS = (compare_inspect, compare_tasks, compare_mounts, compare_modules, compare_dmesg, compare_sockets, compare_cat,
            compare_swapped)
# By the files of /proc: ({path: bytes}, {path: why it is not there}).
BY_PROC = (compare_proc_system, compare_proc_process, compare_proc_net, compare_proc_sys)


def one(checks, compare, *arguments):
    """A document that lacks something is a failed check, not the end of the others."""
    try:
        compare(checks, *arguments)
    except (KeyError, TypeError, ValueError, AttributeError):
        checks.check(compare.__name__, traceback.format_exc().strip().replace("\n", " | ")[-600:])


def compare_all(checks, truth, program, disk=None):
    """`disk`: the image of the guest's vda; None: unknown."""
    facts = program.facts("file-systems")
    if facts is not None:
        one(checks, compare_file_systems, truth, facts, disk)
    for compare, subjects in BY_FACTS:
        facts = program.facts(*subjects)
        if facts is not None:
            one(checks, compare, truth, facts)
    for compare in BY_VERBS:
        one(checks, compare, truth, program)
    proc = program.proc()
    if proc is not None:
        for compare in BY_PROC:
            one(checks, compare, truth, *proc)
