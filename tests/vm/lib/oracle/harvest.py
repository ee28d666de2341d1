# SPDX-License-Identifier: Apache-2.0
"""What the conventional way came to, kept: nothing of it is the work of the program under test.

The directory of a step holds `key` (what it depends on), `disk.qcow2`, `facts` (the guest's words) and `about.json`.
"""
import hashlib
import json
import os
import pathlib
import shutil

from .shell import LIB

# What the conventional copy is made and asked with.
MADE_BY = ("oracle/archive.py", "oracle/guests.py", "oracle/collect", "vm.sh", "vmtool")


class Kept:
    """A conventional copy of an earlier run, as far as a comparison asks for it."""

    def __init__(self, directory):
        self.disk = directory / "disk.qcow2"
        self.text = (directory / "facts").read_text(errors="surrogateescape")
        about = json.loads((directory / "about.json").read_text())
        self.seconds, self.date = about["seconds"], about["date"]


def mark(file):
    """A file that is never written again, once it is there."""
    found = file.stat()
    return [str(file), found.st_size, found.st_mtime_ns]


def key_of(start, archive, chain, step):
    """One line that is another when the conventional copy might be. The archive has what all steps of `chain` name."""
    parts = [mark(start.directory / name) for name in ("disk.qcow2", "memory.mig")]
    parts += [step.words, step.pockets, archive.dates, sorted(chain.packages)]
    parts += [hashlib.sha256((LIB / name).read_bytes()).hexdigest() for name in MADE_BY]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def find(directory, key):
    directory = pathlib.Path(directory)
    file = directory / "key"
    return Kept(directory) if file.exists() and file.read_text() == key else None


def keep(directory, key, guest, text, seconds, date):
    """Takes the disk of a guest that has stopped; by a second name, if it can: a step may begin with that disk."""
    directory = pathlib.Path(directory)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    try:
        os.link(guest.disk, directory / "disk.qcow2")
    except OSError:
        shutil.copyfile(guest.disk, directory / "disk.qcow2")
    (directory / "facts").write_text(text, errors="surrogateescape")
    (directory / "about.json").write_text(json.dumps({"seconds": seconds, "date": date}))
    # Last: without it there is nothing.
    (directory / "key").write_text(key)
