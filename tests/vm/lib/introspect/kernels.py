# SPDX-License-Identifier: Apache-2.0
"""Debian's own kernels of every suite, from the archive the host's apt uses; unpacked and kept.

$OUASSISTER_TEST_ARCHIVE names another archive (its URI) than the host's first.
"""
import fcntl
import os
import pathlib
import re
import subprocess
import tempfile
import time

CACHE = pathlib.Path(os.environ.get("OUASSISTER_TEST_CACHE", "/var/cache/ouassister-tests"))
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGES = {"cloud": "linux-image-cloud-amd64", "generic": "linux-image-amd64"}
# A suite's lists are fetched again after a day.
LISTS_AGE_S = 24 * 3600


class Skip(Exception):
    """The test, or the case, cannot run here."""


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def archive():
    """The URI of the main archive, out of the host's apt configuration."""
    told = os.environ.get("OUASSISTER_TEST_ARCHIVE")
    if told:
        return told
    lines = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages").splitlines()
    for line in lines:
        uri, _, codename = line.partition(" ")
        if "-" not in codename and "debian" in uri:
            return uri
    raise Skip("apt has no source of Debian's main archive")


class Suite:
    """One suite of the archive with an apt state of its own: the host's is not touched."""

    def __init__(self, name):
        self.name = name
        self.state = CACHE / "apt" / name
        self.options = []
        for key, value in (("Dir::Etc::sourcelist", self.state / "sources.list"), ("Dir::Etc::sourceparts", "-"),
                           ("Dir::State", self.state / "state"), ("Dir::State::status", "/dev/null"),
                           ("Dir::Cache", self.state / "cache"), ("APT::Architecture", "amd64"),
                           ("Acquire::Languages", "none"), ("APT::Sandbox::User", "root"),
                           ("Acquire::Retries", "2"), ("Acquire::http::Timeout", "20")):
            self.options += ["-o", f"{key}={value}"]

    def update(self):
        for directory in ("state/lists/partial", "cache/archives/partial"):
            (self.state / directory).mkdir(parents=True, exist_ok=True)
        stamp = self.state / "updated"
        if stamp.exists() and stamp.stat().st_mtime + LISTS_AGE_S > time.time():
            return
        (self.state / "sources.list").write_text(f"deb [signed-by={KEYRING}] {archive()} {self.name} main\n")
        result = subprocess.run(["apt-get", *self.options, "--error-on=any", "update"], capture_output=True, text=True)
        if result.returncode:
            raise Skip(f"suite {self.name} is not reachable: {result.stderr.strip()[-200:]}")
        stamp.touch()

    def show(self, package):
        shown = subprocess.run(["apt-cache", *self.options, "show", "--no-all-versions", package], capture_output=True,
                               text=True).stdout
        if not shown:
            raise Skip(f"suite {self.name} has no {package}")
        return dict(re.findall(r"^(Depends|Version): (.*)", shown, re.M))

    def latest(self, package):
        """(name, version, package names) of the kernel that a flavour's package stands for."""
        name = re.search(r"\b(linux-image-\d\S+)", self.show(package)["Depends"])[1]
        image = self.show(name)
        # From 7.2 on, kernel and modules are packages of their own that the image depends on.
        parts = re.findall(r"\b(linux-(?:binary|modules)-\d\S+)", image["Depends"])
        return name, image["Version"], parts or [name]

    def unpack(self, packages, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as directory:
            # As root: apt's unprivileged user may not enter here.
            result = subprocess.run(["apt-get", *self.options, "download", *packages], cwd=directory,
                                    capture_output=True, text=True)
            if result.returncode:
                raise Skip(f"apt-get download {' '.join(packages)}: {result.stderr.strip()[-200:]}")
            root = pathlib.Path(directory, "root")
            for package in pathlib.Path(directory).glob("*.deb"):
                run("dpkg-deb", "-x", str(package), str(root))
            root.rename(target)


def kernel(suite, flavour):
    """The directory of an unpacked kernel package, fetched once."""
    (CACHE / "apt").mkdir(parents=True, exist_ok=True)
    with open(CACHE / "apt" / f"{suite}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        source = Suite(suite)
        source.update()
        name, version, packages = source.latest(PACKAGES[flavour])
        target = CACHE / "kernels" / f"{name}_{version.replace(':', '%3a')}"
        if not target.exists():
            source.unpack(packages, target)
        return target


def boot_file(root):
    """The kernel that the loader gets, of an unpacked package."""
    return next(root.rglob("vmlinuz*"))


def content(path):
    """The bytes of a module file, unpacked."""
    tool = {".xz": "xz", ".zst": "zstd"}.get(path.suffix)
    if not tool:
        return path.read_bytes()
    return subprocess.run([tool, "-dc", str(path)], check=True, stdout=subprocess.PIPE).stdout


def module_files(root, names):
    """The module files needed for names, in load order, out of modules' own dependency names."""
    base = next(p for p in root.rglob("kernel") if p.parent.parent.name == "modules")
    files = {re.sub(r"\.ko(\.xz|\.zst)?$", "", p.name).replace("-", "_"): p for p in base.rglob("*.ko*")}
    order = []

    def add(name):
        path = files.get(name)
        if path is None or path in order:
            return
        for needed in re.search(rb"\0depends=([^\0]*)\0", content(path))[1].decode().split(","):
            if needed:
                add(needed.replace("-", "_"))
        order.append(path)

    for name in names:
        add(name)
    return order
