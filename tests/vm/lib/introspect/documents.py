# SPDX-License-Identifier: Apache-2.0
"""What the program under test says of a memory image."""
import decimal
import json
import pathlib
import subprocess
import time

from .truth import records

TIMEOUT_S = 60


class Program:
    """`ouassister VERB --memory FILE --json`, and guest-dump for what no verb prints."""

    def __init__(self, ouassister, dump, image, checks):
        self.ouassister, self.dump, self.image, self.checks = ouassister, dump, image, checks
        self.proc_dump = pathlib.Path(dump).parents[1] / "shadow/proc-dump"

    def verb(self, verb, *options, arguments=()):
        """The document of a verb; None where the verb failed, which is said."""
        command = [self.ouassister, verb, "--memory", str(self.image), "--json", *options, *arguments]
        result, took = self.run(command)
        if result.returncode == 0:
            # Times have nine digits behind the point.
            return json.loads(result.stdout, parse_float=decimal.Decimal)
        why = result.stderr.decode(errors="replace").strip()[-300:]
        self.checks.check(" ".join([verb, *options, *map(str, arguments)]), f"exit status {result.returncode}: {why}")
        return None

    def cat(self, path):
        """(exit status, bytes, errors) of `cat PATH`."""
        result, _ = self.run([self.ouassister, "cat", "--memory", str(self.image), path])
        return result.returncode, result.stdout, result.stderr

    def facts(self, *subjects):
        """guest-dump's document."""
        result, took = self.run([self.dump, str(self.image), *subjects])
        if result.returncode:
            why = result.stderr.decode(errors="replace").strip()[-300:]
            self.checks.check(f"guest-dump {' '.join(subjects)}", f"exit status {result.returncode}: {why}")
            return None
        return json.loads(result.stdout)

    def proc(self):
        """What proc-dump says that /proc holds: ({path: bytes}, {path: why it is not there}). Of links the target."""
        ended, _ = self.run([str(self.proc_dump), "--records", str(self.image)])
        if ended.returncode:
            why = ended.stderr.decode(errors="replace").strip()[-300:]
            self.checks.check("proc-dump", f"exit status {ended.returncode}: {why}")
            return None
        places = {"F": {}, "E": {}, "W": {}}
        for kind, path, content in records(ended.stdout):
            places[kind][path.decode()] = content
        return places["F"], places["E"]

    @staticmethod
    def run(command):
        start = time.monotonic()
        result = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S)
        return result, time.monotonic() - start
