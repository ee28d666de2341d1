# SPDX-License-Identifier: Apache-2.0
"""A series: one recorded apply, the points of its log, and what a guest made of each disk that they may leave."""
import dataclasses
import datetime
import hashlib
import json
import pathlib
import subprocess

from oracle.shell import Failed, run

from . import log, points, tree
from .fixture import MARK_SECTOR, Fixture, mounted
from .machine import DISKS_AT_ONCE

SEED = "ouassister"
PAUSE_MS = 20


@dataclasses.dataclass(frozen=True)
class Series:
    """`neighbour`: another process calls fsync all the time, so that the disk's cache is flushed in the middle of all."""
    file_system: str
    neighbour: bool = True
    journal: bool = True

    @property
    def name(self):
        return "-".join([self.file_system, "busy" if self.neighbour else "quiet"] + ([] if self.journal else ["without-journal"]))

    @property
    def words(self):
        """For the guest's init. Without a journal each rename is made durable by itself: otherwise a quick switch is one
        transaction of the file system's, and as good as all or nothing."""
        return " ".join([f"neighbour={PAUSE_MS}"] * self.neighbour + ["nojournal", "options=dirsync"] * (not self.journal))


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Campaign:
    """Where all is kept: a directory for each series, with base.img, log, results.json."""

    def __init__(self, directory, work, source, guests, helpers, say):
        """`helpers`: the program with a journal, and the one that can do without."""
        self.directory, self.work, self.source, self.guests, self.say = directory, work, source, guests, say
        self.helpers = {True: helpers[0], False: helpers[1]}

    def place(self, series):
        return self.directory / series.name

    def results(self, series):
        """{case: result} of what is known, of this helper."""
        try:
            known = json.loads((self.place(series) / "results.json").read_text())
        except FileNotFoundError:
            return None
        return known if known["helper"] == digest(self.helpers[series.journal]) else None

    def keep(self, series, results):
        target = self.place(series) / "results.json"
        partial = target.with_suffix(".partial")
        partial.write_text(json.dumps(results, indent=1) + "\n")
        partial.rename(target)

    def recorded(self, series):
        """(fixture, results) of the series, recorded where it was not."""
        fixture = Fixture(self.place(series), series.file_system)
        results = self.results(series)
        if results is None:
            run("rm", "-rf", fixture.directory)
            fixture = self.source.fixture(series.file_system, self.helpers[series.journal], fixture.directory)
            results = self.record(series, fixture)
            self.keep(series, results)
        return fixture, results

    def record(self, series, fixture):
        log_path = fixture.directory / "log"
        said = self.guests.record(fixture, series.words, log_path)
        if "@ helper 0" not in said:
            raise Failed(f"{series.name}: the update was not applied: {said[-1500:]}")
        entries = log.read(log_path)
        marks = log.marks(log_path, entries, MARK_SECTOR)
        return {"series": series.name, "words": series.words, "helper": digest(self.helpers[series.journal]), "entries": len(entries), "marks": marks,
                "flushes": sum(bool(entry.flags & log.FLUSH) for entry in entries), "changes": fixture.facts()["entries"],
                "bytes": fixture.facts()["bytes"], "kernel": self.guests.release, "qemu": qemu_version(),
                "phases": points.bounds(marks), "cases": {}}

    def run(self, series, n_each, variants):
        """Cuts the power at the points, `n_each` a phase, in the ways that variants(number of the point) names."""
        fixture, results = self.recorded(series)
        chosen = points.choose(results["marks"], n_each)
        todo = [(point, variant) for i, point in enumerate(chosen) for variant in variants(i)
                if case_name(point, variant) not in results["cases"]]
        entries = log.read(fixture.directory / "log")
        trees = fixture.trees()
        same = {case["disk"]: case for case in results["cases"].values()}
        while todo:
            todo = self.batch(series, fixture, entries, trees, results, same, todo)
        names = {case_name(point, variant) for i, point in enumerate(chosen) for variant in variants(i)}
        return {name: case for name, case in results["cases"].items() if name in names}

    def batch(self, series, fixture, entries, trees, results, same, todo):
        """As many disks as one guest can have; what is left to do."""
        cases, images = [], {}
        for point, variant in todo:
            kept = log.surviving(entries, point.at, variant, f"{SEED}/{series.name}")
            disk = state_of(entries, kept)
            if disk not in same and disk not in images:
                if len(images) == DISKS_AT_ONCE:
                    break
                images[disk] = self.work / f"{series.name}-{len(images)}.img"
                log.rebuild(fixture.disk, fixture.directory / "log", kept, images[disk])
            cases.append((point, variant, disk, point.at - log.last_flush(entries, point.at)))
        if images:
            for (disk, image), recovery in zip(images.items(), self.recover(series, list(images.values()))):
                same[disk] = self.judge(series, image, recovery, trees)
                image.unlink()
        for point, variant, disk, later in cases:
            case = {"phase": point.phase, "point": point.at, "variant": variant, "unflushed": later, "disk": disk,
                    **{key: same[disk].get(key) for key in ("tree", "problems", "recover", "fsck")},
                    "date": datetime.datetime.now(datetime.timezone.utc).strftime("%F")}
            results["cases"][case_name(point, variant)] = case
            self.tell(series, point, variant, case)
        self.keep(series, results)
        return todo[len(cases):]

    def recover(self, series, images):
        """A guest boots on each. What the kernel does not mount, fsck looks at first, as a boot has it do."""
        words = "" if series.journal else "nojournal"
        recoveries = self.guests.recover(series.file_system, images, words)
        again = [i for i, recovery in enumerate(recoveries) if recovery.unmountable and series.file_system == "ext4"]
        for i in again:
            subprocess.run(["e2fsck", "-p", str(images[i])], stdout=subprocess.DEVNULL, check=False)
        if again:
            for i, recovery in zip(again, self.guests.recover(series.file_system, [images[i] for i in again], words)):
                recovery.fsck = True
                recoveries[i] = recovery
        return recoveries

    def tell(self, series, point, variant, case):
        if series.journal:
            right = "ok" if case["tree"] != tree.MIXED and not case["problems"] else "not ok"
        else:
            right = "#"
        self.say(f"{right} {series.name}: {point.phase}, request {point.at}, {variant} the {case['unflushed']} after the last flush: "
                 f"{case['tree']}" + "".join(f"; {problem}" for problem in case["problems"]))

    def judge(self, series, image, recovery, trees):
        """What became of a disk that the guest has recovered."""
        problems = [recovery.problem()] if recovery.problem() else []
        problems += check_file_system(series.file_system, image)
        mount = image.with_suffix(".mount")
        found, why = tree.MIXED, []
        try:
            with mounted(image, mount, "ro,nouuid" if series.file_system == "xfs" else "ro"):
                found, why = tree.judge(tree.snapshot(mount), *trees)
                problems += audit(mount) + left_behind(mount, found)
        except Failed as failure:
            problems.append(str(failure))
        return {"tree": found, "problems": [*why, *problems], "recover": recovery.status, "fsck": recovery.fsck}


