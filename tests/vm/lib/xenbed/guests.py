# SPDX-License-Identifier: Apache-2.0
"""Domains that were saved by `xl save` when they had told the truth (tests/vm/guest/collect.c): kept, as they are long in the
making. Each is a directory with guest.save and bulk, last, disk.img or disk.qcow2, console."""
import dataclasses
import pathlib
import shutil
import subprocess

from introspect.kernels import boot_file, kernel, run
from introspect.machine import initramfs
from introspect.small import BULK_SIZE, HERE as GUEST, build_programs
from introspect.truth import Truth

from . import bed

MODULES = ["xen_blkfront", "ext4", "crc32c_generic", "crc32c_intel", "overlay", "dummy", "af_packet", "unix_diag", "tcp_diag",
           "udp_diag", "inet_diag", "raw_diag", "nls_utf8"]
LAST_SIZE = 16 << 20
JOB_TIMEOUT_S = 2400
HERE = pathlib.Path(__file__).resolve().parent

# Starts the domain, gives it less memory where it asks for that, and saves it once it has told all.
JOB = """
say "creating"
xl create /job/guest.cfg
say "created"
%(balloon)s
await 1500 said guest collected
say "saving"
xl save guest /job/guest.save
say "saved"
console_of guest >/job/guest-console
"""
BALLOON = """
await 900 said guest "ready to give memory back"
say "taking memory"
xl mem-set guest %d
"""

# A system's own root, with one service more that is not on its disk.
DEBIAN_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
while read -r m; do insmod "$m"; done < /modules.order
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/xvdc ] && break; sleep 0.3; done
mkdir /root
mount -t ext4 -o ro /dev/xvda2 /root
mount -t tmpfs -o mode=755,nosuid,nodev run /root/run
mkdir -p /root/run/truth /root/run/systemd/system/multi-user.target.wants
cp /bin/actor /bin/collect /bin/tell /root/run/truth
cp /truth.service /root/run/systemd/system
ln -s ../truth.service /root/run/systemd/system/multi-user.target.wants
umount /proc
exec switch_root /root /sbin/init
"""
DEBIAN_UNIT = """[Unit]
Description=Tells the truth
[Service]
Type=exec
ExecStart=/bin/sh /run/truth/tell
StandardOutput=file:/dev/hvc0
TimeoutStartSec=infinity
"""
DEBIAN_TELL = """export PATH=/usr/sbin:/usr/bin:/sbin:/bin
systemctl is-system-running --wait
modprobe -a inet_diag tcp_diag udp_diag raw_diag unix_diag
mkdir -p /mnt/data
systemd-run -q -p Type=forking --unit=actor /run/truth/actor threads
echo "to be written" >/var/tmp/after-sync
sync
sleep 5
echo "known only to memory" >/var/tmp/unsynced
exec /run/truth/collect -o /dev/xvdc /dev/xvdb /run /dev/shm
"""


@dataclasses.dataclass
class Case:
    """A domain: `kind` is pv or pvh. `memory_mib` is what it begins with, `left_mib` what it is asked to keep (0: all)."""
    name: str
    kind: str
    cpus: int = 1
    memory_mib: int = 256
    left_mib: int = 0
    debian: bool = False


def config(case):
    """xl's configuration."""
    words = "console=hvc0 panic=-1 "
    words += "systemd.getty_auto=0 quiet" if case.debian else "xen"
    if case.left_mib:
        # What the balloon says is a little more than what xl is told.
        words += f" balloon={(case.left_mib + 4) << 10}"
    disks = ", ".join(f"'format=raw,vdev=xvd{own},access=w,script=block-plain,target=/dev/vd{dom0}'"
                      for dom0, own in zip("bcd", "abc"))
    return (f"name = 'guest'\ntype = '{case.kind}'\nkernel = '/job/vmlinux'\nramdisk = '/job/initrd'\nextra = '{words}'\n"
            f"memory = {case.memory_mib}\nvcpus = {case.cpus}\ndisk = [ {disks} ]\non_crash = 'destroy'\n")


def make_root(case, directory, work):
    """The domain's first disk: (path, format)."""
    if case.debian:
        base = run(str(GUEST.parent / "build-guest"), "debian12").strip()
        disk = directory / "disk.qcow2"
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", f"../{pathlib.Path(base).name}/disk.qcow2", str(disk))
        return disk, "qcow2"
    disk = directory / "disk.img"
    run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(disk), "96M")
    return disk, "raw"


def make_initrd(case, root, work):
    files = build_programs(work)
    if not case.debian:
        return initramfs(root, work, (GUEST / "init").read_text(), MODULES, files)
    for name, text in (("truth.service", DEBIAN_UNIT), ("tell", DEBIAN_TELL)):
        (work / name).write_text(text)
    files |= {"truth.service": work / "truth.service", "bin/tell": work / "tell"}
    return initramfs(root, work, DEBIAN_INIT, ["xen_blkfront", "ext4", "crc32c_generic", "crc32c_intel"], files)


def make(case, directory):
    """Runs the domain and saves it into the directory."""
    job = directory / "job"
    job.mkdir()
    root = kernel("bookworm", "cloud")
    (directory / "parts").mkdir()
    shutil.move(make_initrd(case, root, directory / "parts"), job / "initrd")
    shutil.rmtree(directory / "parts")
    (job / "vmlinux").write_bytes(bed.unpacked_kernel(boot_file(root)))
    (job / "guest.cfg").write_text(config(case))
    (job / "job").write_text(JOB % {"balloon": BALLOON % case.left_mib if case.left_mib else ""})
    for name, size in (("bulk", BULK_SIZE), ("last", LAST_SIZE)):
        with open(directory / name, "wb") as out:
            out.truncate(size)
    bed.run_job(job, [make_root(case, directory, job), directory / "bulk", directory / "last"],
                ["guest.save", "guest-console"], JOB_TIMEOUT_S)
    for name in ("guest.save", "guest-console", "console", "job.log", "guest.cfg"):
        shutil.move(job / name, directory / name)
    (directory / "guest.save").chmod(0o600)
    shutil.rmtree(job)


def saved(case):
    """The directory of the saved domain; made where it is not there."""
    parts = [pathlib.Path(__file__).read_bytes(), bed.dom0().name, repr(case), kernel("bookworm", "cloud").name]
    parts += [path.read_bytes() for path in sorted(GUEST.glob("*")) if "powerloss" not in path.name]
    return bed.cached(f"xen-{case.name}-{bed.key(*parts)}", lambda directory: make(case, directory))


def truth(directory):
    return Truth.read(directory / "bulk", directory / "last")
