# SPDX-License-Identifier: Apache-2.0
"""What some files mean, where the bytes carry times or an order that mean nothing."""
import gzip
import hashlib
import io
import lzma
import pathlib
import re
import subprocess

NEWC, NEWC_END, NEWC_HEADER = b"070701", b"TRAILER!!!", 110
UNPACKERS = {b"\x1f\x8b": gzip.decompress, b"\xfd7zXZ": lzma.decompress,
             b"\x28\xb5\x2f\xfd": lambda data: subprocess.run(["zstd", "-qdc"], input=data, stdout=subprocess.PIPE,
                                                              check=True).stdout}


def aligned(number):
    return (number + 3) & ~3


def members(data):
    """(name, mode, owner, device, content) of all cpio archives in an initramfs, one behind the other."""
    at = 0
    while at < len(data):
        if data[at] == 0:
            at += 1
            continue
        if data[at:at + 6] != NEWC:
            unpack = next((unpack for magic, unpack in UNPACKERS.items() if data[at:].startswith(magic)), None)
            if unpack is None:
                raise ValueError(f"neither cpio nor a known compression at byte {at}")
            yield from members(unpack(data[at:]))
            return
        fields = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        _, mode, uid, gid, _, _, size, _, _, major, minor, name_size, _ = fields
        start = at + NEWC_HEADER
        name = data[start:start + name_size - 1]
        start = at + aligned(NEWC_HEADER + name_size)
        if name != NEWC_END:
            yield name, mode, (uid, gid), (major, minor), data[start:start + size]
        at = start + aligned(size)


def initramfs(data):
    """Its files by name; not their order, times and inode numbers, which each run makes anew."""
    lines = sorted(f"{name!r} {mode:o} {owner} {device} {hashlib.sha256(content).hexdigest()}"
                   for name, mode, owner, device, content in members(data))
    return "initramfs " + hashlib.sha256("\n".join(lines).encode()).hexdigest() + f" {len(lines)} members"


def stanzas(data):
    """Paragraphs, in any order."""
    lines = sorted(data.strip().split(b"\n\n"))
    return "paragraphs " + hashlib.sha256(b"\n\n".join(lines)).hexdigest() + f" {len(lines)}"


# Berkeley DB 5.3, dbinc/db_page.h: of the header page the magic number and the size of a page; of each page how many items
# it has, its type, and where its items begin, the last of them first.
BERKELEY_HASH, BERKELEY_MAGIC, BERKELEY_PAGE_SIZE = 0x061561, slice(12, 16), slice(20, 24)
BERKELEY_N_ITEMS, BERKELEY_TYPE, BERKELEY_ITEMS = slice(20, 22), 25, 26
# postalias writes the time at which it ran as one more pair, for NIS (postfix, src/postalias/postalias.c).
BERKELEY_TIME = b"YP_LAST_MODIFIED"
BERKELEY_UNUSED, BERKELEY_OLD_HASH, BERKELEY_HEADER, BERKELEY_NEW_HASH = 0, 2, 8, 13


def little(data):
    return int.from_bytes(data, "little")


def berkeley_page(page):
    """The items of a page of a hash."""
    if page[BERKELEY_TYPE] in (BERKELEY_UNUSED, BERKELEY_HEADER):
        return []
    if page[BERKELEY_TYPE] not in (BERKELEY_OLD_HASH, BERKELEY_NEW_HASH):
        raise ValueError(f"a page of type {page[BERKELEY_TYPE]}")
    starts = [little(page[at:at + 2]) for at in range(BERKELEY_ITEMS, BERKELEY_ITEMS + 2 * little(page[BERKELEY_N_ITEMS]), 2)]
    return [page[start:end] for start, end in zip(starts, [len(page), *starts])]


def berkeley_db(data):
    """Keys and values of a hash; not the number of the file, the time, and what was in memory behind them."""
    size = little(data[BERKELEY_PAGE_SIZE])
    if little(data[BERKELEY_MAGIC]) != BERKELEY_HASH or not 512 <= size <= 65536 or len(data) % size:
        raise ValueError("no hash of Berkeley DB")
    items = [item for at in range(size, len(data), size) for item in berkeley_page(data[at:at + size])]
    pairs = sorted(pair for pair in zip(items[::2], items[1::2]) if BERKELEY_TIME not in pair[0])
    text = b"".join(b"%d %d %s%s" % (len(key), len(value), key, value) for key, value in pairs)
    return f"Berkeley DB {hashlib.sha256(text).hexdigest()} {len(pairs)} pairs"


# OpenJDK, sun/security/provider/JavaKeyStore.java: behind magic number, version and count each entry has a tag, a name, the
# time at which it came, and what it holds; numbers are big-endian, texts have their length before them.
JAVA_MAGIC, JAVA_CERTIFICATE, JAVA_DIGEST_SIZE = bytes.fromhex("feedfeed00000002"), 2, 20


def java_certificates(data):
    """Names and certificates of a Java key store, without their times."""
    if data[:8] != JAVA_MAGIC:
        raise ValueError("no key store of Java")
    rest, found = io.BytesIO(data[12:-JAVA_DIGEST_SIZE]), []

    def counted(size):
        return rest.read(int.from_bytes(rest.read(size), "big"))

    for _ in range(int.from_bytes(data[8:12], "big")):
        if int.from_bytes(rest.read(4), "big") != JAVA_CERTIFICATE:
            raise ValueError("more than certificates")
        name, _, kind, certificate = counted(2), rest.read(8), counted(2), counted(4)
        found.append(b"%s %s %s" % (name, kind, hashlib.sha256(certificate).hexdigest().encode()))
    if rest.read():
        raise ValueError("more than its entries")
    return f"certificates {hashlib.sha256(b'|'.join(sorted(found))).hexdigest()} {len(found)}"


MEANINGS = ((re.compile(r"/boot/initrd\.img-[^/]*"), initramfs),
            (re.compile(r"/etc/.*\.db"), berkeley_db),
            (re.compile(r"/etc/ssl/certs/java/cacerts"), java_certificates),
            (re.compile(r"/var/cache/debconf/[a-z]+\.dat(-old)?"), stanzas),
            (re.compile(r"/var/lib/dpkg/(status|available)(-old)?"), stanzas))


def canon(path, full):
    """A text that is the same for files that mean the same; None: the bytes count."""
    for pattern, meaning in MEANINGS:
        if pattern.fullmatch(path):
            try:
                return meaning(pathlib.Path(full).read_bytes())
            except (ValueError, EOFError, OSError, lzma.LZMAError, subprocess.CalledProcessError):
                return None
    return None


RANDOM_NAME = re.compile(r"(/systemd-private-[0-9a-f]{32}-[^/]+-)[A-Za-z0-9]{6}(?=/|$)")


def canon_path(path):
    """The path without what systemd draws at random for the private /tmp of each start of a unit."""
    return RANDOM_NAME.sub(r"\1RANDOM", path)


# The kernel draws the port of a socket that names none out of these (ip_local_port_range, by default).
DRAWN_PORTS = range(32768, 61000)
LOOPBACK_PORT = re.compile(r"(127\.0\.0\.1|\[?::1\]?):(\d+)$")


def canon_socket(line):
    """A listening socket of the guest's own without a port that was drawn at random."""
    return LOOPBACK_PORT.sub(lambda match: f"{match[1]}:DRAWN" if int(match[2]) in DRAWN_PORTS else match[0], line)
