# SPDX-License-Identifier: Apache-2.0
"""Differences that are no fault: the file `tolerated`, and what its entries have excused.

An entry is PATH, WHAT and REASON, separated by two spaces or more:

  /a/file      that one path
  /a/folder/   the folder and all below it; never in /usr, /etc or /boot, where each file must be named
  kind:name    a fact of what runs, like unit:cron.service (facts.py)

WHAT are the aspects of tree.py or facts.py that may differ, separated by commas.
"""
import pathlib
import re

FILE = pathlib.Path(__file__).with_name("tolerated")
BY_NAME_ONLY = ("/usr/", "/etc/", "/boot/", "/bin/", "/sbin/", "/lib/")
ASPECTS = {"exists", "type", "mode", "owner", "content", "target", "device", "xattrs", "links", "time", "state"}


class Wrong(Exception):
    """The file breaks its own rules."""


class Entry:
    def __init__(self, line):
        parts = re.split(r" {2,}", line.strip(), maxsplit=2)
        if len(parts) != 3:
            raise Wrong(f"not PATH, WHAT and REASON: {line.strip()!r}")
        self.path, what, self.reason = parts
        self.aspects = set(what.split(","))
        if self.aspects - ASPECTS:
            raise Wrong(f"{self.path}: no such aspect: {', '.join(sorted(self.aspects - ASPECTS))}")
        if re.search(r"[*?\[]", self.path):
            raise Wrong(f"{self.path}: a path is written out, without patterns")
        # "/" is the root directory itself: nothing excuses all there is.
        self.folder = self.path.endswith("/") and self.path != "/"
        if self.folder and self.path.startswith(BY_NAME_ONLY):
            raise Wrong(f"{self.path}: here each file must be named")

    def excuses(self, path, what):
        if what not in self.aspects:
            return False
        return (path + "/").startswith(self.path) if self.folder else path == self.path


def load(path=FILE):
    lines = path.read_text().splitlines()
    return [Entry(line) for line in lines if line.strip() and not line.startswith("#")]


class Judge:
    """Takes differences one by one: keeps the faults, counts the excused ones by entry."""

    def __init__(self, entries):
        self.entries, self.faults, self.excused = entries, [], {entry.path: [] for entry in entries}

    def take(self, path, what, offline, conventional):
        for entry in self.entries:
            if entry.excuses(path, what):
                self.excused[entry.path].append(f"{path} ({what})")
                return
        self.faults.append({"path": path, "what": what, "offline": offline, "conventional": conventional})


def failed_there(differences):
    """
    The units that are gone and whose stop failed in the conventional copy alone: dpkg takes their programs away while they
    still stop, and systemd remembers that until it is told to forget.
    """
    states = {difference["path"]: (difference["offline"], difference["conventional"]) for difference in differences}
    units = {path.removeprefix("failed:") for path, (offline, _) in states.items()
             if path.startswith("failed:") and offline == "absent"}
    return {unit for unit in units if states.get(f"unit:{unit}") == ("absent", "not-found failed failed")}


def is_of_failed(difference, units):
    """Whether it says no more than that these units have failed in the conventional copy."""
    kind, _, name = difference["path"].partition(":")
    if difference["path"] == "system:state":
        return bool(units) and (difference["offline"], difference["conventional"]) == ("running", "degraded")
    return kind in ("failed", "unit") and name in units


def judge(result, entries):
    """Fills in a step's verdict from all that it `found`, by the entries of today."""
    found, differences = Judge(entries), result.get("found", ())
    units = failed_there(differences)
    for difference in differences:
        if not is_of_failed(difference, units):
            found.take(*(difference[key] for key in ("path", "what", "offline", "conventional")))
    result["failed_there"] = sorted(units)
    result["differences"] = found.faults
    result["excused"] = {path: names for path, names in found.excused.items() if names}
    result["passed"] = "failure" not in result and not found.faults
    return result
