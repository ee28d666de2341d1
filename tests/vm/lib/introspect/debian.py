# SPDX-License-Identifier: Apache-2.0
"""A full Debian 12 with systemd: the suspended guest of the other tests (tests/vm/recipes/demo), woken, asked and stopped."""
import pathlib
import re
import shlex
import subprocess

from .kernels import Skip
from .machine import Machine
from .small import BULK_SIZE, LAST_DEVICES, build_programs
from .truth import Truth

TESTS = pathlib.Path(__file__).resolve().parents[2]
NAME = "guest"
MEMORY_MIB = 512
WAKE_TIMEOUT_S = 120
COLLECT_TIMEOUT_S = 300


def shell(script, *arguments):
    result = subprocess.run(["bash", "-euo", "pipefail", "-c", f". {TESTS / 'lib/vm.sh'}; {script}", "-", *map(str, arguments)],
                            capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{script}: {result.stderr.strip()[-500:]}")
    return result.stdout


def suspended_guest():
    """Its directory; it is built where it is not there."""
    result = subprocess.run([TESTS / "build-guest", "demo"], stdout=subprocess.PIPE, text=True)
    if result.returncode:
        raise Skip("the Debian guest cannot be built")
    return result.stdout.strip()


def wake(work):
    """The guest as it was suspended, and a disk for its truth."""
    shell('vm_copy "$1" "$2" "$3" user', suspended_guest(), work, NAME)
    with open(work / "bulk", "wb") as out:
        out.truncate(BULK_SIZE)
    command = shlex.split(shell('vm_command "$1" "$1.qcow2" user "$2" 0', NAME, MEMORY_MIB))
    machine = Machine.of_command(work, f"{NAME}.qmp", f"{NAME}.console",
                                 [*command, *LAST_DEVICES, "-incoming", f"exec:cat {NAME}.mig", "-S"])
    try:
        machine.wait(lambda: machine.command("query-status")["status"] != "inmigrate", WAKE_TIMEOUT_S)
        machine.command("cont")
        machine.command("blockdev-add", **{"driver": "raw", "node-name": "bulk", "file": {"driver": "file", "filename": "bulk"}})
        machine.command("device_add", driver="virtio-blk-pci", drive="bulk", id="bulk", serial="truth", addr="8")
    except BaseException:
        machine.close()
        raise
    return machine


class Agent:
    """What the guest's agent does for us."""

    def __init__(self, work):
        self.work = work

    def run(self, script):
        return shell('vm_exec "$1" "$2" /bin/sh -c "$3"', self.work, NAME, script)

    def put(self, source, target):
        shell('vm_put "$1" "$2" "$3" "$4"', self.work, NAME, source, target)


def boot(work):
    """Wakes the guest and saves it into work, as small.boot() does; the truth, and what systemd said of its units."""
    programs = build_programs(work)
    with wake(work) as machine:
        agent = Agent(work)
        shell('vm_wait "$1" "$2" 120', work, NAME)
        # udev looks at what appears, also at modules: before the truth is told.
        agent.run("modprobe -a inet_diag tcp_diag udp_diag raw_diag unix_diag; while [ ! -b /dev/vdb ]; do sleep 1; done")
        agent.put(programs["bin/collect"], "/var/tmp/collect")
        agent.put(programs["bin/actor"], "/var/tmp/actor")
        # Threads, sockets and names in a unit of their own.
        agent.run("chmod 755 /var/tmp/collect /var/tmp/actor; mkdir -p /mnt/data; "
                  "systemd-run -q -p Type=forking --unit=actor /var/tmp/actor threads; sleep 8; sync")
        units = agent.run("systemctl list-units --plain --no-legend --state=running --type=service,scope | cut -d' ' -f1")
        agent.run("setsid /var/tmp/collect /dev/vdb /run /dev/shm >/var/tmp/collect.log 2>&1 </dev/null &")
        machine.wait_paused(COLLECT_TIMEOUT_S)
        truth = Truth.read(work / "bulk", work / "last")
        (work / f"{NAME}.mig").unlink()
        machine.save(work / "memory.mig")
        machine.dump(work / "memory.core")
    (work / "console").write_bytes((work / f"{NAME}.console").read_bytes())
    return truth, set(re.findall(r"\S+", units))
