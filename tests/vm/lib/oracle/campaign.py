# SPDX-License-Identifier: Apache-2.0
"""Runs steps of sets, and keeps what is needed to go on later: frozen lists, packages, suspended guests, results."""
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

from . import disks, facts, harvest, tolerances, tree
from .archive import Archive, served
from .guests import Guest, Ouassister, Start, base_guest, update_conventionally
from .shell import Failed, run

CACHE = pathlib.Path(os.environ.get("OUASSISTER_TEST_CACHE", "/var/cache/ouassister-tests"))


def installed_packages(disk, work):
    """The names that dpkg has as installed on a guest's disk."""
    with disks.mounted(disk, work / "base") as root:
        lines = run("dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f",
                    "${db:Status-Status} ${Package} ${Version}\\n").splitlines()
    return {name: version for status, name, version in map(str.split, lines) if status == "installed"}


def package_facts(root):
    """What the host's dpkg says of a guest's tree."""
    found = {}
    for line in run("dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f",
                    "${binary:Package} ${db:Status-Abbrev}${Version}\\n").splitlines():
        name, _, rest = line.partition(" ")
        found[f"package:{name}"] = rest.strip()
    # Its status says whether anything is wrong, its lines say what.
    wrong = subprocess.run(["dpkg", f"--root={root}", "--verify"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found.update({f"dpkg-verify:{line}": "wrong" for line in wrong.stdout.splitlines()})
    return found


def take_dicts(one, other, take):
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            take(name, "state", one.get(name, "absent"), other.get(name, "absent"))


class Campaign:
    """One base guest, one frozen archive, one directory of results."""

    def __init__(self, program, work, say, both=False):
        """`both`: no conventional copy of an earlier run is taken."""
        self.work, self.say, self.both = pathlib.Path(work), say, both
        self.ouassister = Ouassister(program, self.work)
        self.base = base_guest()
        key = self.base.directory.name.rsplit("-", 1)[1]
        self.directory = CACHE / "oracle" / key
        self.directory.mkdir(parents=True, exist_ok=True)
        self.archive = Archive(self.directory / "archive")
        self.results = self.directory / "results"
        self.results.mkdir(exist_ok=True)
        self.installed = self.known_installed()
        self.entries = tolerances.load()

    def known_installed(self):
        file = self.directory / "installed.json"
        if not file.exists():
            file.write_text(json.dumps(installed_packages(self.base.directory / "disk.qcow2", self.work)))
        return json.loads(file.read_text())

    @contextlib.contextmanager
    def serve(self, chain):
        """
        The frozen archive with what this set needs, and no more: apt installs what a package recommends where it is there,
        so that a step would come to something else beside other sets.
        """
        with tempfile.TemporaryDirectory(dir=self.work) as directory:
            repositories = pathlib.Path(directory)
            self.archive.write(repositories, self.archive.closure(set(self.installed) | chain.packages))
            with served(self.archive, repositories) as uri:
                self.uri = uri
                yield

    def sources(self, step):
        file = self.work / f"{step.kind}.list"
        file.write_text("".join(f"deb [trusted=yes] {self.uri}/ {pocket}/\n" for pocket in step.pockets
                                if pocket in self.archive.pockets))
        return file

    # --- where a step begins --- #

    def start_directory(self, chain, index):
        """Where the guest is kept that the first `index` steps were done in."""
        told = "\n".join([chain.before, *(" ".join(step.words) for step in chain.steps[:index])])
        return self.directory / f"start-{chain.name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"

    def start(self, chain, index):
        """The suspended guest before step `index`; made where it is not there."""
        if index == 0 and not chain.before:
            return self.base
        directory = self.start_directory(chain, index)
        if not directory.exists():
            before = self.start(chain, index - 1) if index else self.base
            self.say(f"# {chain.name}: making the guest that step {index + 1} begins with")
            guest = Guest(before, self.work, "start")
            try:
                guest.wake()
                if index:
                    step = chain.steps[index - 1]
                    update_conventionally(guest, self.sources(step), step.words)
                else:
                    guest.inside(chain.before)
                guest.facts()
                guest.save()
                self.keep(guest, chain, index)
            finally:
                guest.kill()
        return Start(directory)

    def keep(self, guest, chain, index):
        directory = self.start_directory(chain, index)
        partial = directory.with_name(directory.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        shutil.move(guest.work / f"{guest.name}.mig", partial / "memory.mig")
        shutil.move(guest.disk, partial / "disk.qcow2")
        partial.rename(directory)

    # --- a step --- #

    def offline(self, guest, step, result):
        """Updates the sleeping copy and wakes it; its facts. It is stopped afterwards."""
        words = step.words if step.kind != "full" else None
        try:
            document, said = self.ouassister.update(guest, self.sources(step), words)
            result["bundle"] = {name: document.get(name) for name in
                                ("packages", "files", "payload_bytes", "actions", "emulation_s", "kernel_pending", "deferred")}
            late = document.get("late") or {}
            for name in ("packages", "actions"):
                result["bundle"][name] = (result["bundle"][name] or []) + (late.get(name) or [])
            document, more = self.ouassister.resume(guest)
            result["resume"] = {name: document.get(name) for name in
                                ("online_s", "files", "bytes", "actions", "failed_actions", "restart", "stale", "n_stale", "late")}
            result["said"] = (said + more).strip().splitlines()[-40:]
            # Both of two chained bundles are in; what is compared is no state in between.
            result["state"] = self.ouassister.state(guest)
            text = guest.facts()
            guest.stop()
        finally:
            self.keep_log("offline", step, "".join(
                log.read_text(errors="replace") for log in self.work.glob("state/*/update.log")))
            guest.kill()
        return facts.Facts(text)

    def conventional(self, start, chain, index):
        """The copy that apt has updated while it ran; it is kept."""
        step, began = chain.steps[index], time.monotonic()
        guest = Guest(start, self.work, "conventional")
        try:
            guest.wake()
            self.keep_log("conventional", step, update_conventionally(guest, self.sources(step), step.words))
            seconds = round(time.monotonic() - began, 1)
            text = guest.facts()
            # Memory is saved where a step follows.
            if index + 1 < len(chain.steps):
                guest.save()
            else:
                guest.stop()
        finally:
            guest.kill()
        harvest.keep(self.harvest_directory(step), harvest.key_of(start, self.archive, chain, step), guest, text, seconds,
                     time.strftime("%Y-%m-%d", time.gmtime()))
        if index + 1 < len(chain.steps) and not self.start_directory(chain, index + 1).exists():
            self.keep(guest, chain, index + 1)
        return harvest.Kept(self.harvest_directory(step))

    def harvest_directory(self, step):
        return self.directory / f"conventional-{step.chain}.{step.kind}"

    def keep_log(self, which, step, text):
        (self.results / f"{step.chain}.{step.kind}.{which}.log").write_text(text, errors="surrogateescape")

    def compare(self, start, offline, said, other, result):
        """The offline copy and what it said with the conventional one."""
        found = result["found"] = []
        result.update(conventional_s=other.seconds, conventional_date=other.date)
        both = said, facts.Facts(other.text)

        def take(path, what, one, other):
            found.append({"path": path, "what": what, "offline": one, "conventional": other})

        with tempfile.TemporaryDirectory(dir=self.work) as directory, \
                disks.mounted(offline.disk, f"{directory}/a") as one, disks.mounted(other.disk, f"{directory}/b") as second:
            result["paths"] = tree.compare(one, second, start.suspended_ns, take)
            packages = package_facts(one), package_facts(second)
        take_dicts(*packages, take)
        if result["state"] != "open":
            take("ouassister status", "state", result["state"], "open")
        reported = {str(process["pid"]) for process in result["resume"].get("stale") or ()}
        facts.compare(*both, reported, take)
        result["facts"] = len(both[0].values) + len(both[0].files) + len(packages[0])
        result["stale"] = {"offline": both[0].stale_units(), "conventional": both[1].stale_units()}

    def with_conventional(self, chain, index, start, offline, said, result):
        """A kept copy that the offline one differs from may be too old (what a timer does once a day): one is made anew."""
        step = chain.steps[index]
        key = harvest.key_of(start, self.archive, chain, step)
        kept = None if self.both else harvest.find(self.harvest_directory(step), key)
        if kept:
            self.compare(start, offline, said, kept, result)
            if tolerances.judge(result, self.entries)["passed"]:
                return
            self.say(f"# {step}: {len(result['differences'])} differences from the conventional copy of {kept.date}; "
                     "it is made anew")
        self.compare(start, offline, said, self.conventional(start, chain, index), result)

    def run_step(self, chain, index):
        """The result of one step, which is kept."""
        step, began = chain.steps[index], time.time()
        result = {"version": 1, "set": chain.name, "step": step.kind, "packages": step.packages, "command": step.words,
                  "date": time.strftime("%Y-%m-%d", time.gmtime(began)), "program": self.ouassister.version(),
                  "archive": self.archive.dates, "guest": self.base.directory.name}
        try:
            start = self.start(chain, index)
            guest = Guest(start, self.work, "offline")
            said = self.offline(guest, step, result)
            self.with_conventional(chain, index, start, guest, said, result)
        except (Failed, ValueError) as failure:
            result["failure"] = str(failure)
        finally:
            self.sweep(("offline", "conventional"))
        result["seconds"] = round(time.time() - began)
        tolerances.judge(result, self.entries)
        self.result_file(step).write_text(json.dumps(result, indent=1, ensure_ascii=True) + "\n")
        return result

    def sweep(self, names):
        """The next step begins with an empty state."""
        for file in self.work.iterdir():
            if re.fullmatch(rf"({'|'.join(names)}|start)\..*", file.name):
                file.unlink()
        for name in ("state", "run"):
            shutil.rmtree(self.work / name)
            (self.work / name).mkdir(mode=0o700)

    def result_file(self, step):
        return self.results / f"{step.chain}.{step.kind}.json"

    def known_result(self, step):
        file = self.result_file(step)
        result = json.loads(file.read_text()) if file.exists() else {}
        # What says neither is of a run that was not finished.
        return tolerances.judge(result, self.entries) if {"found", "failure"} & result.keys() else None
