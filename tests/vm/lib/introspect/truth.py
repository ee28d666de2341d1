# SPDX-License-Identifier: Apache-2.0
"""What collect (tests/vm/guest/collect.c) wrote down of its guest."""
import os
import re


def records(data):
    """(kind, path, data) of each record."""
    at = 0
    while at < len(data):
        end = data.index(b"\n", at)
        kind, path_size, size = data[at:end].split(b" ")
        at = end + 1
        path = data[at:at + int(path_size)]
        at += int(path_size)
        yield kind.decode(), path, data[at:at + int(size)]
        at += int(size)
        if kind == b"W" and path == b"end":
            return
    raise RuntimeError("the guest's words end in the middle")


class Truth:
    """Files, links, stat lines and netlink answers by path; all bytes. What came last wins."""

    def __init__(self):
        self.files, self.links, self.stats, self.netlink, self.words, self.errors = {}, {}, {}, {}, {}, {}
        # What the second look at the processes found: {pid: {tid: stat line}}.
        self.tasks = {}

    @classmethod
    def read(cls, bulk, last):
        truth = cls()
        truth.add(bulk.read_bytes())
        truth.add(last.read_bytes(), True)
        return truth

    def add(self, data, last=False):
        look = {}
        places = {"F": self.files, "L": self.links, "S": self.stats, "N": self.netlink, "W": self.words, "E": self.errors}
        for kind, path, content in records(data):
            places[kind][path] = content
            found = re.fullmatch(rb"/proc/(\d+)/task/(\d+)/stat", path)
            if last and kind == "F" and found:
                look.setdefault(int(found[1]), {})[int(found[2])] = content
            # Of several looks at the processes the last one counts.
            if (kind, path) == ("W", b"look"):
                self.tasks, look = look, {}
        self.tasks.update(look)

    def file(self, path):
        return self.files[os.fsencode(path)]

    def text(self, path):
        return self.file(path).decode("utf-8", "surrogateescape")

    def line(self, path):
        return self.text(path).removesuffix("\n")

    def word(self, name):
        return int(self.words[name.encode()])


# --- the formats of /proc --- #

def unescape(field):
    """A field of /proc/mounts and its like: \\ooo is a byte."""
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), field)
