# SPDX-License-Identifier: Apache-2.0
"""Sets of packages and their steps: the file `sets`, or packages named by the caller."""
import configparser
import pathlib

FILE = pathlib.Path(__file__).with_name("sets")
LATER = ("release", "updates", "security")
STEPS = ("full", "install", "upgrade", "remove", "reinstall")


class Wrong(Exception):
    """A set that the archive does not allow."""


class Step:
    """What is done to the guest once, offline and conventionally."""

    def __init__(self, chain, kind, packages):
        self.chain, self.kind, self.packages = chain, kind, packages

    def __str__(self):
        return f"{self.chain}/{self.kind}"

    @property
    def pockets(self):
        return LATER if self.kind in ("full", "upgrade") else LATER[:1]

    @property
    def words(self):
        """apt-get's."""
        return {"full": ["--no-remove", "dist-upgrade"],
                "install": ["install", "-y", "--no-install-recommends", *self.packages],
                "upgrade": ["install", "-y", "--only-upgrade", *self.packages],
                "remove": ["purge", "-y", "--auto-remove", *self.packages],
                "reinstall": ["install", "-y", "--reinstall", *self.packages]}[self.kind]


class Chain:
    """A set: its steps in their order."""

    def __init__(self, name, steps, before="", short=""):
        self.name, self.before, self.short = name, before, short
        self.steps = [Step(name, kind, packages) for kind, packages in steps]

    @property
    def packages(self):
        return {name for step in self.steps for name in step.packages}

    def check(self, archive):
        """Refuses an upgrade to nothing; the packages that could be upgraded where no step does."""
        for step in self.steps:
            for name in step.packages:
                if archive.version(name, LATER) is None:
                    raise Wrong(f"{step}: the archive has no package {name}")
            if step.kind == "upgrade" and not any(upgradable(archive, name) for name in step.packages):
                raise Wrong(f"{step}: no later pocket has a newer version")
        if any(step.kind in ("upgrade", "full") for step in self.steps):
            return []
        return sorted(name for name in self.packages if upgradable(archive, name))


def upgradable(archive, name):
    return archive.version(name, LATER) != archive.version(name, LATER[:1])


def load(path=FILE):
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(path.read_text())
    chains = {}
    for name in parser.sections():
        section = parser[name]
        kinds = section["steps"].split()
        if set(kinds) - set(STEPS):
            raise Wrong(f"{name}: no such step: {' '.join(sorted(set(kinds) - set(STEPS)))}")
        steps = [(kind, section.get(kind, section.get("packages", "")).split()) for kind in kinds]
        chains[name] = Chain(name, steps, section.get("before", ""), section.get("short", ""))
    return chains


def chain_of(packages, archive, installed):
    """The steps for any packages: what is there is upgraded or installed again, else installed, then upgraded or removed."""
    name = "+".join(packages)
    newer = [package for package in packages if upgradable(archive, package)]
    if set(packages) <= installed:
        return Chain(name, [("upgrade", newer) if newer else ("reinstall", packages)])
    return Chain(name, [("install", packages), ("upgrade", newer) if newer else ("remove", packages)])
