# SPDX-License-Identifier: Apache-2.0
"""The shell functions of tests/vm/lib, and programs, called from Python."""
import pathlib
import subprocess

LIB = pathlib.Path(__file__).resolve().parents[1]


class Failed(Exception):
    """Something that the oracle needs did not work; says what."""


def run(*command, **options):
    """A program's output; its last words if it fails."""
    result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            errors="surrogateescape", **options)
    if result.returncode:
        raise Failed(f"{command[0]} {command[1] if len(command) > 1 else ''}: status {result.returncode}: "
                     f"{(result.stderr or result.stdout).strip()[-1500:]}")
    return result.stdout


def shell(library, script, *arguments):
    """A function of LIBRARY.sh: script sees the arguments as $1, $2, …"""
    return run("bash", "-euo", "pipefail", "-c", f". {LIB}/{library}.sh; {script}", "-", *arguments)
