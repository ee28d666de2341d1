# SPDX-License-Identifier: Apache-2.0
"""The same installation in a plain chroot of the guest's disk: whether a failure is the shadow's or the package's own."""
import subprocess

from oracle import disks
from oracle.guests import ENVIRONMENT, apt_words
from oracle.shell import run

# A namespace of its own for processes: what a script starts ends with it. No service manager: none is started by invoke-rc.d.
SCRIPT = """
set -e
root=$1; shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
printf '#!/bin/sh\\nexit 101\\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
cat >"$root/run/survey.list"
exec chroot "$root" env -i "$@" </dev/null
"""


def run_in(root, sources, words):
    source = ("Dir::Etc::SourceList=/run/survey.list", "Dir::Etc::SourceParts=/dev/null", "APT::Sandbox::User=root")
    return subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SCRIPT, "sh", root,
                           *ENVIRONMENT, *apt_words(words, source)], input=sources, capture_output=True, text=True,
                          errors="replace", timeout=1800)


def install(survey, name):
    """{"status", "output"} of apt."""
    layers = survey.work / "layers"
    layers.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", layers)
    try:
        for directory in ("upper", "work", "root"):
            (layers / directory).mkdir()
        with disks.mounted(survey.base.directory / "disk.qcow2", survey.work / "chroot") as lower:
            run("mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={layers}/upper,workdir={layers}/work", "overlay",
                layers / "root")
            try:
                sources = survey.sources.read_text()
                for words in (["update"], ["install", "-y", "--no-install-recommends", name]):
                    result = run_in(layers / "root", sources, words)
            finally:
                run("umount", layers / "root")
    finally:
        run("umount", layers)
        layers.rmdir()
    return {"status": result.returncode, "output": (result.stdout + result.stderr)[-4000:]}
