# SPDX-License-Identifier: Apache-2.0
"""Installs the drawn packages one by one, and keeps what became of each."""
import json

from oracle.archive import Archive
from oracle.campaign import CACHE, installed_packages
from oracle.guests import base_guest

from . import draw


class Survey:
    """One base guest, the oracle's frozen archive, one directory of results."""

    def __init__(self, program, work, say):
        self.work, self.say, self.program = work, say, program
        self.base = base_guest()
        key = self.base.directory.name.rsplit("-", 1)[1]
        self.directory = CACHE / "survey" / key
        self.directory.mkdir(parents=True, exist_ok=True)
        (CACHE / "oracle" / key).mkdir(parents=True, exist_ok=True)
        self.archive = Archive(CACHE / "oracle" / key / "archive")
        self.installed = self.known_installed()
        self.drawing = draw.known(self.directory / "drawn.json", self.archive, self.installed, self.base, work, say)

    def known_installed(self):
        file = self.directory / "installed.json"
        if not file.exists():
            file.write_text(json.dumps(installed_packages(self.base.directory / "disk.qcow2", self.work)))
        return json.loads(file.read_text())

    @property
    def drawn(self):
        return self.drawing["drawn"]
