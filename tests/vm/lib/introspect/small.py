# SPDX-License-Identifier: Apache-2.0
"""Small guests: a kernel, busybox and the programs of tests/vm/guest; saved when they have told the truth."""
import dataclasses
import pathlib
import shutil
import subprocess

from .kernels import boot_file, kernel, run
from .machine import Machine, initramfs
from .truth import Truth

HERE = pathlib.Path(__file__).resolve().parents[2] / "guest"
# Loaded in the guest where they are modules; what they need is loaded first.
MODULES = ["virtio_pci", "virtio_blk", "virtio_net", "ext4", "crc32c_generic", "crc32c_intel", "overlay", "dummy",
           "af_packet", "unix_diag", "tcp_diag", "udp_diag", "inet_diag", "raw_diag", "nls_utf8"]
BOOT_TIMEOUT_S = 400
BULK_SIZE = 128 << 20


@dataclasses.dataclass
class Case:
    """A guest to boot. `words` go to its init, `extra` to QEMU."""
    name: str
    suite: str
    flavour: str
    machine: str = "pc"
    memory_mib: int = 256
    cpus: int = 1
    words: str = ""
    extra: tuple = ()


# The debug console that the last look comes through, and what stops the machine behind it.
LAST_DEVICES = ["-debugcon", "file:last", "-device", "pvpanic,ioport=0x2e0", "-action", "panic=pause"]


def build_programs(work):
    """The guest's programs, static: {path in the guest: file}."""
    programs = {"bin/actor": sorted(HERE.glob("actor*.c")), "bin/collect": sorted(HERE.glob("collect*.c"))}
    files = {}
    for name, sources in programs.items():
        target = work / pathlib.Path(name).name
        subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-static", "-pthread", "-o", str(target), *map(str, sources)],
                       check=True)
        files[name] = target
    return files


def arguments(case, work, root):
    """QEMU's arguments; makes the disks."""
    for name, size in (("disk.img", 96 << 20), ("bulk", BULK_SIZE), ("swap.img", 64 << 20)):
        with open(work / name, "wb") as out:
            out.truncate(size)
    # No lazy initialisation: its kernel thread ends whenever it is done.
    run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(work / "disk.img"))
    drives = ["disk.img", "bulk"] + (["swap.img"] if "swap" in case.words.split() else [])
    # Without cmpxchg16b, whose emulation by QEMU 7.2 spoils the flags: kernels that use it in their allocator die of it.
    # The timer's interrupts come late on a busy host, which the kernel would take for a broken board.
    result = ["-cpu", "qemu64,-cx16", "-M", case.machine, "-m", str(case.memory_mib), "-smp", str(case.cpus), "-kernel", str(boot_file(root)),
              "-initrd", str(work / "initramfs.img"), "-append", f"console=ttyS0 panic=-1 no_timer_check {case.words}".rstrip(),
              "-netdev", "user,id=n,restrict=on", "-device", "virtio-net-pci,netdev=n,romfile=",
              *LAST_DEVICES]
    for drive in drives:
        result += ["-drive", f"file={work / drive},format=raw,if=virtio"]
    return result + list(case.extra)


def boot(case, work):
    """Boots the case and saves it into work: memory.mig, memory.core, disk.img, console. What the guest said."""
    root = kernel(case.suite, case.flavour)
    image = initramfs(root, work, (HERE / "init").read_text(), MODULES, build_programs(work))
    with Machine(work, arguments(case, work, root)) as machine:
        machine.wait_paused(BOOT_TIMEOUT_S)
        truth = Truth.read(work / "bulk", work / "last")
        machine.save(work / "memory.mig")
        machine.dump(work / "memory.core")
    image.unlink()
    (work / "memory.core").chmod(0o600)
    return truth


def keep(work, target):
    """Copies what a case has left to a directory; the full guest leaves no disk of its own."""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("memory.mig", "memory.core", "disk.img", "bulk", "last", "console"):
        if (work / name).exists():
            shutil.copy(work / name, target)
