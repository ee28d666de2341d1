# SPDX-License-Identifier: Apache-2.0
"""Installs the drawn packages one by one, and keeps what became of each."""
import contextlib
import json
import re
import shutil
import time

from oracle.archive import Archive, served
from oracle.campaign import CACHE, installed_packages
from oracle.guests import Guest, Ouassister, base_guest
from oracle.shell import Failed

from . import draw, elsewhere, replay, rule

POCKET = draw.POCKET

# What the shadow has no answer to (src/shadow/record.c), with --verbose.
UNANSWERED = re.compile(r"no answer to|not recorded:")
# Lines of a package's output that may tell of a script which failed at something and went on.
DOUBTFUL = re.compile(r"not permitted|permission denied|read-only file|not supported|not implemented|no such device|"
                      r"\b(fail(ed|ure)?|error|cannot|can't|unable|could not|couldn't|refused|traceback|segmentation)\b", re.I)


def verdict(document):
    """What became of all scripts of one installation: the worst of it."""
    if document.get("deferred"):
        return "deferred"
    return "recorded" if document["actions"] else "offline"


class Survey:
    """One base guest, the oracle's frozen archive, one directory of results."""

    def __init__(self, program, work, say, names=()):
        """`names`: with packages that were named nothing needs to be drawn, which takes thousands of downloads."""
        self.work, self.say = work, say
        self.ouassister = Ouassister(program, work)
        self.base = base_guest()
        key = self.base.directory.name.rsplit("-", 1)[1]
        self.directory = CACHE / "survey" / key
        (self.directory / "results").mkdir(parents=True, exist_ok=True)
        (CACHE / "oracle" / key).mkdir(parents=True, exist_ok=True)
        self.archive = Archive(CACHE / "oracle" / key / "archive")
        # Its own, so that two who fetch at the same time do not meet.
        self.archive.pool = self.directory / "pool"
        self.archive.pool.mkdir(exist_ok=True)
        self.installed = self.known_installed()
        drawn = self.directory / "drawn.json"
        self.drawing = {"drawn": []}
        if drawn.exists() or not names:
            self.drawing = draw.known(drawn, self.archive, self.installed, self.base, work, say)

    def known_installed(self):
        file = self.directory / "installed.json"
        if not file.exists():
            file.write_text(json.dumps(installed_packages(self.base.directory / "disk.qcow2", self.work)))
        return json.loads(file.read_text())

    @property
    def drawn(self):
        return self.drawing["drawn"]

    @contextlib.contextmanager
    def serve(self, more=()):
        """The frozen archive with what the drawn packages need; `more`: with all that these could need."""
        repositories = self.work / "repositories"
        repositories.mkdir()
        names = {name for package in self.drawn for name in package["installs"]} | set(self.installed)
        self.archive.write(repositories, names | self.archive.closure(more))
        with served(self.archive, repositories) as uri:
            self.sources = self.work / "sources.list"
            self.sources.write_text(f"deb [trusted=yes] {uri}/ {POCKET}/\n")
            yield

    # --- results --- #

    def file(self, name, kind=""):
        return self.directory / "results" / f"{name}{kind}.json"

    def known(self, name, kind=""):
        file = self.file(name, kind)
        return json.loads(file.read_text()) if file.exists() else None

    def keep(self, result, kind=""):
        partial = self.file(result["name"], kind).with_suffix(".partial")
        partial.write_text(json.dumps(result, indent=1, ensure_ascii=True) + "\n")
        partial.rename(self.file(result["name"], kind))

    def log(self):
        return "".join(file.read_text(errors="replace") for file in self.work.glob("state/*/update.log"))

    def sweep(self):
        """The next package begins with an empty state."""
        for name in ("state", "run"):
            shutil.rmtree(self.work / name)
            (self.work / name).mkdir(mode=0o700)

    def begin(self, name):
        version = (self.archive.pockets[POCKET].get(name) or {}).get("Version")
        return {"version": 1, "name": name, "package_version": version, "program": self.ouassister.version(),
                "date": time.strftime("%Y-%m-%d", time.gmtime()), "guest": self.base.directory.name}

    # --- installing in the shadow --- #

    def update(self, guest, name):
        return self.ouassister.call("update", guest, "--verbose", "--", "apt-get", "install", "-y",
                                    "--no-install-recommends", name)

    def guest(self, name):
        guest = Guest(self.base, self.work, name)
        with open(guest.file, "a") as file:
            file.write(f"[update]\nsources = {self.sources}\n")
        return guest

    def install(self, guest, name):
        """The result of one package."""
        result, began = self.begin(name), time.monotonic()
        try:
            document, said = self.update(guest, name)
            result["verdict"] = verdict(document)
            result.update({key: document.get(key) for key in
                           ("packages", "files", "actions", "deferred", "emulation_s", "kernel_pending")})
        except Failed as failure:
            result["verdict"], said = "failed", str(failure)
            result["failure"] = said
        log = self.log()
        result["seconds"] = round(time.monotonic() - began, 1)
        result["unanswered"] = [line for line in said.splitlines() if UNANSWERED.search(line)][:50]
        result["said"] = [line for line in said.splitlines() if not line.startswith("recorded:")][-40:]
        result["doubtful"] = [line for line in log.splitlines() if DOUBTFUL.search(line)][:50]
        self.file(name).with_suffix(".log").write_text(log, errors="surrogateescape")
        self.keep(result)
        self.sweep()
        return result

    def say_result(self, result):
        actions = len(result.get("actions") or ())
        self.say(f"{'not ok' if result['verdict'] == 'failed' else 'ok'} {result['name']}: {result['verdict']}"
                 f"{f', {actions} actions' if actions else ''}, {result['seconds']} s")
        for line in [*result["unanswered"][:5], *result.get("failure", "").splitlines()[-8:]]:
            self.say(f"#   {line}")

    def install_all(self, names, again, part=(0, 1)):
        """False if any failed. Those that are named, or all that have no result; `part`: every n-th from a first one."""
        guest = self.guest("g")
        failed = 0
        for name in names or [package["name"] for package in self.drawn][part[0]::part[1]]:
            result = self.known(name)
            if names or result is None or (again and result["verdict"] == "failed"):
                result = self.install(guest, name)
                self.say_result(result)
            failed += result["verdict"] == "failed"
        self.say(f"# {failed} failed; results: {self.directory / 'results'}")
        return not failed

    # --- waking --- #

    def replay_all(self, again):
        """False if any of the drawn few did not succeed. Those with less to install come first."""
        failed, size = 0, {package["name"]: len(package["installs"]) for package in self.drawn}
        for name in sorted(rule.replayed(size), key=size.get):
            result = self.known(name, ".replay")
            if result is None or (again and result["failure"]):
                result = {**self.begin(name), **replay.run(self, name)}
                self.keep(result, ".replay")
                self.sweep()
                self.say(f"{'not ok' if result['failure'] else 'ok'} {name}: replay, {result['seconds']} s"
                         f"{': ' + result['failure'] if result['failure'] else ''}")
            failed += bool(result["failure"])
        return not failed

    # --- without the shadow --- #

    def elsewhere_all(self, names):
        """Always True: it says what there is."""
        for name in names:
            result = {**self.begin(name), **elsewhere.install(self, name)}
            self.keep(result, ".elsewhere")
            self.say(f"# {name} in a plain chroot: status {result['status']}")
            for line in result["output"].splitlines()[-12:] if result["status"] else ():
                self.say(f"#   {line}")
        return True
