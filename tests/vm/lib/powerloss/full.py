# SPDX-License-Identifier: Apache-2.0
"""QEMU is killed while a full guest applies a full upgrade, once in each phase.

The guest is woken and a process is left in it that copies the helper's report to the serial console; then it is suspended and
updated. Each point begins with that same sleep: the disk's bytes, the memory image and the state directory are put back as they
were. A first `ouassister resume` is not cut and says how long each phase takes here. Then `resume` wakes it, and QEMU gets SIGKILL
a third of that, at most a second, after the report has said that the phase begins. What its disk then holds
boots twice: a copy by itself, so that what its own recovery at boot has made of it can be seen, and the disk itself by another
`resume`, behind the gate.
"""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import time

from oracle import disks
from oracle.guests import Guest
from oracle.shell import Failed, run, shell

from . import layer, tree
from .campaign import digest, qemu_version
from .points import ENDS

# Phase, the event with which it begins, and what may be on the disk after a recovery. "switched" is said when the commit is
# durable; before that it may be durable, or not.
POINTS = (
    ("check", "started", (tree.NONE,)),
    ("stage", "checked", (tree.NONE,)),
    ("switch", "staged", (tree.NONE, tree.ALL)),
    ("act", "switched", (tree.ALL,)),
    ("verify", "restarted", (tree.ALL,)),
)
REPORT = "/var/lib/ouassister/report"
# By polling: the directory is not there yet. Nobody's service, so that no restart ends it.
WATCH = (f"systemd-run --quiet --scope setsid tail -n +1 ---disable-inotify -s 0.02 -F {REPORT} "
         ">/dev/ttyS0 2>/dev/null </dev/null & sleep 2; pgrep -x tail >/dev/null")
NAME = "full"
TOO_LATE = "QEMU was killed too late"
DELAY_MAX_S = 1
EVENT_TIMEOUT_S, END_TIMEOUT_S, BOOT_TIMEOUT_S = 600, 60, 900


