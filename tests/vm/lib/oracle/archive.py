# SPDX-License-Identifier: Apache-2.0
"""A frozen piece of Debian's archive, served to the shadow and to the guest alike.

The lists of each pocket are fetched once for each base guest and kept. Of them, a run serves the packages that it
can need, as apt repositories of their own: an emulated CPU reads 60,000 stanzas for a minute, at every apt. The
stanzas are Debian's, and packages are checked against them when they are first fetched.
"""
import contextlib
import email.utils
import functools
import hashlib
import http.server
import os
import pathlib
import re
import subprocess
import threading
import urllib.parse

from .shell import Failed, run, shell

SUITE = "bookworm"
POCKETS = {"": "release", "-updates": "updates", "-security": "security"}
LABELS = {"release": "Debian", "updates": "Debian", "security": "Debian-Security"}


def parse(text):
    """The stanzas of a Packages file, as dicts that keep their text under ""."""
    for stanza in text.split("\n\n"):
        if stanza.strip():
            fields = dict(re.findall(r"^([A-Za-z0-9-]+): *(.*)$", stanza, re.M))
            fields[""] = stanza.strip() + "\n"
            yield fields


def newer(a, b):
    return subprocess.run(["dpkg", "--compare-versions", a, "gt", b], check=False).returncode == 0


class Lists:
    """apt lists of one's own: the host's are not touched."""

    def __init__(self, directory):
        self.options = ["-o", f"Dir::Etc::sourcelist={directory}/sources.list", "-o", "Dir::Etc::sourceparts=-",
                        "-o", f"Dir::State={directory}/state", "-o", "Dir::State::status=/dev/null",
                        "-o", f"Dir::Cache={directory}/cache", "-o", "APT::Architecture=amd64",
                        "-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=2"]
        for name in ("state/lists/partial", "cache/archives/partial"):
            (directory / name).mkdir(parents=True)
        (directory / "sources.list").write_text(shell("guest", 'guest_sources "$1"', SUITE))
        run("apt-get", *self.options, "--error-on=any", "update")

    def targets(self):
        """(pocket, URI of its archive, file) of each list."""
        lines = run("apt-get", "indextargets", *self.options, "--format", "$(CODENAME)|$(REPO_URI)|$(FILENAME)",
                    "Created-By: Packages")
        for line in lines.splitlines():
            codename, uri, file = line.split("|")
            yield POCKETS[codename.removeprefix(SUITE)], uri.rstrip("/"), file


def freeze(directory):
    """Fills the absent directory: a file of stanzas each pocket, with the place of its archive and the date."""
    partial = directory.with_name(directory.name + ".partial")
    run("rm", "-rf", partial)
    partial.mkdir(parents=True)
    lists = Lists(partial)
    for pocket, uri, file in lists.targets():
        (partial / f"{pocket}.packages").write_text(run("/usr/lib/apt/apt-helper", "cat-file", file))
        (partial / f"{pocket}.uri").write_text(uri)
        for release in (partial / "state/lists").glob("*_InRelease"):
            if file.split("/")[-1].startswith(release.name.removesuffix("InRelease")):
                (partial / f"{pocket}.date").write_text(re.search(r"^Date: (.*)$", release.read_text(), re.M)[1])
    run("rm", "-rf", partial / "state", partial / "cache")
    partial.rename(directory)


