# SPDX-License-Identifier: Apache-2.0
"""That the oracle finds what it is there to find: differences made by hand, without a guest."""
import gzip
import os
import pathlib
import stat
import tempfile
import time
import types

from . import canon, facts, harvest, plan, report, tolerances, tree

OLD_NS = 10**18


def twins(root):
    """Two equal trees, as two copies of one disk would be, but for inode numbers and change times."""
    for name in ("a", "b"):
        top = pathlib.Path(root, name)
        (top / "etc/sub").mkdir(parents=True)
        for file in ("content", "mode", "owner", "xattrs", "time", "type", "gone", "one", "new-time", "log"):
            (top / "etc" / file).write_text("the same\n")
            os.utime(top / "etc" / file, ns=(OLD_NS, OLD_NS))
        os.link(top / "etc/one", top / "etc/other")
        os.symlink("one", top / "etc/target")
        os.mknod(top / "etc/device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        for directory in ("etc/sub", "etc", "."):
            os.utime(top / directory, ns=(OLD_NS, OLD_NS))
        os.utime(top / "etc/target", ns=(OLD_NS, OLD_NS), follow_symlinks=False)
    return pathlib.Path(root, "a"), pathlib.Path(root, "b")


def alter(top):
    etc = top / "etc"
    (etc / "content").write_text("the SAME\n")
    os.utime(etc / "content", ns=(OLD_NS, OLD_NS))
    (etc / "mode").chmod(0o4755)
    os.chown(etc / "owner", 1, 2)
    os.setxattr(etc / "xattrs", "user.x", b"1")
    os.utime(etc / "time", ns=(OLD_NS + 1, OLD_NS + 1))
    (etc / "type").unlink()
    os.symlink("the same\n", etc / "type")
    (etc / "gone").unlink()
    (etc / "new").write_text("")
    (etc / "other").unlink()
    (etc / "other").write_text("the same\n")
    os.utime(etc / "other", ns=(OLD_NS, OLD_NS))
    (etc / "target").unlink()
    os.symlink("two", etc / "target")
    (etc / "device").unlink()
    os.mknod(etc / "device", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    os.utime(etc / "new-time")
    (etc / "log").write_text("another line\n")
    os.utime(etc, ns=(OLD_NS, OLD_NS))


EXPECTED = {("/etc/content", "content"), ("/etc/mode", "mode"), ("/etc/owner", "owner"), ("/etc/xattrs", "xattrs"),
            ("/etc/time", "time"), ("/etc/type", "type"), ("/etc/gone", "exists"), ("/etc/new", "exists"),
            ("/etc/one", "links"), ("/etc/other", "links"), ("/etc/target", "target"), ("/etc/target", "time"),
            ("/etc/device", "device"), ("/etc/new-time", "time"), ("/etc/log", "content"), ("/etc/log", "time")}


def trees(check):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as root:
        a, b = twins(root)
        found = set()
        tree.compare(a, b, time.time_ns(), lambda path, what, *_: found.add((path, what)))
        check("equal trees are equal", found, {("/etc/device", "time")} & found)
        alter(b)
        found.clear()
        tree.compare(a, b, time.time_ns(), lambda path, what, *_: found.add((path, what)))
        check("every kind of difference is found", found - {("/etc/device", "time"), ("/etc/gone", "time")}, EXPECTED)
        entry = tolerances.Entry("/etc/log  content,time  the reason")
        judge = tolerances.Judge([entry])
        tree.compare(a, b, time.time_ns(), judge.take)
        check("an entry excuses its own and nothing else", sorted(judge.excused["/etc/log"]), ["/etc/log (content)", "/etc/log (time)"])
        check("the rest stays", {fault["path"] for fault in judge.faults} >= {"/etc/content", "/etc/new"}, True)


def entries(check):
    for line in ("/usr/lib/  content  a folder of programs", "/etc/  time  a folder", "/boot/grub/  content  a folder",
                 "/etc/x*  content  a pattern", "/etc/x  colour  no such aspect", "/etc/x  content", "/usr/  exists  all"):
        try:
            tolerances.Entry(line)
            check(f"refused: {line}", "taken", "refused")
        except tolerances.Wrong:
            check(f"refused: {line}", "refused", "refused")
    folder = tolerances.Entry("/var/log/  content  logs")
    check("a folder and what is below, nothing beside it",
          [folder.excuses(path, "content") for path in ("/var/log", "/var/log/a/b", "/var/logs", "/var/log/a")],
          [True, True, False, True])
    check("the root directory is no folder", tolerances.Entry("/  time  it").excuses("/etc/x", "time"), False)
    check("only its aspects", folder.excuses("/var/log/a", "mode"), False)
    check("the file of entries keeps its rules", bool(tolerances.load()), True)
    check("the file of sets, too", len(plan.load()) > 20, True)


def newc(name, content, mtime, inode):
    fields = [inode, 0o100644, 0, 0, 1, mtime, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    data = b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0"
    data += b"\0" * (-len(data) % 4)
    return data + content + b"\0" * (-len(content) % 4)


def initramfs(files, mtime, pack):
    end = newc(b"TRAILER!!!", b"", 0, 0)
    early = newc(b"kernel/microcode", b"early", mtime, 1) + end + b"\0" * 512
    main = b"".join(newc(name, content, mtime, i) for i, (name, content) in enumerate(files)) + end
    return early + (gzip.compress(main, mtime=mtime) if pack else main)


def berkeley_db(items, filling):
    """A hash of one page behind its header, with `filling` wherever nothing is meant."""
    header = bytearray(filling * 512)
    header[12:16], header[20:24] = (0x061561).to_bytes(4, "little"), (512).to_bytes(4, "little")
    page, start = bytearray(filling * 512), 512
    for i, item in enumerate(items):
        start -= len(item)
        page[start:start + len(item)] = item
        page[26 + 2 * i:28 + 2 * i] = start.to_bytes(2, "little")
    page[20:22], page[25] = len(items).to_bytes(2, "little"), 13
    return bytes(header + page)


def java_store(time, *certificates):
    """A key store of Java with (name, certificate)."""
    entries = b"".join(b"\0\0\0\2" + len(name).to_bytes(2, "big") + name + time.to_bytes(8, "big") + b"\0\5X.509" +
                       len(content).to_bytes(4, "big") + content for name, content in certificates)
    return canon.JAVA_MAGIC + len(certificates).to_bytes(4, "big") + entries + b"digest of 20 bytes.."


def meanings(check):
    files = [(b"init", b"#!/bin/sh\n"), (b"etc/fstab", b"")]
    one = canon.initramfs(initramfs(files, 1, True))
    check("an initramfs of another time and order", canon.initramfs(initramfs(files[::-1], 2, False)), one)
    check("an initramfs with another file", canon.initramfs(initramfs([*files, (b"x", b"")], 1, True)) != one, True)
    check("an initramfs with another content", canon.initramfs(initramfs([(b"init", b"#!/bin/sh -x\n"), files[1]], 1, True)) != one, True)
    check("paragraphs in another order", canon.stanzas(b"A: 1\nB: 2\n\nC: 3\n"), canon.stanzas(b"C: 3\n\nA: 1\nB: 2\n\n"))
    private = "/tmp/systemd-private-" + "0" * 32 + "-redis.service-"
    check("a random name", canon.canon_path(f"{private}MduYrD/tmp"), canon.canon_path(f"{private}w3F3qR/tmp"))
    check("a name that is not", canon.canon_path("/tmp/MduYrD"), "/tmp/MduYrD")
    one = canon.berkeley_db(berkeley_db([b"\1a", b"\1x", b"\1b", b"\1y"], b"1"))
    check("a database of another number and order", canon.berkeley_db(berkeley_db([b"\1b", b"\1y", b"\1a", b"\1x"], b"2")), one)
    earlier, later = ([b"\1a", b"\1x", b"\1YP_LAST_MODIFIED", b"\1" + time] for time in (b"1795312390", b"1795312399"))
    check("a database of another time", canon.berkeley_db(berkeley_db(earlier, b"1")), canon.berkeley_db(berkeley_db(later, b"1")))
    check("a database with another value", canon.berkeley_db(berkeley_db([b"\1a", b"\1x", b"\1b", b"\1z"], b"1")) != one, True)
    check("a port that was drawn", canon.canon_socket("tcp 127.0.0.1:39323"), canon.canon_socket("tcp 127.0.0.1:60999"))
    for line in ("tcp 127.0.0.1:32767", "tcp 127.0.0.1:61000", "tcp 0.0.0.0:39323"):
        check(f"a port that was not: {line}", canon.canon_socket(line), line)
    one = canon.java_certificates(java_store(1, (b"a", b"A"), (b"b", b"B")))
    check("a key store of another time and order", canon.java_certificates(java_store(2, (b"b", b"B"), (b"a", b"A"))), one)
    check("a key store with another certificate", canon.java_certificates(java_store(1, (b"a", b"A"), (b"b", b"C"))) != one, True)
    check("another paragraph", canon.stanzas(b"A: 1\n\nC: 3\n") != canon.stanzas(b"A: 1\n\nC: 4\n"), True)


SAID = """== jobs
== system
running
== failed
== units
cron.service loaded active running Regular background program processing daemon
== unit-files
cron.service enabled enabled
== main
MainPID=7
Id=cron.service
== cgroups
/proc/7/cgroup:0::/system.slice/cron.service
== programs
/proc/7 /usr/sbin/cron
== maps
== sockets
tcp 0.0.0.0:22
== modules
ext4
== audit
== memory-files
/run/crond.pid|f|644|0:0|
== done
"""
OTHER = {"active running": ("failed failed", "unit:cron.service"), "enabled enabled": ("masked enabled", "unit-file:cron.service"),
         "/usr/sbin/cron": ("/usr/sbin/cron (deleted)", "stale:cron.service"), "0.0.0.0:22": ("0.0.0.0:80", "socket:tcp 0.0.0.0:80"),
         "ext4": ("xfs", "module:xfs"), "|644|": ("|600|", "/run/crond.pid"), "running\n==": ("degraded\n==", "system:state"),
         "== maps": ("== maps\n/proc/7/maps:1-2 r-xp 0 fe:02 12   /usr/lib/libc.so (deleted)", "stale:cron.service")}


def failures(check):
    def faults(unit, offline="absent", conventional="not-found failed failed"):
        found = [("failed:x.service", "absent", "failed"), (f"unit:{unit}", offline, conventional), ("system:state", "running", "degraded")]
        result = {"found": [{"path": path, "what": "state", "offline": one, "conventional": other} for path, one, other in found]}
        return len(tolerances.judge(result, [])["differences"])

    check("the failed stop of a unit that is gone is apt's own", faults("x.service"), 0)
    check("that of a unit that is there is a fault", faults("x.service", "loaded active running", "loaded failed failed"), 3)
    check("and what another unit is", faults("y.service"), 3)


def what_runs(check):
    found = []
    facts.compare(facts.Facts(SAID), facts.Facts(SAID), (), lambda *difference: found.append(difference))
    check("equal facts are equal", found, [])
    for text, (other, name) in OTHER.items():
        names = set()
        facts.compare(facts.Facts(SAID.replace(text, other)), facts.Facts(SAID), (), lambda path, *_: names.add(path))
        check(f"found: {name}", name in names, True)
    names = set()
    facts.compare(facts.Facts(SAID), facts.Facts(SAID.replace("/usr/sbin/cron", "/usr/sbin/cron (deleted)")),
                  (), lambda path, *_: names.add(path))
    check("old code in the other copy alone is no fault", names, set())
    facts.compare(facts.Facts(SAID.replace("/usr/sbin/cron", "/usr/sbin/cron (deleted)")), facts.Facts(SAID), {"7"},
                  lambda path, *_: names.add(path))
    check("old code that was reported is no fault", names, set())
    try:
        facts.Facts(SAID.replace("== done", ""))
        check("a text without its end is refused", False, True)
    except ValueError:
        check("a text without its end is refused", True, True)


class Archive:
    dates = {"release": "one day"}


def kept_copies(check):
    """A conventional copy is taken again for what it was made for, and for nothing else."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        top = pathlib.Path(directory)
        guest, start = top / "guest.qcow2", types.SimpleNamespace(directory=top / "start")
        start.directory.mkdir()
        for file in (guest, start.directory / "disk.qcow2", start.directory / "memory.mig"):
            file.write_text("here")
        chain, one, other = plan.Chain("x", []), plan.Step("x", "install", ["a"]), plan.Step("x", "install", ["b"])
        more = plan.Chain("x", [("upgrade", ["c"])])
        key = harvest.key_of(start, Archive, chain, one)
        check("nothing is kept before", harvest.find(top / "kept", key), None)
        harvest.keep(top / "kept", key, types.SimpleNamespace(disk=guest), "facts\udc80", 7.5, "today")
        found = harvest.find(top / "kept", harvest.key_of(start, Archive, chain, one))
        check("what was kept is found", (found.text, found.seconds, found.date, found.disk.read_text()), ("facts\udc80", 7.5, "today", "here"))
        check("not for other packages", harvest.find(top / "kept", harvest.key_of(start, Archive, chain, other)), None)
        check("not where more is on offer", harvest.find(top / "kept", harvest.key_of(start, Archive, more, one)), None)
        os.utime(start.directory / "memory.mig", ns=(OLD_NS, OLD_NS))
        check("not for another start", harvest.find(top / "kept", harvest.key_of(start, Archive, chain, one)), None)
        key = harvest.key_of(start, Archive, chain, one)
        later = types.SimpleNamespace(dates={"release": "another day"})
        check("not for other packages of the same names", harvest.key_of(start, later, chain, one) != key, True)


def pages(check):
    """Rows of steps without a result stay as they were, and are counted apart."""
    steps = [plan.Step("a", "install", []), plan.Step("a", "remove", []), plan.Step("b", "install", []), plan.Step("c", "install", [])]
    result = {"set": "a", "step": "install", "packages": [], "date": "day 1", "program": "0", "archive": {}, "passed": True, "differences": []}
    wrong = {**result, "step": "remove", "passed": False,
             "differences": [{"path": "/x", "what": "mode", "offline": "1", "conventional": "2"}]}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        file = pathlib.Path(directory, "page.md")
        for results in ([result, wrong], [{**result, "set": "b", "date": "day 2"}], [{**result, "set": "b", "date": "day 2"}]):
            text = report.document(results, steps, [], report.Page(file))
            file.write_text(text + "## The survey\n\nof before\n")
        page = report.Page(file)
        check("the survey stays", page.survey, "## The survey\n\nof before\n")
    check("counted apart", "1 steps with a result on this machine: 1 passed. 2 of earlier runs, whose results are gone (\"earlier\" in "
          "the table): 1 passed. 1 were not run." in text, True)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| a |", "| b |", "| c |"))]
    check("their verdicts and dates", [(row[2], row[-1]) for row in rows], [
        ("same", "day 1 (earlier) |"), ("1 differences", "day 1 (earlier) |"), ("same", "day 2 |"), ("not run", "|")])
    check("what was wrong in them", text.count("- `/x` mode: offline `1`, conventional `2`"), 1)


def main(say):
    failed = []

    def check(name, found, expected):
        if found != expected:
            failed.append(name)
        say(f"ok {name}" if found == expected else f"not ok {name}: found {found!r}, expected {expected!r}")

    trees(check)
    entries(check)
    meanings(check)
    failures(check)
    what_runs(check)
    kept_copies(check)
    pages(check)
    return 1 if failed else 0