def listener(path):
    """The process that listens on a socket, as QEMU does on its own."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(path))
        return struct.unpack("iii", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def events_of(guest):
    """What the helper has said so far."""
    with contextlib.suppress(FileNotFoundError):
        return re.findall(r'"event":"([a-z-]+)"', guest.console_text())
    return []


@contextlib.contextmanager
def recovered(disk, work):
    """(The root, what fsck finds) of a disk, when a kernel has replayed its journal, as each boot does."""
    work.mkdir()
    exported, root = work / "disk", work / "root"
    exported.touch()
    root.mkdir()
    daemon = subprocess.Popen(disks.daemon_words(disk, work / "layer.qcow2", exported), stdin=subprocess.DEVNULL)
    try:
        disks.await_export(daemon, exported)
        with disks.looped(exported) as device:
            run("mount", device, root)
            run("umount", root)
            found = subprocess.run(["e2fsck", "-fn", device], stdin=subprocess.DEVNULL, capture_output=True, text=True)
            run("mount", "-o", "ro,nosuid,nodev", device, root)
            try:
                yield root, [f"e2fsck -fn: {found.stdout.strip()[-500:]}"] if found.returncode else []
            finally:
                run("umount", root)
    finally:
        daemon.terminate()
        daemon.wait()
        shutil.rmtree(work)


def missed(point):
    """It says nothing of its phase."""
    return any(problem.startswith(TOO_LATE) for problem in point["problems"])


class Sleep:
    """The suspended guest with its update, which can be put back as often as is needed."""

    def __init__(self, ouassister, guest, work):
        self.ouassister, self.guest, self.work = ouassister, guest, work
        self.guest.wake()
        (work / f"{NAME}.mig").unlink()
        self.guest.inside(WATCH)
        ouassister.call("suspend", self.guest)
        self.update, _ = ouassister.call("update", self.guest)
        with disks.mounted(self.guest.disk, work / "asleep") as root:
            bundle = pathlib.Path(self.update["bundle"])
            self.first = layer.Layer(bundle, root)
            self.late = layer.Layer(bundle.with_name(bundle.name + ".late"), root)
        self.times = os.stat(self.guest.disk)
        shutil.copyfile(self.guest.disk, work / "disk.asleep")
        shutil.copytree(work / "state", work / "state.asleep")

    def delays(self):
        """{phase: how many seconds of it QEMU lives for}, by a resume that is not cut. With less to do the machine may be quicker."""
        document, _ = self.ouassister.call("resume", self.guest, "--keep=none")
        at = {event["event"]: event["t_s"] for event in document["timeline"]}
        return {phase: min((at[ENDS[phase]] - at[event]) / 3, DELAY_MAX_S) for phase, event, _ in POINTS}

    def back(self):
        """The same files as a fingerprint sees them: disk and memory keep their inodes and times."""
        self.guest.kill()
        shutil.copyfile(self.work / "disk.asleep", self.guest.disk)
        os.utime(self.guest.disk, ns=(self.times.st_atime_ns, self.times.st_mtime_ns))
        spent = self.work / f"{NAME}.mig.spent"
        if spent.exists():
            spent.rename(self.work / f"{NAME}.mig")
        shutil.rmtree(self.work / "state")
        shutil.copytree(self.work / "state.asleep", self.work / "state")
        for name in ("console", "qmp", "qga"):
            (self.work / f"{NAME}.{name}").unlink(missing_ok=True)


class Point:
    """One power loss."""

    def __init__(self, sleep, phase, event, trees, delay_s):
        self.sleep, self.guest, self.ouassister, self.work = sleep, sleep.guest, sleep.ouassister, sleep.work
        self.phase, self.event, self.trees, self.delay_s = phase, event, trees, delay_s
        self.problems = []

    def want(self, condition, problem):
        if not condition:
            self.problems.append(problem)

    def kill(self):
        """resume, and SIGKILL for QEMU in the phase. The events that the guest had said by then, the last of them last."""
        resume = subprocess.Popen([self.ouassister.program, "resume", "--json", "--keep=none", self.guest.file],
                                  env=self.ouassister.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True)
        try:
            end = time.monotonic() + EVENT_TIMEOUT_S
            while self.event not in events_of(self.guest):
                if resume.poll() is not None or time.monotonic() > end:
                    raise Failed(f"{self.phase}: the guest never said {self.event}: {events_of(self.guest)}; "
                                 f"{resume.communicate()[1][-1000:] if resume.poll() is not None else ''}")
                time.sleep(0.01)
            qemu = listener(self.work / f"{NAME}.qmp")
            time.sleep(self.delay_s)
            os.kill(qemu, signal.SIGKILL)
            try:
                said = resume.communicate(timeout=END_TIMEOUT_S)[1]
            except subprocess.TimeoutExpired:
                self.problems.append("resume waits for the dead")
                return events_of(self.guest)
            self.want(resume.returncode == 1, f"resume ended with {resume.returncode} when QEMU was killed: {said[-300:]}")
            self.want(said.strip(), "resume did not say why it ended")
            return events_of(self.guest)
        finally:
            resume.kill()
            resume.wait()

    def state(self):
        return self.ouassister.call("status", self.guest)[0]["state"]

    def boot_copy(self, copy):
        """A guest boots from a copy of the disk, with nobody's help: the tree, and what its recovery at boot said."""
        call = lambda function, *words: shell("vm", f'{function} "$@"', self.work, "copy", *words)  # noqa: E731
        shell("vm", 'vm_define "$@"', self.work, "copy", "copy.qcow2", "user", 512)
        try:
            call("vm_start")
            call("vm_wait", BOOT_TIMEOUT_S)
            said = call("vm_exec", "/bin/sh", "-c", """export PATH=/usr/sbin:/usr/bin
                journalctl -b -o cat -u ouassister-recover.service | sed -n 's/.*"event":"end".*"result":"\\([a-z-]*\\).*/recovered \\1/p'
                dpkg --audit 2>&1; sync""")
        finally:
            call("vm_kill")
        words = re.findall(r"^recovered (\S+)$", said, re.M)
        rest = re.sub(r"^recovered .*\n", "", said, flags=re.M).strip()
        self.want(not rest, f"dpkg --audit after the recovery: {rest[:300]}")
        found = self.look(copy, "the copy", self.sleep.first, self.trees)
        copy.unlink()
        return found, words[-1] if words else "nothing"

    def look(self, disk, what, wanted, trees):
        with recovered(disk, self.work / what.replace(" ", "-")) as (root, faults):
            found, why = wanted.judge(root)
            if what == "the disk":
                left = [name for name in (".ouassister", ".ouassister-late", "var/lib/ouassister") if (root / name).exists()]
                self.want(not left, f"left behind: {' '.join(left)}")
        self.problems += [f"{what}: {problem}" for problem in [*faults, *why]]
        self.want(found in trees, f"{what}: {found}, not {' or '.join(trees)}")
        return found

    def resume_again(self):
        document, _ = self.ouassister.call("resume", self.guest, "--keep=none")
        self.want(document["state"] == "open", f"after resume it stands {document['state']}")
        self.want(document.get("cold_boot"), "it was not booted")
        gate, _ = self.ouassister.call("gate", self.guest, "show")
        self.want(gate["gate"] == "open", f"the gate is {gate['gate']}")
        audit = self.guest.inside("dpkg --audit 2>&1; sync").strip()
        self.want(not audit, f"dpkg --audit at the end: {audit[:300]}")
        self.guest.stop()
        self.look(self.guest.disk, "the disk", self.sleep.first.then(self.sleep.late), (tree.ALL,))

    def run(self):
        """The result, for full.json."""
        self.sleep.back()
        found, recovered_as, events = "", "", []
        try:
            events = self.kill()
            self.want(ENDS[self.phase] not in events, f"{TOO_LATE}: {' '.join(events)}")
            self.want(self.state() in ("running", "failed"), f"killed, it stands {self.state()}")
            copy = self.work / "copy.qcow2"
            shutil.copyfile(self.guest.disk, copy)
            with concurrent.futures.ThreadPoolExecutor(1) as beside:
                booted = beside.submit(self.boot_copy, copy)
                self.resume_again()
                found, recovered_as = booted.result()
        except Failed as failure:
            self.problems.append(str(failure)[-600:])
        return {"phase": self.phase, "event": self.event, "last": events[-1] if events else "", "after_s": round(self.delay_s, 2),
                "tree": found, "recovery": recovered_as, "problems": self.problems, "date": time.strftime("%F", time.gmtime())}