class Archive:
    """Frozen lists, by pocket: {name: stanza}, the newest of each name."""

    def __init__(self, directory):
        if not directory.exists():
            freeze(directory)
        self.pool = directory / "pool"
        self.pool.mkdir(exist_ok=True)
        self.pockets, self.uris, self.dates, self.files = {}, {}, {}, {}
        for pocket in POCKETS.values():
            if not (directory / f"{pocket}.packages").exists():
                continue
            self.uris[pocket] = (directory / f"{pocket}.uri").read_text()
            self.dates[pocket] = (directory / f"{pocket}.date").read_text()
            self.pockets[pocket] = self.newest(parse((directory / f"{pocket}.packages").read_text()))

    @staticmethod
    def newest(stanzas):
        found = {}
        for stanza in stanzas:
            have = found.get(stanza["Package"])
            if have is None or newer(stanza["Version"], have["Version"]):
                found[stanza["Package"]] = stanza
        return found

    @functools.cached_property
    def providers(self):
        """{virtual name: names that provide it}."""
        found = {}
        for pocket in self.pockets.values():
            for name, stanza in pocket.items():
                for provided in re.findall(r"[^ ,(]+(?= *(?:,|\(|$))", stanza.get("Provides", "")):
                    found.setdefault(provided, set()).add(name)
        return found

    def wanted_by(self, stanza):
        """One name for each dependency: the first alternative; all providers where nothing has that name."""
        for group in re.split(r", *", ", ".join(stanza.get(key, "") for key in ("Pre-Depends", "Depends"))):
            name = re.match(r"[a-z0-9][a-z0-9.+-]*", group)
            if name and any(name[0] in pocket for pocket in self.pockets.values()):
                yield name[0]
            elif name:
                yield from self.providers.get(name[0], ())

    def closure(self, names):
        """The names with all that they depend on, in any pocket."""
        found, pending = set(), list(names)
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                for pocket in self.pockets.values():
                    if name in pocket:
                        pending.extend(self.wanted_by(pocket[name]))
        return found

    def version(self, name, pockets):
        """The newest version of a package in these pockets, or None."""
        best = None
        for pocket in pockets:
            stanza = self.pockets.get(pocket, {}).get(name)
            if stanza and (best is None or newer(stanza["Version"], best)):
                best = stanza["Version"]
        return best

    def write(self, directory, names):
        """One flat repository each pocket, of these packages."""
        for pocket, stanzas in self.pockets.items():
            chosen = [stanzas[name] for name in sorted(names & stanzas.keys())]
            self.files.update({stanza["Filename"]: (self.uris[pocket], stanza["SHA256"]) for stanza in chosen})
            text = "\n".join(stanza[""] for stanza in chosen).encode()
            (directory / pocket).mkdir()
            (directory / pocket / "Packages").write_bytes(text)
            suite = SUITE + next(suffix for suffix, name in POCKETS.items() if name == pocket)
            (directory / pocket / "Release").write_text(
                f"Origin: Debian\nLabel: {LABELS[pocket]}\nSuite: {suite}\nCodename: {suite}\nDate: {self.dates[pocket]}\n"
                f"SHA256:\n {hashlib.sha256(text).hexdigest()} {len(text)} Packages\n")

    def package(self, name):
        """The file of a package in the pool; fetched and checked once. None: none of ours."""
        if name not in self.files:
            return None
        uri, digest = self.files[name]
        target = self.pool / pathlib.Path(name).name
        if not target.exists():
            # Another run may fetch the same one.
            partial = target.with_suffix(f".{os.getpid()}.partial")
            run("/usr/lib/apt/apt-helper", "-o", "APT::Sandbox::User=root", "download-file", f"{uri}/{name}", partial,
                f"SHA256:{digest}")
            partial.rename(target)
        return target


def handler_class(archive, directory):
    lock = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        """GET of a list or of a package."""
        protocol_version = "HTTP/1.1"

        def find(self):
            name = self.path.lstrip("/")
            if re.fullmatch(r"[a-z]+/(Packages|Release)", name):
                return directory / name
            with lock:
                return archive.package(urllib.parse.unquote(name))

        def do_GET(self):
            try:
                file = self.find()
            except Failed as failure:
                return self.send_error(503, str(failure).splitlines()[0][:200])
            if file is None or not file.is_file():
                return self.send_error(404)
            modified = int(file.stat().st_mtime)
            since = self.headers.get("If-Modified-Since")
            fresh = since and email.utils.parsedate_to_datetime(since).timestamp() >= modified
            self.send_response(304 if fresh else 200)
            self.send_header("Last-Modified", email.utils.formatdate(modified, usegmt=True))
            self.send_header("Content-Length", "0" if fresh else str(file.stat().st_size))
            self.end_headers()
            if not fresh:
                with open(file, "rb") as content, contextlib.suppress(ConnectionError):
                    while chunk := content.read(1 << 18):
                        self.wfile.write(chunk)
            return None

        def log_message(self, *_):
            pass

    return Handler


def own_address():
    """An address of this machine that the guest's network and the shadow's reach."""
    for line in run("ip", "-4", "-o", "address", "show", "scope", "global").splitlines():
        return re.search(r" inet ([0-9.]+)", line)[1]
    raise Failed("this machine has no global IPv4 address to serve packages at")


@contextlib.contextmanager
def served(archive, directory):
    """The URI at which the repositories of `directory` and the pool are there."""
    address = own_address()
    server = http.server.ThreadingHTTPServer((address, 0), handler_class(archive, directory))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{address}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
