# SPDX-License-Identifier: Apache-2.0
"""The experiment's times in doc/xen.md, between two marks."""
import datetime
import os
import pathlib
import subprocess

PAGE = pathlib.Path(__file__).resolve().parents[5] / "doc/xen.md"
BEGIN, END = "<!-- begin: tests/vm/xen.test --report -->\n", "<!-- end -->\n"
ROWS = (
    ("the update on a host without Xen, not emulated, while the domain sleeps", "update of bcc"),
    ("**waking it with ouassister**: from the first instruction to the open gate", "online"),
    ("of that: until the helper runs in the domain, by ssh", "at started"),
    ("and until the files are exchanged", "at switched"),
    ("all of `resume`, with `xl restore -p`", "resume"),
    ("**waking it by `xl restore`**: from its end to the end of `apt-get update` and `apt-get install bcc`", "apt"),
    ("`xl restore` alone", "xl restore"),
    ("`xl save` alone", "xl save"),
    ("`ouassister suspend` (`xl save`, and the file on the disk)", "suspend"),
)


def versions(log):
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], check=True, capture_output=True, text=True).stdout.split()[3]
    return f"{log}, QEMU {qemu}'s software emulation"


def section(seconds, log):
    lines = [f"{datetime.date.today():%d %B %Y}: {versions(log)}; a PV domain of 512 MiB with 1 processor. Seconds of dom0's clock,",
             f"while the machine's load was {os.getloadavg()[2]:.1f} with {os.cpu_count()} processors:", "", "| what | s |", "| --- | --- |"]
    lines += [f"| {text} | {seconds[name]:.1f} |" for text, name in ROWS if name in seconds]
    lines += ["", f"The conventional way takes {seconds['apt'] / seconds['online']:.1f} times as long ({seconds['apt']:.0f} s, without the "
              "download of Debian's index: the archive has only what is",
              f"installed), and the domain is on the network with its old programs all the while; with ouassister for {seconds['online']:.0f} s "
              "behind the gate.", ""]
    return "\n".join(lines)


def write(seconds, log):
    """Replaces what is between the marks."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise RuntimeError(f"{PAGE}: the marks are gone")
    PAGE.write_text(before + BEGIN + section(seconds, log) + END + after)
