# SPDX-License-Identifier: Apache-2.0
"""Hostile memory: bits of a real image turned over must end in an answer or an error."""
import subprocess

TIMEOUT_S = 900


def damage(flip_series, image, checks, rounds):
    """Every walk over `rounds` damaged copies of the kernel, none of which may take longer than 5 s."""
    result = subprocess.run([flip_series, str(image), str(rounds)], capture_output=True, text=True, timeout=TIMEOUT_S)
    checks.check(f"{rounds} damaged kernels end in an answer or an error", result.returncode and
                 (result.stdout + result.stderr)[-1000:].replace("\n", " | ") or "")
