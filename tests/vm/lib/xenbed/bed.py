# SPDX-License-Identifier: Apache-2.0
"""Xen 4.17 of Debian 12 under QEMU's software emulation, with a small dom0 that does one job and goes off.

The parts are kept under $OUASSISTER_TEST_CACHE: xen-dom0-KEY/ has dom0.img, xen, vmlinux and initrd. A job is a directory
with a script `job`, sourced by dom0's process 1 (dom0-init here), and all that it needs; it comes back with job.log, status
and what the job left. Everything is emulated, twice over for PVH domains: minutes, not seconds.
"""
import contextlib
import dataclasses
import fcntl
import hashlib
import inspect
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import time

from introspect.kernels import CACHE, Skip, boot_file, kernel, run
from introspect.machine import initramfs

HERE = pathlib.Path(__file__).resolve().parent
GUEST_LIB = HERE.parent / "guest.sh"
PACKAGES = ("xen-utils-4.17", "xenstore-utils", "xen-hypervisor-4.17-amd64", "iproute2", "bridge-utils", "kmod", "nftables",
            "openssh-client", "procps")
MODULES = ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic", "crc32c_intel", "xen_evtchn", "xen_gntdev",
           "xen_gntalloc", "xenfs", "xen_privcmd", "xen_blkback", "xen_netback", "bridge", "nf_tables", "nft_compat")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A dom0: what it has beside the above, how large its disk is, and its memory and the whole machine's."""
    packages: tuple = ()
    modules: tuple = ()
    disk_mib: int = 600
    memory_mib: int = 640
    machine_mib: int = 2048


PLAIN = Recipe()
# One where ouassister itself runs: tools/packages/run but for QEMU's machine, and the libraries it is linked with.
WHOLE = Recipe(packages=("qemu-system-common", "qemu-utils", "slirp4netns", "fuse3", "e2fsprogs", "mount", "zstd", "ca-certificates",
                         "libjansson4", "libssl3", "libglib2.0-0", "libbpf1", "libblkid1", "libmount1", "libext2fs2", "libfuse3-3",
                         "libseccomp2", "libsystemd0", "libcap2", "libnftables1", "libarchive13", "libzstd1", "libxml2",
                         "iputils-ping"),
               modules=("virtio_net", "loop", "fuse", "overlay", "tun", "veth", "af_packet", "nft_reject_inet", "nft_ct",
                        "nft_meta_bridge"),
               disk_mib=1200, memory_mib=1024, machine_mib=2560)
DOM0_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
while read -r m; do insmod "$m" || echo "no $m"; done < /modules.order
for i in 1 2 3 4 5 6 7 8 9; do [ -b /dev/vda ] && break; sleep 0.3; done
mkdir /root
mount -t ext4 /dev/vda /root && mount --move /dev /root/dev && exec switch_root /root /dom0-init
"""
XEN_WORDS = "console=com1 com1=115200 dom0_mem={0}M,max:{0}M loglvl=warning guest_loglvl=warning noreboot"
DOM0_WORDS = "console=hvc0 root=/dev/ram0 quiet"
# +svm and +npt: PVH domains need hardware's help, which QEMU emulates. Without cx16: see introspect/small.py. Other models kill
# dom0 or hang Xen.
CPU = "qemu64,-cx16,+svm,+npt"


def key(*parts):
    """What a cached directory's name ends in: a change of anything it is made of makes another one."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else str(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:12]


def cached(name, fill):
    """The directory `name` of the cache; where it is not there, fill(directory) makes it, all or nothing."""
    target, partial = CACHE / name, CACHE / f"{name}.partial"
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(mode=0o700)
            began = time.monotonic()
            fill(partial)
            partial.rename(target)
            print(f"# {name} took {time.monotonic() - began:.0f} s", flush=True)
    return target


UNPACKERS = {b"\xfd7zXZ\0": ["xz", "-dc"], b"\x02\x21\x4c\x18": ["lz4", "-dc"], b"\x28\xb5\x2f\xfd": ["zstd", "-dc"]}


def unpacked_kernel(image):
    """The ELF file in a bzImage: unpacking it here takes a second, in an emulated boot a minute.

    Linux' Documentation/arch/x86/boot.rst: where it lies is in the header; its size follows it, which is no packer's.
    """
    data = image.read_bytes()
    offset, size = struct.unpack_from("<II", data, 0x248)
    at = (data[0x1f1] + 1) * 512 + offset
    packed = data[at:at + size - 4]
    tool = next((tool for magic, tool in UNPACKERS.items() if packed.startswith(magic)), None)
    if not tool:
        raise Skip(f"{image.name} is compressed in a way that is not known")
    return subprocess.run(tool, input=packed, check=True, stdout=subprocess.PIPE).stdout


def sources(suite):
    return run("bash", "-c", '. "$0" && guest_sources "$1"', str(GUEST_LIB), suite)


