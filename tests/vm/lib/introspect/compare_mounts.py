# SPDX-License-Identifier: Apache-2.0
"""Mounts: what the verb says against /proc/PID/mounts."""
from .checks import field
from .truth import unescape


def mounts(content):
    """(source, target, fstype, options) of each line."""
    return [tuple(unescape(word) for word in line.split(b" ")[:4]) for line in content.splitlines()]


def compare_mounts(checks, truth, program):
    home = truth.links[b"/proc/1/ns/mnt"]
    seen = {home: 1}
    for pid in sorted(truth.tasks):
        namespace = truth.links.get(b"/proc/%d/ns/mnt" % pid)
        # Whoever has ended has none.
        if b"/proc/%d/mounts" % pid not in truth.files:
            continue
        # One of each namespace, and whoever has a root of its own.
        if namespace in seen and truth.links.get(b"/proc/%d/root" % pid) in (b"/", None):
            continue
        seen[namespace] = pid
        compare_mounts_of(checks, truth, program, pid)
    compare_mounts_of(checks, truth, program, None)


def compare_mounts_of(checks, truth, program, pid):
    document = program.verb("mounts", *(["--pid", str(pid)] if pid else []))
    if document is None:
        return
    name = f"mounts of {pid}" if pid else "mounts"
    found = [tuple(field(entry, key) for key in ("source", "target", "fstype", "options")) for entry in document["mounts"]]
    checks.equal(f"{name} is version 1", document["version"], 1)
    checks.same_list(name, found, mounts(truth.file(f"/proc/{pid or 1}/mounts")))
