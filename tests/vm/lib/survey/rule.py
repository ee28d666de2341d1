# SPDX-License-Identifier: Apache-2.0
"""How the packages of the survey are drawn. Written, with the seed, before the first was installed; not to be changed.

1. The population is every package of the release pocket of Debian 12, main, that apt offers to an amd64 system (architectures
   amd64 and all), in its newest version there, less those that the demo guest has. The lists are those that the
   oracle has frozen (`oracle/archive.py`).
2. The order is that of the SHA-256 of "SEED NAME" (UTF-8, one space), as hexadecimal text. It is looked at one by one:
   a. A package file of more than DEB_MAX bytes is passed over.
   b. The package is drawn only if its preinst or postinst, which an installation runs, has commands of its own. What stands
      between "# Automatically added by" and "# End automatically added section" is debhelper's and is taken out; so
      is what does nothing by itself (`scripts.py` lists it: set -e, the case over the arguments and its error branch,
      messages, sourcing debconf). A script that is no shell script has commands of its own, unless it is empty.
   c. apt-get -s install --no-install-recommends NAME, with the guest's dpkg status and these lists, must go
      through without removing anything: a package that conflicts with what the guest has is passed over, as is one that
      cannot be installed. What it would download may have DOWNLOAD_MAX bytes and install INSTALLED_MAX bytes
      (Installed-Size) together, so that the guest's disk holds it.
3. The first N that are left are the survey. Of these, the REPLAYED first in the order of the SHA-256 of "SEED replay NAME"
   are woken.
"""
import hashlib

SEED = "ouassister survey of maintainer scripts, 2026"
N = 200
REPLAYED = 20
DEB_MAX = 4 << 20
DOWNLOAD_MAX = 64 << 20
INSTALLED_MAX = 512 << 20


def shuffled(names, purpose=""):
    return sorted(names, key=lambda name: hashlib.sha256(f"{SEED} {purpose}{name}".encode()).hexdigest())


def replayed(names):
    return shuffled(names, "replay ")[:REPLAYED]