def make_dom0(recipe, directory):
    """Fills dom0.img, xen, vmlinux, initrd."""
    root = kernel("bookworm", "generic")
    (directory / "vmlinux").write_bytes(unpacked_kernel(boot_file(root)))
    initramfs(root, directory, DOM0_INIT, MODULES + recipe.modules).rename(directory / "initrd")
    tree = directory / "tree"
    with open(directory / "build.log", "w") as log:
        made = subprocess.run(["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--components=main",
                               "--include=" + ",".join(PACKAGES + recipe.packages), "--aptopt=APT::Install-Recommends \"false\"", "bookworm",
                               str(tree), "-"], input=sources("bookworm"), text=True, stdout=log, stderr=log)
    if made.returncode:
        raise Skip("mmdebstrap: " + (directory / "build.log").read_text()[-300:])
    (directory / "xen").write_bytes(subprocess.run(["zcat", *map(str, tree.glob("boot/xen-*-amd64.gz"))], check=True,
                                                   stdout=subprocess.PIPE).stdout)
    shutil.copy(HERE / "dom0-init", tree / "dom0-init")
    shutil.copy(HERE / "block-plain", tree / "etc/xen/scripts/block-plain")
    for name in ("boot", "var/cache/apt", "var/lib/apt", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(tree / name)
    disk_of(tree, directory / "dom0.img", recipe.disk_mib)
    shutil.rmtree(tree)


def disk_of(tree, image, mebibytes):
    """An ext4 disk with what is in the tree."""
    run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=0", "-d", str(tree), str(image), f"{mebibytes}M")


def dom0(recipe=PLAIN):
    """The directory of a dom0's parts; made where it is not there."""
    parts = [repr(recipe), PACKAGES, MODULES, DOM0_INIT, kernel("bookworm", "generic").name]
    parts += [(HERE / name).read_bytes() for name in ("dom0-init", "block-plain")]
    parts += [inspect.getsource(function) for function in (make_dom0, disk_of, unpacked_kernel)]
    return cached(f"xen-dom0-{key(*parts)}", lambda directory: make_dom0(recipe, directory))


def drives(paths):
    """QEMU's arguments for disks: paths, or (path, format)."""
    result = []
    for entry in paths:
        path, kind = entry if isinstance(entry, tuple) else (entry, "raw")
        result += ["-drive", f"file={path},format={kind},if=virtio,cache=unsafe"]
    return result


def run_job(job, disks, back, timeout_s, room_mib=1600, recipe=PLAIN, network=(), prepare=None):
    """Boots Xen, has dom0 do the job (a directory) with the disks (vdb and on), fetches the files `back` into the job.

    The job's own disk is the last one; prepare(image), where given, does something with it before. `network`: QEMU's arguments.
    A job that fails, or does not end, is an error with the end of its log.
    """
    parts = dom0(recipe)
    with tempfile.TemporaryDirectory(prefix="ouassister-xen-", dir="/var/tmp") as name:
        work = pathlib.Path(name)
        disk_of(job, work / "job.img", room_mib)
        if prepare:
            prepare(work / "job.img")
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(parts / "dom0.img"), str(work / "dom0.qcow2"))
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "pc", "-nodefaults", "-display", "none",
                   "-no-reboot", "-qmp", f"unix:{work / 'qmp'},server=on,wait=off", "-cpu", CPU, "-m", str(recipe.machine_mib),
                   "-smp", "2", "-serial", f"file:{job / 'console'}",
                   "-kernel", str(parts / "xen"), "-append", XEN_WORDS.format(recipe.memory_mib),
                   "-initrd", f"{parts / 'vmlinux'} {DOM0_WORDS},{parts / 'initrd'}", *network,
                   *drives([(work / "dom0.qcow2", "qcow2"), *disks, work / "job.img"])]
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            machine.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"dom0 did not end in {timeout_s} s:\n" + console_end(job)) from None
        finally:
            machine.kill()
            machine.wait()
        for file in ("status", "job.log", "xl-dmesg", *back):
            fetch(work / "job.img", file, job / file)
        run("debugfs", "-R", f"rdump /xen-log {job}", str(work / "job.img"), stderr=subprocess.DEVNULL)
    status = (job / "status").read_text().strip() if (job / "status").exists() else "nothing"
    if status != "0":
        log = (job / "job.log").read_text(errors="replace")[-1500:] if (job / "job.log").exists() else console_end(job)
        raise RuntimeError(f"the job in dom0 ended with {status}:\n{log}")


def console_end(job):
    return (job / "console").read_text(errors="replace")[-1500:]


def fetch(image, path, target):
    """A file out of the job's disk; none where it is not there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target)
    run("debugfs", "-R", f"dump -p /{path} {target}", str(image), stderr=subprocess.DEVNULL)
