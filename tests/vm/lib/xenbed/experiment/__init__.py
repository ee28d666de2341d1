# SPDX-License-Identifier: Apache-2.0
"""The paper's experiment, on an emulated Xen: a domain saved by `xl save` gets bcc while it sleeps, and by its own apt once it
is awake. It is updated on this host, where no Xen runs, and suspended and resumed by ouassister in dom0; the jobs beside this
file say what is done there and what must hold.

The archive is one of these packages alone, on this host: the conventional way does not pay for the download of Debian's index.
"""
import contextlib
import functools
import http.server
import json
import pathlib
import platform
import re
import shutil
import subprocess
import tempfile
import threading
import time

from introspect.kernels import Skip, Suite, boot_file, kernel, run
from introspect.machine import initramfs

from .. import bed

HERE = pathlib.Path(__file__).resolve().parent
LIB = HERE.parents[1]
PACKAGES = ("bcc", "bin86", "elks-libc", "tree")
SLEEP_TIMEOUT_S, TIMEOUT_S = 2400, 3600
MODULES = ["xen_blkfront", "xen_netfront", "ext4", "crc32c_generic", "crc32c_intel"]
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r m; do insmod "$m"; done < /modules.order
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/xvda2 ] && [ -e /sys/class/net/eth0 ] && break; sleep 0.3; done
ip address add 192.168.90.40/24 dev eth0
ip link set eth0 up
ip route add default via 192.168.90.2
mkdir /root
mount -t ext4 -o ro /dev/xvda2 /root
mount -t tmpfs -o mode=755,nosuid,nodev run /root/run
mkdir -p /root/run/up /root/run/systemd/system/multi-user.target.wants
cp /up /root/run/up
cp /up.service /root/run/systemd/system
ln -s ../up.service /root/run/systemd/system/multi-user.target.wants
umount /sys /proc
exec switch_root /root /sbin/init
"""
UNIT = """[Unit]
Description=Says when all is up
[Service]
Type=exec
ExecStart=/bin/sh /run/up/up
StandardOutput=file:/dev/hvc0
TimeoutStartSec=infinity
"""
# Two processes of no service: one that nobody disturbs, and one that tries to reach the neighbour for ever.
UP = """export PATH=/usr/sbin:/usr/bin:/sbin:/bin
systemctl is-system-running --wait
systemd-run --quiet --scope setsid sleep 1000000 >/dev/null 2>&1 </dev/null &
systemd-run --quiet --scope setsid ping -q -i 0.2 192.168.90.50 >/dev/null 2>&1 </dev/null &
sync
sleep 5
sync
echo "the guest is up"
"""
CONFIG = """name = 'guest'
type = 'pv'
kernel = '/job/vmlinux'
ramdisk = '/job/initrd'
extra = 'console=hvc0 panic=-1 systemd.getty_auto=0 quiet'
memory = 512
vcpus = 1
disk = [ 'format=raw,vdev=xvda,access=w,script=block-plain,target=/dev/vdb' ]
vif = [ 'mac=00:16:3e:00:00:40,bridge=xenbr0' ]
on_crash = 'destroy'
"""
VM_FILE = """[vm]
driver = xen
memory = /mnt/{memory}.save
disk = /mnt/disk
format = raw
[xen]
domain = guest
[channel]
type = ssh
ssh = root@192.168.90.40
key = /mnt/ssh_key
[update]
sources = /mnt/sources.list
"""
SOURCES = "deb [trusted=yes] http://{}:{} ./\n"


def network():
    """QEMU's arguments for dom0's card. Its other end is this host's 127.0.0.1, where nothing but the archive is asked for."""
    return ["-netdev", "user,id=out,net=192.168.90.0/24,host=192.168.90.2,dhcpstart=192.168.90.100",
            "-device", "virtio-net-pci,netdev=out,romfile="]


# --- the archive --- #

def fill_archive(directory):
    suite = Suite("bookworm")
    suite.update()
    ended = subprocess.run(["apt-get", *suite.options, "download", *PACKAGES], cwd=directory, capture_output=True, text=True)
    if ended.returncode:
        raise Skip(f"apt-get download: {ended.stderr.strip()[-200:]}")
    run("bash", "-c", '. "$0" && repository_index "$1"', str(LIB / "repository.sh"), str(directory))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def own_address():
    """An address of this host's that dom0 and a shadow reach alike."""
    shown = json.loads(run("ip", "-j", "-4", "address", "show", "scope", "global"))
    addresses = [address["local"] for interface in shown for address in interface["addr_info"]]
    if not addresses:
        raise Skip("this host has no address but 127.0.0.1 to serve packages from")
    return addresses[0]


