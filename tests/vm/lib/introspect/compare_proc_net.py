# SPDX-License-Identifier: Apache-2.0
"""/proc/net and /proc/sys: proc-dump against the guest's own texts, to the byte."""
import re

from .compare_system import VOLATILE

NET, SYS = b"/proc/net/", b"/proc/sys/"

# What is not written: of protocols, drivers and features that only their own code could show.
UNWRITTEN = re.compile(rb"anycast6|connector|dev_snmp6/.*|fib_trie(stat)?|ip6?_(tables|mr|flowlabel|conntrack).*"
                       rb"|mcfilter6?|netfilter/.*|nf_conntrack.*|psched|ptype|rt6_stats|rt_acct|rt_cache|softnet_stat"
                       rb"|stat/.*|wireless|tls_stat|pnp|rpc/.*|vlan/.*|bonding/.*")
# Of TCP: what is left of a timer, and what its firing changes: retransmissions and the next timeout.
TCP_LINE = re.compile(rb"^( *\d+: \S+ \S+ \S\S \S+) (\S\S):\S{8} \S{8}( +\d+ +\d+ \d+ \d+ \S+)(?: \d+)?", re.M)
# Counters that a packet of the last seconds moves: a line of names goes before each line of values.
COUNTED = {b"snmp", b"netstat", b"snmp6", b"dev", b"sockstat", b"softnet_stat", b"arp", b"protocols"}


def without_timers(text):
    return TCP_LINE.sub(rb"\1 \2\3", text).replace(b" ", b"")


def without_numbers(text):
    return re.sub(rb"\d+", b"0", re.sub(rb" +", b" ", text))


def close(found, wanted, of_bytes=()):
    """
    Counters: the same names in the same places, and no number smaller than the guest said, or greater by more than 30;
    or by 3000 bytes (a group that was joined is reported again after a while): of 16 in a row, those of_bytes.
    """
    numbers = [[int(n) for n in re.findall(rb"(?<![\w.])\d+(?!\w)", text)] for text in (found, wanted)]
    return without_numbers(found) == without_numbers(wanted) and len(numbers[0]) == len(numbers[1]) and all(
        0 <= a - b <= (3000 if i % 16 in of_bytes else 30) or b > 1000 and abs(a - b) * 20 <= b
        for i, (a, b) in enumerate(zip(*numbers)))


def as_bytes(files):
    """Paths as the guest's own records have them."""
    return {path.encode(errors="surrogateescape"): text for path, text in files.items()}


def compare_proc_net(checks, truth, files, missing):
    said = {path[len(NET):]: text for path, text in truth.files.items() if path.startswith(NET)}
    found = {path[len(NET):]: text for path, text in as_bytes(files).items() if path.startswith(NET)}
    wanted = {}
    for name, text in said.items():
        if UNWRITTEN.fullmatch(name) or name not in found and name in (b"links", b"addresses"):
            continue
        if name in (b"tcp", b"tcp6"):
            wanted[name] = without_timers(text)
            found[name] = without_timers(found.get(name, b""))
        elif name in COUNTED and close(found.get(name, b""), text, (0, 8) if name == b"dev" else ()):
            wanted[name] = found[name]
        elif not name.startswith((b"inet-diag", b"unix-diag")):
            wanted[name] = text
    checks.same_items("files of /proc/net", {name: text for name, text in found.items() if name in said}, wanted)
    invented = sorted(set(found) - set(said))
    checks.check("nothing in /proc/net that the guest has not", b", ".join(invented).decode())
    names = [b"tcp", b"tcp6", b"udp", b"udp6", b"unix", b"raw", b"dev", b"route", b"if_inet6", b"snmp", b"sockstat"]
    checks.equal("the files of /proc/net that most programs read are there", [n for n in names if n not in found], [])


def compare_proc_sys(checks, truth, files, missing):
    """Byte for byte: a value that is empty is a newline or nothing at all."""
    said = {path: text for path, text in truth.files.items()
            if path.startswith(SYS) and not VOLATILE.search(path[len(SYS):].decode(errors="surrogateescape"))}
    found = {path: text for path, text in as_bytes(files).items() if path in said}
    absent = sorted(path for path in said if path not in found)
    checks.same_items("what reads of /proc/sys give", found, {path: said[path] for path in found})
    checks.check(f"files of /proc/sys that are absent: {len(absent)} of {len(said)}",
                 "" if len(absent) * 20 <= len(said) else b", ".join(absent[:10]).decode())
