# SPDX-License-Identifier: Apache-2.0
"""Debian 12 as the host: its systemd, its settings and its AppArmor, under the kernel of Debian 12 or of 13, in QEMU's software
emulation. It has the libraries of ouassister and what that calls, does one job, and goes off.

The disk is kept under $OUASSISTER_TEST_CACHE: host-KEY/ has host.img and for each kernel KERNEL/ with vmlinuz and initrd. A job
is a directory with a script `job`, sourced by host-job, and all that it needs; it comes back with job.log, status, journal and
what the job left.
"""
import inspect
import pathlib
import re
import shutil
import subprocess
import tempfile

from introspect.kernels import Skip, boot_file, content, kernel, run
from introspect.machine import initramfs
from xenbed import bed

HERE = pathlib.Path(__file__).resolve().parent
KERNELS = {"debian12": ("bookworm", "cloud"), "debian13": ("trixie", "cloud")}
PACKAGES = ("systemd", "systemd-sysv", "udev", "dbus", "kmod", "procps", "apparmor", "openssh-client", "iproute2", "nftables",
            "util-linux", "libcap2-bin", "libcmocka0", "busybox-static", "acl", "attr", "xfsprogs", "btrfs-progs", "python3-minimal",
            "fdisk", "zstd")
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "ext4", "crc32c_generic", "crc32c_intel")
DISK_MIB = 6000
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
while read -r m; do insmod "$m" || echo "no $m"; done < /modules.order
for i in 1 2 3 4 5 6 7 8 9; do [ -b /dev/vda ] && break; sleep 0.3; done
mkdir /root
mount -t ext4 /dev/vda /root && mount --move /dev /root/dev && exec switch_root /root /sbin/init
"""
# Debian's own kernels enable AppArmor by themselves.
WORDS = "console=ttyS0 root=/dev/vda rw systemd.show_status=0 systemd.log_target=journal net.ifnames=0"


def put_modules(root, tree):
    """The kernel's modules, unpacked, where modprobe looks for them."""
    base = next(path for path in root.rglob("modules") if any(path.glob("*/kernel")))
    release = next(base.glob("*/kernel")).parent.name
    shutil.copytree(base / release, tree / "usr/lib/modules" / release, symlinks=True)
    run("chroot", str(tree), "depmod", release)


def make(directory):
    tree = directory / "tree"
    packages = sorted({*PACKAGES, *bed.WHOLE.packages} - {"iputils-ping"})
    with open(directory / "build.log", "w") as log:
        made = subprocess.run(["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--components=main",
                               "--include=" + ",".join(packages), '--aptopt=APT::Install-Recommends "false"', "bookworm", str(tree), "-"],
                              input=bed.sources("bookworm"), text=True, stdout=log, stderr=log)
    if made.returncode:
        raise Skip("mmdebstrap: " + (directory / "build.log").read_text()[-300:])
    for name, package in KERNELS.items():
        root, parts = kernel(*package), directory / name
        parts.mkdir()
        shutil.copy(boot_file(root), parts / "vmlinuz")
        initramfs(root, parts, INIT, MODULES).rename(parts / "initrd")
        put_modules(root, tree)
    configure(tree)
    bed.disk_of(tree, directory / "host.img", DISK_MIB)
    shutil.rmtree(tree)


def configure(tree):
    """What an installed host has; the root's password is nobody's affair."""
    shutil.copy(HERE / "host-job", tree / "host-job")
    shutil.copy(HERE / "host-job.service", tree / "etc/systemd/system/host-job.service")
    wants = tree / "etc/systemd/system/graphical.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "host-job.service").symlink_to("../host-job.service")
    (tree / "etc/hostname").write_text("host\n")
    (tree / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    for name in ("var/cache/apt", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(tree / name)


def host():
    """The directory of the host's parts; made where it is not there."""
    parts = [PACKAGES, MODULES, INIT, DISK_MIB, bed.WHOLE, *(kernel(*package).name for package in KERNELS.values())]
    parts += [(HERE / name).read_bytes() for name in ("host-job", "host-job.service")]
    parts += [inspect.getsource(function) for function in (make, configure, put_modules, bed.disk_of)]
    return bed.cached(f"host-{bed.key(*parts)}", make)


def run_job(name, job, back, timeout_s, network=(), room_mib=2600, memory_mib=2048):
    """Boots the host with one of KERNELS, has it do the job (a directory), fetches the files `back` into the job.

    A job that fails, or does not end, is an error with the end of its log.
    """
    parts = host()
    with tempfile.TemporaryDirectory(prefix="ouassister-host-", dir="/var/tmp") as directory:
        work = pathlib.Path(directory)
        bed.disk_of(job, work / "job.img", room_mib)
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(parts / "host.img"), str(work / "host.qcow2"))
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "pc", "-nodefaults", "-display", "none",
                   "-no-reboot", "-cpu", "max", "-m", str(memory_mib), "-smp", "2", "-serial", f"file:{job / 'console'}",
                   "-kernel", str(parts / name / "vmlinuz"), "-initrd", str(parts / name / "initrd"), "-append", WORDS, *network,
                   "-device", "virtio-rng-pci", *bed.drives([(work / "host.qcow2", "qcow2"), work / "job.img"])]
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            machine.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the host did not end in {timeout_s} s:\n" + bed.console_end(job)) from None
        finally:
            machine.kill()
            machine.wait()
        for file in ("status", "job.log", "journal", "dmesg", *back):
            bed.fetch(work / "job.img", file, job / file)
    status = (job / "status").read_text().strip() if (job / "status").exists() else "nothing"
    if status != "0":
        log = (job / "job.log").read_text(errors="replace")[-1500:] if (job / "job.log").exists() else bed.console_end(job)
        raise RuntimeError(f"the job in the host ended with {status}:\n{log}")