@contextlib.contextmanager
def archive():
    """Serves the packages; yields the sources.list."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        fill_archive(pathlib.Path(name))
        address = own_address()
        with http.server.ThreadingHTTPServer((address, 0), functools.partial(Quiet, directory=name)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield SOURCES.format(address, server.server_port)
            finally:
                server.shutdown()


# --- the domain --- #

def debian():
    """The directory of a Debian disk that was never booted, and the key that opens it."""
    return pathlib.Path(run("bash", "-euo", "pipefail", "-c", '. "$0"; guest_disk debian12', str(LIB / "guest.sh")).strip())


def overlay(backing, target):
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(backing), str(target))
    return target, "qcow2"


def put_common(job, base):
    for name in ("common", "vif-plain"):
        shutil.copy(HERE / name, job / name)
    shutil.copy(base / "ssh_key", job / "ssh_key")
    (job / "ssh_key").chmod(0o600)
    (job / "config").mkdir()


def make_sleeping(directory):
    """Boots the domain and has it saved: guest.save, disk.qcow2, processes, results."""
    base, root, job = debian(), kernel("bookworm", "cloud"), directory / "job"
    job.mkdir()
    put_common(job, base)
    shutil.copy(HERE / "job-sleep", job / "job")
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        for file, text in (("up", UP), ("up.service", UNIT)):
            (work / file).write_text(text)
        shutil.move(initramfs(root, work, INIT, MODULES, {file: work / file for file in ("up", "up.service")}), job / "initrd")
    (job / "vmlinux").write_bytes(bed.unpacked_kernel(boot_file(root)))
    (job / "guest.cfg").write_text(CONFIG)
    # Relative: the cache may be moved.
    disk = overlay(f"../{base.name}/disk.qcow2", directory / "disk.qcow2")
    results = ["guest.save", "guest-console", "processes", "results"]
    bed.run_job(job, [disk], results, SLEEP_TIMEOUT_S, recipe=bed.WHOLE, network=network())
    for name in (*results, "console", "job.log", "guest.cfg"):
        shutil.move(job / name, directory / name)
    (directory / "guest.save").chmod(0o600)
    shutil.rmtree(job)


def sleeping():
    """The directory of the sleeping domain; made where it is not there."""
    parts = [bed.dom0(bed.WHOLE).name, kernel("bookworm", "cloud").name, debian().name, INIT, UNIT, UP, CONFIG, network()]
    parts.append((HERE / "job-sleep").read_bytes())
    return bed.cached(f"xen-sleeping-{bed.key(*parts)}", make_sleeping)


# --- the two ways --- #

JOBS = {"wake": "bcc", "apt": None, "killed": "tree"}  # what is installed elsewhere before
BACK = ["results", "said", "resume.json", "apt.log", "lists"]


class Stage:
    """Copies of the sleeping domain, and what is needed to wake it. What the jobs leave is kept in `kept`/NAME; one that has
    come to its end there already is not done again."""

    def __init__(self, ouassister, sources, kept):
        self.ouassister, self.sources, self.kept, self.sleeper = ouassister, sources, kept, sleeping()
        self.disk = kept / "disk.raw"
        self.updated = 0.0

    def update(self, package, image):
        began = time.monotonic()
        ended = subprocess.run([HERE / "update-elsewhere", image, self.disk, self.ouassister, package], capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(f"the update elsewhere ended with {ended.returncode}: {ended.stderr[-600:]}")
        self.updated = time.monotonic() - began

    def put(self, name, job):
        put_common(job, debian())
        shutil.copy(HERE / f"job-{name}", job / "job")
        shutil.copy(self.ouassister, job / "ouassister")
        shutil.copy(self.sleeper / "processes", job / "processes")
        shutil.copy(self.sleeper / "guest.save", job / "guest.save")
        (job / "guest.save").chmod(0o600)
        for vm, memory in (("domain", "guest"), ("second", "second")):
            (job / f"{vm}.vm").write_text(VM_FILE.format(memory=memory))
        (job / "sources.list").write_text(self.sources)

    def do(self, name):
        """What the job says, as lines."""
        job, package, failure = self.kept / name, JOBS[name], None
        if (job / "lines").exists():
            return (job / "lines").read_text().splitlines()
        if not self.disk.exists():
            run("qemu-img", "convert", "-O", "raw", str(self.sleeper / "disk.qcow2"), str(self.disk))
        shutil.rmtree(job, ignore_errors=True)
        job.mkdir()
        self.put(name, job)
        disk = self.kept / f"{name}.qcow2"
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(self.disk), str(disk))
        try:
            bed.run_job(job, [(disk, "qcow2")], BACK, TIMEOUT_S, 2600, bed.WHOLE, network(),
                        (lambda image: self.update(package, image)) if package else None)
        except RuntimeError as why:
            failure = " | ".join(str(why).splitlines())
        for large in (job / "guest.save", disk):
            large.unlink()
        lines = (job / "results").read_text(errors="replace").splitlines() if (job / "results").exists() else []
        lines += [f"not ok the job {name}: {failure}"] if failure else []
        if package:
            lines.append(f"seconds update of {package} {self.updated:.1f}")
        if not failure:
            (job / "lines").write_text("".join(f"{line}\n" for line in lines))
        return lines


def versions(kept):
    """What it was measured with, as Xen itself says it."""
    said = re.search(r"Xen version (\S+)", (kept / "wake/xl-dmesg").read_text(errors="replace"))
    return f"Xen {said[1] if said else 4.17}, Debian 12 in dom0 and in the domain"


def take(checks, lines, seconds):
    """Counts a job's lines, and keeps its times."""
    for line in lines:
        if line.startswith("seconds "):
            name, _, value = line.removeprefix("seconds ").rpartition(" ")
            seconds[name] = float(value)
        elif line.startswith("not ok "):
            name, _, why = line.removeprefix("not ok ").partition(": ")
            checks.check(name, why or "no reason")
        else:
            checks.check(line.removeprefix("ok "), "")


def experiment(checks, ouassister, kept):
    """Does all; the times in seconds, by their names."""
    if platform.freedesktop_os_release().get("VERSION_ID") != "12":
        raise Skip("dom0 is Debian 12, and what is built here may need newer libraries")
    with archive() as sources:
        stage, seconds = Stage(ouassister, sources, kept), {}
        take(checks, (stage.sleeper / "results").read_text().splitlines(), seconds)
        for name in JOBS:
            take(checks, stage.do(name), seconds)
    with contextlib.suppress(FileNotFoundError, ValueError):
        document = json.loads((kept / "wake/resume.json").read_text())
        seconds["online"] = document["online_s"]
        seconds.update({"at " + event["event"]: event["t_s"] for event in document["timeline"]})
    return seconds