class Full:
    """All points; each result is kept as soon as it is there. One that came too late is tried again by the next run."""

    def __init__(self, directory, ouassister, helper, say):
        self.path, self.ouassister, self.say = directory / "full.json", ouassister, say
        self.results = {"helper": digest(helper), "points": {}}
        with contextlib.suppress(FileNotFoundError):
            known = json.loads(self.path.read_text())
            if known["helper"] == self.results["helper"]:
                self.results = known

    def keep(self):
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.results, indent=1) + "\n")
        partial.rename(self.path)

    def run(self, start, work, phases):
        known = {phase for phase, point in self.results["points"].items() if not missed(point)}
        todo = [words for words in POINTS if words[0] in phases and words[0] not in known]
        if todo:
            guest = Guest(start, work, NAME)
            try:
                self.run_points(Sleep(self.ouassister, guest, work), todo)
            finally:
                guest.kill()
        for phase in phases:
            self.tell(self.results["points"][phase])
        return not any(self.results["points"][phase]["problems"] for phase in phases)

    def run_points(self, sleep, todo):
        parts = (sleep.update, sleep.update.get("late") or {})
        self.results |= {"qemu": qemu_version(), "paths": len(sleep.first.then(sleep.late).wanted), "of_first": len(sleep.first.wanted),
                         "packages": sum(len(part.get("packages", [])) for part in parts)}
        delays = sleep.delays()
        for words in todo:
            self.results["points"][words[0]] = Point(sleep, *words, delays[words[0]]).run()
            self.keep()

    def tell(self, point):
        self.say(f"{'not ok' if point['problems'] else 'ok'} full guest: QEMU killed in {point['phase']}, {point['after_s']} s after "
                 f"\"{point['event']}\": {point['tree']} of it, recovery at boot said {point['recovery']}"
                 + "".join(f"; {problem}" for problem in point["problems"]))
