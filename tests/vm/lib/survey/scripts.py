# SPDX-License-Identifier: Apache-2.0
"""Which maintainer scripts of a package file do more than debhelper's snippets."""
import io
import re
import subprocess
import tarfile

from oracle.shell import Failed

# An installation runs these.
NAMES = ("preinst", "postinst")

ADDED = re.compile(r"^[ \t]*# Automatically added by .*?^[ \t]*# End automatically added section[^\n]*\n?", re.M | re.S)
SHELL = re.compile(r"#! *(/usr)?/bin/(env +)?(ba|da)?sh\b")

# A branch's label: "configure|abort-upgrade)".
LABEL = re.compile(r"""\(?[\w"'*|?.\[\] -]+\)\s*""")

# What does nothing by itself; a whole command, one of a line that was cut at ";" and "&&".
IDLE = re.compile(r"""
    set\ [-+].* | (exit|return)(\ \d+)? | : | true | shift
    | case\ .*\ in | esac
    | (el)?if\ (\[|test\ ).* | then | else | fi
    | (1?>&2\ )?(echo|printf)\b(\\.|\$(?!\()|[^`$>|\\])*(1?>\s*&\s*2|1?>\s*/dev/stderr|>/dev/null)?
    | \.\ /usr/share/debconf/confmodule | db_version\ .* | db_stop
    | (export\ )?\w+=(\$(?!\()|[^`$])*
    """, re.X)


def commands(text):
    """The lines of a shell script that are its own and do something."""
    found = []
    for line in re.sub(r"\\\n", " ", ADDED.sub("", text)).splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        pieces = [LABEL.sub("", piece.strip(), count=1) if LABEL.match(piece.strip()) else piece.strip()
                  for piece in re.split(r";;|;|&&", line)]
        pieces = [re.sub(r"^(then|else|do)\s+", "", piece).strip() for piece in pieces]
        if any(piece and not IDLE.fullmatch(piece) for piece in pieces):
            found.append(line)
    return found


def own_commands(content):
    """The same for any script, as bytes."""
    text = content.decode("utf-8", "replace")
    if SHELL.match(text):
        return commands(text)
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")][:100]


def of_package(file):
    """{script: number of its own commands} of those that have any."""
    result = subprocess.run(["dpkg-deb", "--ctrl-tarfile", file], stdin=subprocess.DEVNULL, capture_output=True)
    if result.returncode:
        raise Failed(f"{file}: {result.stderr.decode(errors='replace').strip()}")
    found = {}
    with tarfile.open(fileobj=io.BytesIO(result.stdout)) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if name in NAMES and member.isfile() and (n := len(own_commands(archive.extractfile(member).read()))):
                found[name] = n
    return found
