# SPDX-License-Identifier: Apache-2.0
"""The job of the test's host (`job` beside this): the program, a sleeping guest, and the unit tests of the rooms that have to do
with the host's kernel."""
import json
import pathlib
import shutil
import subprocess
import tempfile

from introspect.kernels import run

from . import HERE

LIB = HERE.parent
# What a host's kernel may do otherwise.
ROOMS = ("shadow", "disk", "hypervisor", "changes", "bundle")
# Their own compiler and QEMU are not there; nothing in them asks the kernel.
NOT_THERE = ("escape-not-installed", "hypervisor-qemu", "hypervisor-qemu-disk")
# It is not woken there.
VM_FILE = """[vm]
driver = qemu
memory = guest.mig
disk = guest.qcow2
format = qcow2
[qemu]
command = qemu-system-x86_64
qmp = guest.qmp
[channel]
type = agent
agent = guest.qga
[update]
sources = sources.list
"""
POSTINST = "#!/bin/sh\nset -e\nsystemctl restart cron.service\n"


def guest():
    """The directory of the cached, suspended guest."""
    return pathlib.Path(run("bash", "-euo", "pipefail", "-c", '. "$0"; guest_suspended demo', str(LIB / "guest.sh")).strip())


def put_guest(job):
    directory = guest()
    backing = json.loads(run("qemu-img", "info", "-U", "--output=json", str(directory / "disk.qcow2")))["full-backing-filename"]
    shutil.copy(directory / "memory.mig", job / "guest.mig")
    shutil.copy(directory / "disk.qcow2", job / "guest.qcow2")
    shutil.copy(backing, job / "base.qcow2")
    run("qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", "base.qcow2", str(job / "guest.qcow2"))
    (job / "guest.vm").write_text(VM_FILE)


def put_package(job):
    """A package whose script asks for a restart."""
    with tempfile.TemporaryDirectory() as name:
        tree = pathlib.Path(name)
        (tree / "DEBIAN").mkdir(mode=0o755)
        (tree / "usr/share/hello").mkdir(parents=True)
        (tree / "usr/share/hello/text").write_text("hello\n")
        (tree / "DEBIAN/control").write_text("Package: hello-host\nVersion: 1\nArchitecture: all\nMaintainer: x <x@invalid>\nDescription: x\n")
        (tree / "DEBIAN/postinst").write_text(POSTINST)
        (tree / "DEBIAN/postinst").chmod(0o755)
        tree.chmod(0o755)
        run("dpkg-deb", "--root-owner-group", "-b", str(tree), str(job / "hello.deb"))


def put_tests(job, build, names):
    """The unit tests, without what debuggers read, and what they look for where they were built."""
    source = build.parent
    lines = []
    for test in json.loads(run("meson", "introspect", "--tests", str(build))):
        words = [(pathlib.Path(test["workdir"] or build) / word).resolve() if "/" in word else word for word in test["cmd"]]
        room = pathlib.Path(words[0]).relative_to(source).parts if pathlib.Path(words[0]).is_relative_to(source) else ()
        room = room[room.index("unit") + 1] if "unit" in room else ""
        if (test["name"] in names) if names else (room in ROOMS and test["name"] not in NOT_THERE):
            lines.append(f"{test['name']} {' '.join(map(str, words))}\n")
    (job / "tests").write_text("".join(lines))
    (job / "places").write_text(f"{build} {source}\n")
    for program in [*build.glob("tests/unit/*/*"), *build.glob("tests/unit/*/*/*"), build / "src/apply/helper"]:
        if program.is_file() and program.stat().st_mode & 0o111:
            target = job / "build" / program.relative_to(build)
            target.parent.mkdir(parents=True, exist_ok=True)
            if subprocess.run(["strip", "-g", "-o", str(target), str(program)], stderr=subprocess.DEVNULL).returncode:
                shutil.copy(program, target)
    shutil.copytree(source / "tests/unit", job / "source/tests/unit")
    shutil.copytree(source / "tests/data", job / "source/tests/data")
    (job / "source" / build.relative_to(source)).mkdir(parents=True)


def put(job, ouassister, parts, names=(), sources=""):
    """Fills the job. `parts`: what of it is to be done; `names`: only these unit tests."""
    build = pathlib.Path(ouassister).parent
    shutil.copy(HERE / "job", job / "job")
    shutil.copy(ouassister, job / "ouassister")
    (job / "parts").write_text(" ".join(parts) + "\n")
    (job / "sources.list").write_text(sources)
    put_guest(job)
    put_package(job)
    if "unit_tests" in parts:
        put_tests(job, build, names)
