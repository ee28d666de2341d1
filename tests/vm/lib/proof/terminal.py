# SPDX-License-Identifier: Apache-2.0
"""`exec` at a terminal: what a user types reaches the program, and the terminal is afterwards as it was before.

usage: terminal.py OUASSISTER VM-FILE: prints a line a check.
"""
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time

PROGRAM, VM = sys.argv[1:3]
FAILED = []


def report(name, holds, why=""):
    print(f"ok terminal: {name}" if holds else f"not ok terminal: {name}: {why!r}"[:600], flush=True)
    if not holds:
        FAILED.append(name)


class Terminal:
    """A pseudo terminal with `ouassister exec` before it."""

    def __init__(self, *arguments, rows=33, columns=101):
        self.master, self.slave = os.openpty()
        self.resize(rows, columns)
        self.before, self.text = termios.tcgetattr(self.slave), b""
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
            for fd in range(3):
                os.dup2(self.slave, fd)
            os.environ["TERM"] = "xterm"
            os.execv(PROGRAM, [PROGRAM, "exec", *arguments])

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            self.text += os.read(self.master, 65536)

    def expect(self, text, seconds=120):
        end = time.monotonic() + seconds
        while text not in self.text:
            if time.monotonic() > end:
                raise TimeoutError(f"no {text!r} in {self.text[-500:]!r}")
            self.read(0.1)
        at = self.text.index(text) + len(text)
        before, self.text = self.text[:at], self.text[at:]
        return before

    def type(self, text):
        os.write(self.master, text)

    def restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def end(self, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            self.read(0.1)
        os.kill(self.pid, signal.SIGTERM)
        raise TimeoutError(f"it did not end: {self.text[-500:]!r}")


def session():
    t = Terminal(VM, "--", "bash", "--norc")
    t.expect(b"# ")
    t.type(b"tty; stty size; echo $TERM; echo be''gun\n")
    text = t.expect(b"begun")
    report("a pseudo terminal of the shadow's own", b"/dev/pts/0\r\n" in text, text)
    report("window and kind of terminal", b"33 101\r\n" in text and b"xterm\r\n" in text, text)
    report("ours is raw meanwhile", not t.restored())
    # The words tell when the job runs; prompts lie about in the text from before.
    t.type(b"sh -c 'echo wai\\ting; exec sleep 1000'; echo en''ded $?\n")
    t.expect(b"waiting")
    t.type(b"\x03")
    t.expect(b"^C")
    text = t.expect(b"# ")
    report("Ctrl-C is the program's", b"ended" not in text, text)
    t.type(b"sh -c 'echo sto\\pme; exec sleep 1001'\n")
    t.expect(b"stopme")
    t.type(b"\x1a")
    t.expect(b"Stopped")
    # Whether bash says that it is terminated before or after the line, depends on who is faster.
    t.type(b"bg; kill %1; wait %1; echo wai''ted $?\n")
    t.expect(b"waited ")
    text = t.expect(b"\n")
    report("Ctrl-Z and jobs", text.startswith(b"143"), text)
    t.resize(50, 200)
    time.sleep(0.5)
    t.type(b"stty size\n")
    report("a changed window", bool(t.expect(b"50 200")))
    t.type(b"cat; echo g''ot $?\n")
    time.sleep(0.5)
    t.type(b"line\n\x04")
    report("Ctrl-D", bool(t.expect(b"got 0")))
    t.type(b"vi -u NONE /root/file\n")
    t.expect(b"/root/file")
    time.sleep(1)
    t.type(b"ihello\x1b:wq\n")
    time.sleep(1)
    t.type(b"clear; echo 'in the file:' $(cat /root/file)\n")
    report("an editor", bool(t.expect(b"in the file: hello")))
    t.type(b"less /etc/passwd\n")
    t.expect(b"root:x:0:0")
    time.sleep(1)
    t.type(b"q")
    t.type(b"top -n 1 | cat -v; echo pag''ed\n")
    report("a pager, and top", b"Tasks:" in t.expect(b"paged"))
    t.type(b"exit 9\n")
    report("its exit status", t.end() == 9)
    report("ours is as it was before", t.restored())


def signals():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        t = Terminal(VM, "--", "sh", "-c", "trap '' TERM HUP INT; echo begun; sleep 1000")
        t.expect(b"begun")
        os.kill(t.pid, number)
        status = t.end()
        report(f"{number.name}: 128 and the signal, restored", status == 128 + number and t.restored(), status)
    t = Terminal(VM, "--", "sh", "-c", "echo begun; sleep 1000")
    t.expect(b"begun")
    worker = int(subprocess.check_output(["pgrep", "-P", str(t.pid)]).split()[0])
    os.kill(worker, signal.SIGKILL)
    report("its worker killed: restored", t.end() == 137 and t.restored())
    t = Terminal("--timeout=2", VM, "--", "sleep", "1000")
    report("a time limit: 124, restored", t.end() == 124 and t.restored())


def users():
    t = Terminal("--user=www-data", VM, "--", "sh", "-c", "echo typed >$(tty); id -un; cat /dev/stdin")
    text = t.expect(b"www-data")
    t.type(b"x\n\x04")
    report("a user has its own terminal", t.end() == 0 and b"typed" in text, text)
    run = subprocess.run([PROGRAM, "exec", "--tty", VM, "--", "sh", "-c", "test -t 0 && test -t 1 && cat"], input=b"a\nb",
                         capture_output=True, timeout=120)
    report("--tty without a terminal ends with its input", run.returncode == 0 and run.stdout.count(b"b") == 2, run)
    t = Terminal("--no-tty", VM, "--", "sh", "-c", "tty; test -t 1 || echo none")
    report("--no-tty", b"not a tty" in t.expect(b"none") and t.end() == 0)


for part in (session, signals, users):
    try:
        part()
    except (TimeoutError, OSError) as error:
        report(part.__name__, False, str(error))
sys.exit(1 if FAILED else 0)
