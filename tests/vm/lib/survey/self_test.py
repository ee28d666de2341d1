# SPDX-License-Identifier: Apache-2.0
"""That commands of a script's own are seen, and debhelper's are not; without a guest."""
import pathlib
import subprocess
import tempfile

from . import report, rule, scripts
from .campaign import verdict
from .replay import faults

IDLE = rb"""#!/bin/sh
# postinst script
set -e
. /usr/share/debconf/confmodule
case "$1" in
    configure)
    ;;
    abort-upgrade|abort-remove|abort-deconfigure)
    ;;
    *)
        echo "postinst called with unknown argument \`$1'" >&2
        exit 1
    ;;
esac
# Automatically added by dh_installsystemd/13.11.4
if [ -d /run/systemd/system ]; then
	deb-systemd-invoke start 'x.service' >/dev/null || true
fi
# End automatically added section
exit 0
"""

CASES = [
    ("debhelper's alone", IDLE, 0),
    ("nothing", b"", 0),
    ("a command", IDLE + b"update-alternatives --install /usr/bin/a a /usr/bin/b 10\n", 1),
    ("a command in a branch", b"#!/bin/sh\ncase $1 in configure) adduser x ;; esac\n", 1),
    ("a command behind a condition", b'#!/bin/bash\nif [ "$1" = configure ] && dpkg --compare-versions "$2" lt 1; then\nfi\n', 1),
    ("a command in an assignment", b"#!/bin/sh\nx=$(tempfile)\n", 1),
    ("a command in a message", b"#!/bin/sh\necho $(id)\n", 1),
    ("a message into a file", b"#!/bin/sh\necho a >/etc/a\n", 1),
    ("a plain assignment", b"#!/bin/sh\nx=1; export x=2\n", 0),
    ("a command over two lines", b"#!/bin/sh\nrm \\\n  -f /x\n", 1),
    ("perl", b"#!/usr/bin/perl\n# x\nunlink '/x';\n", 1),
]


def package_of(script):
    """own commands of a real package file with this postinst."""
    with tempfile.TemporaryDirectory() as directory:
        control = pathlib.Path(directory, "p/DEBIAN")
        control.mkdir(parents=True, mode=0o755)
        (control / "control").write_text("Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n")
        (control / "postinst").write_bytes(script)
        (control / "postinst").chmod(0o755)
        file = pathlib.Path(directory, "a.deb")
        subprocess.run(["dpkg-deb", "--build", "--root-owner-group", control.parent, file], check=True, capture_output=True)
        return scripts.of_package(file)


def checks():
    """(name, whether it is so)"""
    for name, text, n in CASES:
        yield f"{name}: {n} commands", len(scripts.own_commands(text)) == n
    yield "a package without commands of its own", package_of(IDLE) == {}
    yield "a package with some", package_of(IDLE + b"rm -f /x\nldconfig\n") == {"postinst": 2}
    # The survey's order may never change.
    yield "the order is that of the rule", rule.shuffled(["ed", "nginx", "tmux", "zsh"]) == ["zsh", "ed", "tmux", "nginx"]
    yield "offline", verdict({"actions": []}) == "offline"
    yield "recorded", verdict({"actions": [{}]}) == "recorded"
    yield "deferred", verdict({"actions": [{}], "deferred": [{}]}) == "deferred"
    good = {"actions": [{"argv": ["a"], "status": 0}, {"argv": ["b"], "status": 0, "skipped": "gone"}], "failed_actions": 0}
    bad = {"actions": [{"argv": ["a"], "status": 3, "journal": "why"}], "failed_actions": 1}
    yield "nothing is wrong in a good guest", not list(faults(good, "", "open", []))
    yield "all that can be wrong is said", len(list(faults(bad, "audit", "closed", ["a 1"]))) == 4
    drawing = {"drawn": [{"name": "a", "version": "1", "scripts": {"postinst": 1}, "installs": ["a"]}] * 2, "seed": "s",
               "passed_over": {}, "looked_at": 2, "population": 9}
    text = "## The survey\n\n### What failed or was deferred\n\n| a | 1 | postinst | offline | 1 | 0 | 5 | day |\n| b | 1 | preinst | failed | 1 | 0 |  | day |\n"
    results = [{"name": name, "verdict": "offline", "date": "day 2"} for name in ("a", "b", "not-drawn")]
    again = report.with_sample(report.with_sample(text, results[:1]), results)
    yield "a sample", again.count("### Run again since") == 1 and "2 of them" in again and "; 1 came out" in again
    yield "what came out otherwise", "- b: failed there, offline now" in again and report.with_sample(again, []) == text
    yield "a share", "| failed | 2 | 100.0 % |" in report.summary(drawing, {"a": {"verdict": "failed"}})
    page = "| a | succeeded | 2 | 1 | 54 |\n| b | not run | | | |\n| c | status 1 (earlier) | 0 | 0 | 9 |\n"
    names = [{"name": name} for name in "abcd"]
    lines = report.of_replays(names, {"d": {"failure": "", "resume": {"online_s": 7}}}, page)
    rows = [line for line in lines if line[:3] in ("| a", "| b", "| c", "| d")]
    yield "replays of before", (sorted(rows) == ["| a | succeeded (earlier) | 2 | 1 | 54 |", "| b | not run | | | |",
                                                 "| c | status 1 (earlier) | 0 | 0 | 9 |", "| d | succeeded | 0 | 0 | 7 |"]
                                and lines[2].startswith("1 of 1 replays that were run succeeded; 1 of 2 of earlier runs")
                                and lines[2].endswith("1 were not run."))


def main(say):
    wrong = 0
    for name, so in checks():
        say(f"{'ok' if so else 'not ok'} {name}")
        wrong += not so
    return 1 if wrong else 0
