# SPDX-License-Identifier: Apache-2.0
"""Draws the packages by the rule (rule.py), and keeps what was drawn and why others were not."""
import collections
import json
import pathlib
import re
import shutil
import subprocess

from oracle import disks
from oracle.shell import Failed, run

from . import rule, scripts

POCKET = "release"
BATCH = 64


def guest_status(base, work, file):
    """dpkg's database of the guest, as one file."""
    with disks.mounted(base.directory / "disk.qcow2", work / "status") as root:
        shutil.copy(root / "var/lib/dpkg/status", file)


class Apt:
    """An apt that has the guest's packages and the frozen lists of the release pocket."""

    def __init__(self, archive, status, directory):
        for name in ("repository/release", "state/lists/partial", "cache/archives/partial"):
            (directory / name).mkdir(parents=True)
        text = "\n".join(stanza[""] for stanza in archive.pockets[POCKET].values())
        (directory / "repository/release/Packages").write_text(text)
        (directory / "sources.list").write_text(f"deb [trusted=yes] file:{directory}/repository release/\n")
        self.options = ["-o", f"Dir::Etc::sourcelist={directory}/sources.list", "-o", "Dir::Etc::sourceparts=-",
                        "-o", "Dir::Etc::preferencesparts=-", "-o", "Dir::Etc::preferences=-",
                        "-o", f"Dir::State={directory}/state", "-o", f"Dir::State::status={status}",
                        "-o", f"Dir::Cache={directory}/cache", "-o", "Dir::Cache::pkgcache=pkgcache.bin",
                        "-o", "Dir::Cache::srcpkgcache=srcpkgcache.bin", "-o", "APT::Architecture=amd64",
                        "-o", "APT::Architectures=amd64", "-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User=root"]
        run("apt-get", *self.options, "--error-on=any", "update")
        run("apt-cache", *self.options, "gencaches")

    def installs(self, name):
        """The names that would be installed; None: not possible, or something would be removed."""
        result = subprocess.run(["apt-get", *self.options, "-s", "--no-remove", "--no-install-recommends", "install", name],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return re.findall(r"^Inst (\S+)", result.stdout, re.M) if result.returncode == 0 else None


def fetch(archive, stanzas, directory):
    """The package files, checked against the list; some at a time."""
    words = []
    for stanza in stanzas:
        words += [f"{archive.uris[POCKET]}/{stanza['Filename']}", directory / pathlib.Path(stanza["Filename"]).name,
                  f"SHA256:{stanza['SHA256']}"]
    run("/usr/lib/apt/apt-helper", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "download-file", *words)


def total(stanzas, key):
    return sum(int(stanza.get(key, 0)) for stanza in stanzas)


def fits(apt, stanzas, name):
    """The names to install, or why the package is not drawn."""
    names = apt.installs(name)
    if names is None:
        return None, "conflicts with the guest, or cannot be installed"
    chosen = [stanzas[found] for found in names]
    if total(chosen, "Size") > rule.DOWNLOAD_MAX or total(chosen, "Installed-Size") << 10 > rule.INSTALLED_MAX:
        return None, "too much with what it depends on"
    return names, None


def draw(archive, installed, apt, work, say):
    """{"drawn": [package, …], "passed_over": {why: how many}, "looked_at": how many}"""
    stanzas = archive.pockets[POCKET]
    order = rule.shuffled(name for name in stanzas if name not in installed and
                          stanzas[name]["Architecture"] in ("amd64", "all"))
    drawn, passed_over, looked_at = [], collections.Counter(), 0
    debs = work / "debs"
    while len(drawn) < rule.N and order:
        debs.mkdir()
        batch, order = order[:BATCH], order[BATCH:]
        fetch(archive, [stanzas[name] for name in batch if int(stanzas[name]["Size"]) <= rule.DEB_MAX], debs)
        for name in batch:
            if len(drawn) == rule.N:
                break
            looked_at += 1
            if int(stanzas[name]["Size"]) > rule.DEB_MAX:
                passed_over["a large file"] += 1
                continue
            own = scripts.of_package(debs / pathlib.Path(stanzas[name]["Filename"]).name)
            if not own:
                passed_over["no commands of its own"] += 1
                continue
            names, why = fits(apt, stanzas, name)
            if why:
                passed_over[why] += 1
                continue
            drawn.append({"name": name, "version": stanzas[name]["Version"], "scripts": own, "installs": names})
        shutil.rmtree(debs)
        say(f"# {looked_at} packages looked at, {len(drawn)} drawn")
    if len(drawn) < rule.N:
        raise Failed(f"the archive has only {len(drawn)} packages for the survey")
    return {"seed": rule.SEED, "drawn": drawn, "passed_over": passed_over, "looked_at": looked_at,
            "population": len(order) + looked_at, "archive": archive.dates}


def known(file, archive, installed, base, work, say):
    """What was drawn; drawn now where it was not before."""
    if not file.exists():
        status = file.with_name("status")
        guest_status(base, work, status)
        (work / "apt").mkdir()
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(draw(archive, installed, Apt(archive, status, work / "apt"), work, say), indent=1) + "\n")
        partial.rename(file)
    found = json.loads(file.read_text())
    if found["seed"] != rule.SEED or found["archive"] != archive.dates:
        raise Failed(f"{file} was drawn by another seed or from other lists: remove it with the results, or go back to those")
    return found
