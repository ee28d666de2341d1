# SPDX-License-Identifier: Apache-2.0
"""The disk of a stopped guest as a read-only tree, made without any code of the program under test.

QEMU's storage daemon shows the disk through FUSE, with a throw-away layer that takes the replay of the journal.
"""
import contextlib
import json
import os
import pathlib
import subprocess
import time

from .shell import Failed, run

# Where guest.sh puts the root's partition.
ROOT_OFFSET = 4096 * 512
START_S = 60


def daemon_words(disk, layer, exported):
    file = {"driver": "file", "filename": str(layer)}
    # The backing chain stands in the layer's own header.
    node = {"driver": "qcow2", "node-name": "layer", "file": file}
    export = {"type": "fuse", "id": "disk", "node-name": "layer", "mountpoint": str(exported), "writable": True}
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", disk, layer)
    # It ends with us, however we end.
    return ["setpriv", "--pdeathsig", "TERM", "qemu-storage-daemon", "--blockdev", json.dumps(node), "--export",
            json.dumps(export)]


def await_export(daemon, exported):
    """The exported file has the disk's size as soon as it is there."""
    end = time.monotonic() + START_S
    while exported.stat().st_size == 0:
        if daemon.poll() is not None or time.monotonic() > end:
            raise Failed(f"qemu-storage-daemon does not show {exported}")
        time.sleep(0.05)


@contextlib.contextmanager
def looped(exported):
    """A loop device over the root's partition; e2fsck forgets the offset of a file after a replay."""
    device = run("losetup", "--find", "--show", "--offset", ROOT_OFFSET, exported).strip()
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


def replay(device):
    result = subprocess.run(["e2fsck", "-p", "-E", "journal_only", device], stdin=subprocess.DEVNULL, capture_output=True,
                            text=True)
    if result.returncode not in (0, 1):
        raise Failed(f"the journal cannot be replayed: {result.stdout[-500:]}{result.stderr[-500:]}")


@contextlib.contextmanager
def mounted(disk, work):
    """The root directory of the disk; `work`: an absent directory of our own. The mount namespace must be ours."""
    work = pathlib.Path(work)
    work.mkdir()
    exported, root = work / "disk", work / "root"
    exported.touch()
    root.mkdir()
    daemon = subprocess.Popen(daemon_words(pathlib.Path(disk).resolve(), work / "layer.qcow2", exported),
                              stdin=subprocess.DEVNULL)
    try:
        await_export(daemon, exported)
        with looped(exported) as device:
            replay(device)
            run("mount", "-o", "ro,nosuid,nodev", device, root)
            try:
                yield root
            finally:
                run("umount", root)
    finally:
        daemon.terminate()
        daemon.wait()
        (work / "layer.qcow2").unlink(missing_ok=True)
        exported.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.rmdir(root)
            os.rmdir(work)