def case_name(point, variant):
    return f"{point.at}/{variant}"


def state_of(entries, kept):
    """The same for the same disk."""
    place = {id(entry): index for index, entry in enumerate(entries)}
    words = [(place[id(entry)], sectors) for entry, sectors in kept]
    return hashlib.sha256(repr(words).encode()).hexdigest()[:24]


def check_file_system(file_system, image):
    command = ["e2fsck", "-fn", str(image)] if file_system == "ext4" else ["xfs_repair", "-n", "-f", str(image)]
    result = subprocess.run(command, capture_output=True, text=True)
    return [f"{command[0]} finds: {(result.stdout + result.stderr).strip()[-600:]}"] if result.returncode else []


def audit(mount):
    """What dpkg says of its database."""
    result = subprocess.run(["chroot", str(mount), "dpkg", "--audit"], capture_output=True, text=True)
    text = (result.stdout + result.stderr).strip()
    return [f"dpkg --audit: {text[-300:]}"] if text or result.returncode else []


def left_behind(mount, found):
    """After going back nothing is left of the update."""
    stage, journal = mount / ".ouassister", mount / "var/lib/ouassister/journal"
    return [f"{path.name} is left behind" for path in (stage, journal) if found == tree.NONE and path.exists()]


def qemu_version():
    return run("qemu-system-x86_64", "--version").splitlines()[0].removeprefix("QEMU emulator version ")
