# SPDX-License-Identifier: Apache-2.0
"""A QEMU that boots a small root made of busybox and an init script, and can be stopped, saved and dumped."""
import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import time

from .kernels import content, module_files

QMP_TIMEOUT_S = 20
SAVE_TIMEOUT_S = 300


def initramfs(root, work, init, modules=(), files=None):
    """A busybox root with `init`, a kernel package's modules (/modules.order says the order) and files {path: source}."""
    tree = work / "initramfs"
    for name in ("bin", "proc", "sys", "dev", "modules"):
        (tree / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), tree / "bin/busybox")
    names = []
    for path in module_files(root, modules):
        names.append("modules/" + path.name.removesuffix(".xz").removesuffix(".zst"))
        (tree / names[-1]).write_bytes(content(path))
    (tree / "modules.order").write_text("".join(f"/{name}\n" for name in names))
    for name, source in (files or {}).items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tree / name)
    (tree / "init").write_text(init)
    (tree / "init").chmod(0o755)
    target = work / "initramfs.img"
    listing = "\n".join(str(p.relative_to(tree)) for p in [tree, *sorted(tree.rglob("*"))])
    with open(target, "wb") as out:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=tree, input=listing.encode(), stdout=out, check=True)
    shutil.rmtree(tree)
    return target


class Machine:
    """A running QEMU and its QMP connection."""

    def __init__(self, work, arguments, program="qemu-system-x86_64"):
        """`arguments`: what the machine is; console and control are added.

        One thread for all CPUs: before 8.1, QEMU may keep what it translated of an instruction that another CPU was patching
        (accel/tcg did not hold the page's lock from reading to linking), and the kernel dies of an int3 that is long gone.
        """
        work = pathlib.Path(work)
        self.start(work, "qmp", "console", [program, "-accel", "tcg,thread=single", "-nodefaults", "-display", "none", "-no-reboot",
                                            "-serial", f"file:{work / 'console'}",
                                            "-qmp", f"unix:{work / 'qmp'},server=on,wait=off", *arguments])

    @classmethod
    def of_command(cls, work, qmp, console, command):
        """A whole command line, run in `work`, that makes the socket `qmp` and the file `console` there."""
        machine = cls.__new__(cls)
        machine.start(pathlib.Path(work), qmp, console, command)
        return machine

    def start(self, work, qmp, console, command):
        self.work, self.console = work, work / console
        self.console.touch()
        self.process = subprocess.Popen(command, cwd=work, stdin=subprocess.DEVNULL)
        try:
            self.connection, self.lines = self.connect(work / qmp)
            self.lines.readline()
            self.command("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    def connect(self, path):
        """A connection to one of QEMU's sockets, as (socket, file)."""
        end = time.monotonic() + QMP_TIMEOUT_S
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(path))
                return connection, connection.makefile("rw")
            except OSError:
                connection.close()
                if time.monotonic() > end or self.process.poll() is not None:
                    raise RuntimeError(f"QEMU's socket {path.name} does not answer") from None
                time.sleep(0.1)

    def command(self, name, **arguments):
        self.lines.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.lines.flush()
        while line := self.lines.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"{name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise RuntimeError(f"{name}: QEMU ended")

    def said(self):
        return self.console.read_text(errors="replace")

    def wait_said(self, text, timeout_s):
        """Waits for a text on the serial console; all that it said."""
        return self.wait(lambda: (said := self.said()) and text in said and said, timeout_s)

    def wait_paused(self, timeout_s):
        """Waits until the guest has stopped itself (a pvpanic device and -action panic=pause)."""
        return self.wait(lambda: not self.command("query-status")["running"], timeout_s)

    def wait(self, condition, timeout_s):
        end = time.monotonic() + timeout_s
        while time.monotonic() < end and self.process.poll() is None:
            value = condition()
            if value:
                return value
            time.sleep(0.05)
        raise RuntimeError("the guest did not get there; its console ends in:\n" + self.said()[-1500:])

    def save(self, target):
        """A migration stream of the stopped guest."""
        self.migrate(f"exec:cat > {target}")

    def migrate(self, uri):
        """Writes the guest's state to a place that only takes it, like a file."""
        self.command("migrate", uri=uri)
        end = time.monotonic() + SAVE_TIMEOUT_S
        while time.monotonic() < end:
            status = self.command("query-migrate").get("status")
            if status == "completed":
                return
            if status == "failed":
                break
            time.sleep(0.1)
        raise RuntimeError(f"migrate to {uri}: {status}")

    def dump(self, target):
        """An ELF core."""
        self.command("dump-guest-memory", paging=False, protocol=f"file:{target}")

    def pmemsave(self, target, start, size):
        """Guest-physical memory as it is."""
        self.command("pmemsave", val=start, size=size, filename=str(target))

    def close(self):
        with contextlib.suppress(Exception):
            self.connection.close()
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.close()
