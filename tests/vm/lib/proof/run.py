# SPDX-License-Identifier: Apache-2.0
"""Runs the programs of the list in the shadow and compares each with what it printed live.

usage: run.py OUASSISTER VM-FILE LIVE-TAR PIDS PROGRAMS [NAME...]

LIVE-TAR is what `collect` wrote in the guest, PIDS the line of `pids`. Prints a line a check; "# shadow" and "# live" of
what differs go below $PROOF_KEEP, if that is set.
"""
import os
import pathlib
import subprocess
import sys
import tarfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from proof.rules import RULES, Moment  # noqa: E402


def read_list(path):
    for line in pathlib.Path(path).read_text().splitlines():
        if line and not line.startswith(("#", "+")):
            name, rule, command = line.split(" ", 2)
            if rule != "skip":
                yield name, rule, command


class Shadow:
    def __init__(self, program, vm, pids):
        self.program, self.vm = program, vm
        self.variables = [f"--env={name}={pid}" for name, pid in zip(("nginx", "sshd", "cron", "www"), pids)]

    def run(self, command):
        return subprocess.run([self.program, "exec", *self.variables, self.vm, "--", "sh", "-c", command],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=300)


def read_live(path):
    with tarfile.open(path) as tar:
        return {member.name.removeprefix("./"): tar.extractfile(member).read() for member in tar if member.isfile()}


def keep(name, live, shadow):
    if "PROOF_KEEP" not in os.environ:
        return
    for where, text in (("live", live), ("shadow", shadow)):
        path = pathlib.Path(os.environ["PROOF_KEEP"]) / where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)


def check(shadow, live, name, rule, command, pid_end, uptime_now):
    """`uptime_now`: what a program that has just begun in the shadow reads."""
    shift = uptime_now - float(live[f"{name}.uptime"].split()[0])
    now = time.time()
    moment = Moment(pid_end, shift, now - float(live[f"{name}.date"]) - shift, now)
    run = shadow.run(command)
    keep(f"{name}.out", live[f"{name}.out"], run.stdout)
    keep(f"{name}.err", live[f"{name}.err"], run.stderr)
    wrong = RULES[rule](live[f"{name}.out"], run.stdout, moment)
    if run.returncode != int(live[f"{name}.status"]):
        wrong = f"exit status {run.returncode}, live {int(live[f'{name}.status'])}; {wrong}"
    if run.stderr != live[f"{name}.err"]:
        wrong = f"stderr -{live[f'{name}.err'][:150]!r} +{run.stderr[:150]!r}; {wrong}"
    return wrong


def main():
    program, vm, tar, pids, programs, *only = sys.argv[1:]
    live, shadow, failed = read_live(tar), Shadow(program, vm, pids.split()), 0
    # The shadow's own processes have numbers above the guest's at the suspend: maybe less than the measuring had live.
    pid_end = min(int(live["pid"]), int(shadow.run("echo $$").stdout))
    uptime_now = float(shadow.run("cat /proc/uptime").stdout.split()[0])
    for name, rule, command in read_list(programs):
        if only and name not in only:
            continue
        try:
            wrong = check(shadow, live, name, rule, command, pid_end, uptime_now)
        except (subprocess.TimeoutExpired, ValueError, IndexError, KeyError, AttributeError, TypeError) as error:
            wrong = f"{type(error).__name__}: {error}"
        failed += bool(wrong)
        print(f"not ok {name}: {wrong}" if wrong else f"ok {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
