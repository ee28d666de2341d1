# SPDX-License-Identifier: Apache-2.0
"""The two copies of a suspended guest, and what is done to each."""
import json
import os
import pathlib
import re
import shlex
import subprocess
import time

from .shell import LIB, Failed, run, shell

MEMORY_MIB = 512
APT_TIMEOUT_S = 3 * 3600
POLL_S = 3
ENDED = "oracle-apt-ended"

# As the shadow runs apt (src/update/apt.c), so that both copies are asked the same and answer the same.
ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
               "TERM=dumb", "DEBIAN_FRONTEND=noninteractive", "DEBIAN_PRIORITY=critical", "UCF_FORCE_CONFFOLD=1",
               "APT_LISTCHANGES_FRONTEND=none", "APT_LISTBUGS_FRONTEND=none", "NEEDRESTART_SUSPEND=1")
APT_OPTIONS = ("APT::Get::Assume-Yes=true", "Dpkg::Options::=--force-confdef", "Dpkg::Options::=--force-confold",
               "Dpkg::Use-Pty=0", "Dpkg::Progress-Fancy=0", "APT::Color=0", "Acquire::Languages=none")

# A unit of its own: an upgrade that restarts the guest's agent must not end the upgrade. Its script is a file: systemd shows
# the words of a command on the console, where the end is looked for.
CONVENTIONAL = ("systemd-run --quiet --collect --unit=oracle-conventional --property=StandardOutput=file:/run/oracle.log "
                "--property=StandardError=inherit /bin/sh /run/oracle.sh")


class Start:
    """A suspended guest that copies are made of: a directory with disk.qcow2 and memory.mig."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)

    @property
    def suspended_ns(self):
        """All that either copy writes is later."""
        return (self.directory / "memory.mig").stat().st_mtime_ns


def base_guest():
    return Start(run(LIB.parent / "build-guest", "demo").strip())


class Guest:
    """One copy: NAME.vm and what it names, in the directory `work`."""

    def __init__(self, start, work, name, port=0):
        """The host's 127.0.0.1:PORT leads to its ssh, unless that is 0."""
        self.work, self.name = pathlib.Path(work), name
        shell("vm", 'vm_copy "$1" "$2" "$3" user "$4"', start.directory, work, name, port)

    @property
    def disk(self):
        return self.work / f"{self.name}.qcow2"

    @property
    def file(self):
        return self.work / f"{self.name}.vm"

    def console_text(self):
        return (self.work / f"{self.name}.console").read_text(errors="replace")

    def call(self, function, *arguments):
        return shell("vm", f'{function} "$@"', self.work, self.name, *arguments)

    def inside(self, script, timeout_s=600):
        return self.call("vm_exec", "-t", timeout_s, "/bin/sh", "-c",
                         f"export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; {script}")

    def put(self, source, target):
        self.call("vm_put", source, target)

    def wake(self):
        self.call("vm_wake")
        self.call("vm_wait", 300)
        self.call("vm_set_clock")

    def facts(self):
        """The text of `collect`; then the disk holds all that the guest wrote."""
        self.put(LIB / "oracle/collect", "/run/oracle-collect")
        return self.inside("sh /run/oracle-collect && rm /run/oracle-collect && sync")

    def stop(self):
        """No instruction more; the disk is as the guest's kernel has written it."""
        self.call("vm_qmp", "stop")
        self.call("vm_quit")

    def save(self):
        self.call("vm_save_by_hand")

    def kill(self):
        self.call("vm_kill")


def apt_words(words, options=()):
    """apt-get WORDS as the shadow calls it."""
    return ["apt-get", *(word for option in (*APT_OPTIONS, *options) for word in ("-o", option)), *words]


def await_end(guest):
    """Until the unit says on the console that it ended: questions through the agent would cost the guest more than apt."""
    end = time.monotonic() + APT_TIMEOUT_S
    while ENDED not in guest.console_text():
        if time.monotonic() > end:
            raise Failed(f"apt in the guest did not end within {APT_TIMEOUT_S} s")
        time.sleep(POLL_S)
        if not guest.call("vm_pid"):
            raise Failed("the guest ended while apt ran in it")


def update_conventionally(guest, sources, words):
    """apt in the running guest, with its own sources where `sources` is None; its output. Failed: with the end of it."""
    source = ()
    if sources:
        source = ("Dir::Etc::SourceList=/run/oracle.list", "Dir::Etc::SourceParts=/dev/null")
        guest.put(sources, "/run/oracle.list")
    both = " && ".join(shlex.join(["env", "-i", *ENVIRONMENT, *apt_words(one, source)]) for one in (["update"], words))
    script = guest.work / "conventional.sh"
    script.write_text(f"{both}\necho $? >/run/oracle.status\necho {ENDED} >/dev/ttyS0\n")
    guest.put(script, "/run/oracle.sh")
    guest.inside(CONVENTIONAL)
    await_end(guest)
    status = guest.inside("cat /run/oracle.status || :").strip()
    if not status:
        raise Failed("apt in the guest left no status; the end of its console: " + guest.console_text()[-2000:])
    output = guest.inside("cat /run/oracle.log; rm /run/oracle.*")
    if status != "0":
        raise Failed(f"apt in the guest: status {status}: {output[-2000:]}")
    return output


class Ouassister:
    """The program under test, with directories of its own."""

    def __init__(self, program, work):
        self.program, self.work = program, pathlib.Path(work)
        self.environment = dict(os.environ)
        for name in ("state", "run", "config"):
            (self.work / name).mkdir(mode=0o700, exist_ok=True)
            self.environment[f"OUASSISTER_{name.upper()}_DIR"] = str(self.work / name)

    def call(self, verb, guest, *words):
        result = subprocess.run([self.program, verb, "--json", guest.file, *words], env=self.environment,
                                stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if result.returncode:
            raise Failed(f"ouassister {verb}: status {result.returncode}: {result.stderr.strip()[-3000:]}")
        return json.loads(result.stdout), result.stderr

    def update(self, guest, sources, words):
        """The document of the bundle."""
        with open(guest.file, "a") as file:
            file.write(f"[update]\nsources = {sources}\n")
        return self.call("update", guest, *(["--", "apt-get", *words] if words else []))

    def resume(self, guest):
        return self.call("resume", guest, "--keep=none")

    def state(self, guest):
        """What `status` calls the update's."""
        return self.call("status", guest)[0]["state"]

    def version(self):
        return re.sub(r"^ouassister ", "", run(self.program, "--version").strip())
