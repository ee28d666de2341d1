# SPDX-License-Identifier: Apache-2.0
"""The kernel as a whole: names, clocks, log, modules, counters, settings, interfaces, sockets."""
import math
import re
import socket
import stat as statmode
import struct

from .checks import field, number
from .compare_tasks import tasks

PAGE = 4096
CLOCK_LIMIT_S = 1


def compare_names(checks, truth, facts):
    # The guest stopped itself right after it had looked at its clocks.
    uts, clock = facts["uts"], facts["clock"]
    for ours, theirs in (("release", "osrelease"), ("version", "version"), ("nodename", "hostname"), ("domainname", "domainname"),
                         ("sysname", "ostype")):
        checks.equal(ours, field(uts, ours), truth.file(f"/proc/sys/kernel/{theirs}").rstrip(b"\n"))
    checks.equal("boot id", facts["boot_id"], truth.line("/proc/sys/kernel/random/boot_id"))
    for name in ("boottime", "monotonic", "realtime"):
        late = (clock[name + "_ns"] - truth.word(name)) / 1e9
        # The clocks are those of the last tick: the guest may have been idle for a moment then.
        checks.check(f"{name} clock", "" if abs(late) <= CLOCK_LIMIT_S else f"{late:.3f} s after the truth was told")


def compare_inspect(checks, truth, program):
    document = program.verb("inspect")
    if document is None:
        return
    checks.equal("inspect: kernel", document["kernel"], truth.line("/proc/sys/kernel/osrelease"))
    checks.equal("inspect: hostname", document["hostname"], truth.line("/proc/sys/kernel/hostname"))
    checks.equal("inspect: boot id", document["boot_id"], truth.line("/proc/sys/kernel/random/boot_id"))
    late = float(document["uptime_s"]) - truth.word("boottime") / 1e9
    checks.check("inspect: uptime", "" if abs(late) <= 1 else f"{late:.3f} s off")
    checks.equal("inspect: processes", document["processes"],
                 len([task for task in tasks(truth, False).values() if not task.kernel_thread]))


# --- the log --- #

def log_records(content):
    """Records of /dev/kmsg: (facility and level, sequence, microseconds, text). Properties (lines with a blank) are not text."""
    records = []
    for line in content.split(b"\n"):
        if not line or line.startswith(b" "):
            continue
        head, text = line.split(b";", 1)
        priority, sequence, microseconds = head.split(b",")[:3]
        text = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), text)
        records.append((int(priority), int(sequence), int(microseconds), text))
    return records


def compare_log(checks, truth, facts):
    found = [(record["facility"] << 3 | record["level"], record["sequence"], record["time_ns"] // 1000, field(record, "text"))
             for record in facts["log"]]
    checks.same_list("the kernel's log", found, log_records(truth.file("/dev/kmsg")))


def compare_dmesg(checks, truth, program):
    document = program.verb("dmesg")
    if document is None:
        return
    wanted = log_records(truth.file("/dev/kmsg"))
    messages = document["records"]
    checks.equal("dmesg is version 1", document["version"], 1)
    checks.same_list("dmesg: texts", [field(message, "text") for message in messages], [record[3] for record in wanted])
    checks.same_list("dmesg: levels", [message["facility"] << 3 | message["level"] for message in messages],
                     [record[0] for record in wanted])
    checks.same_list("dmesg: times", [int(message["time_s"] * 1_000_000) for message in messages],
                     [record[2] for record in wanted])


# --- modules --- #

def modules(content):
    """/proc/modules: (name, size, references, users, first letter of the state, address, taint)."""
    lines = []
    for line in content.decode().splitlines():
        name, size, references, users, state, address, *taint = line.split(" ")
        lines.append((name, int(size), int(references), "" if users == "-" else users.rstrip(","), state[0], int(address, 0),
                      taint[0].strip("()") if taint and taint[0] else ""))
    return lines


STATES = {"L": "Live", "C": "Loading", "U": "Unloading"}


def compare_modules(checks, truth, program):
    document = program.verb("modules")
    if document is None:
        return
    wanted = [(name, size, references, users.replace("[permanent],", "").replace("[permanent]", ""), STATES[state], address, taint)
              for name, size, references, users, state, address, taint in modules(truth.file("/proc/modules"))]
    found = [(entry["name"], entry["size"], entry["refcount"], ",".join(entry["used_by"]), entry["state"],
              number(entry["address"]), entry["taint"]) for entry in document["modules"]]
    checks.equal("modules is version 1", document["version"], 1)
    checks.same_list("modules", found, wanted)
    checks.same_items("permanent modules", {entry["name"]: entry["permanent"] for entry in document["modules"]},
                      {name: "[permanent]" in users for name, _, _, users, *_ in modules(truth.file("/proc/modules"))})


# --- counters --- #

LOAD_MINUTES = (1, 5, 15)
LOAD_ACTIVE_MAX = 20

# What moves all the time, and how far (in pages): the rest must be the same to the byte.
MOVING = {"MemFree": 4096, "MemAvailable": 4096, "Active": 4096, "Inactive": 4096, "Cached": 512, "SReclaimable": 512,
          "SUnreclaim": 512, "KernelStack": 64, "PageTables": 64, "AnonPages": 512, "Mapped": 512, "Committed_AS": 512,
          "Dirty": 256, "Writeback": 256, "Buffers": 64, "Shmem": 16}


def is_load(found, said):
    """The same, or the same one step of the kernel's later: each five seconds it takes in how many are active."""
    steps = [said]
    for active in range(LOAD_ACTIVE_MAX):
        weights = [math.exp(-5 / (60 * minutes)) for minutes in LOAD_MINUTES]
        steps.append([old * weight + active * (1 - weight) for old, weight in zip(said, weights)])
    return any(all(abs(a - b) <= 0.011 for a, b in zip(found, step)) for step in steps)


def compare_counters(checks, truth, facts):
    told = {name: int(value) * 1024 for name, value in re.findall(r"^(\S+):\s+(\d+) kB$", truth.text("/proc/meminfo"), re.M)}
    wrong = [f"{name}: {value} instead of {told[name]}" for name, value in facts["memory"].items()
             if abs(value - told[name]) > MOVING.get(name, 0) * PAGE]
    checks.check(f"memory counters ({len(facts['memory'])})", "; ".join(wrong))
    words = truth.line("/proc/loadavg").split()
    load = [facts["load"][f"milli_{minutes}"] / 1000 for minutes in LOAD_MINUTES]
    checks.check("load", "" if is_load(load, [float(word) for word in words[:3]]) else f"{load}, the guest said {words}")
    checks.equal("last pid", facts["load"]["last_pid"], int(words[4]))
    checks.equal("number of tasks", facts["load"]["tasks"], int(words[3].split("/")[1]))
    checks.equal("CPUs", facts["cpus"]["online"], len(re.findall(r"^cpu\d", truth.text("/proc/stat"), re.M)))


# --- settings --- #

# Computed at each reading out of what changes meanwhile.
VOLATILE = re.compile(r"""kernel/(random/(entropy_avail|boot_id)|ns_last_pid|pty/nr|keys/.*)$
                      |kernel/sched_domain/.*/max_newidle_lb_cost$
                      |fs/(inode-(nr|state)|file-nr|dentry-state|aio-nr)$
                      |net/netfilter/nf_conntrack_count$""", re.X)


def compare_sysctls(checks, truth, facts):
    prefix = b"/proc/sys/"
    told = {path.removeprefix(prefix).decode(errors="surrogateescape"): content.removesuffix(b"\n")
            for path, content in truth.files.items() if path.startswith(prefix)}
    found = {field(entry, "name").decode(errors="surrogateescape"): entry for entry in facts["sysctls"]}
    # The collector leaves it alone: another one each time.
    found.pop("kernel/random/uuid", None)
    readable = {name: value for name, value in told.items() if not VOLATILE.search(name)}
    modes = {path.removeprefix(prefix).decode(): int(stat.split()[0], 8) for path, stat in truth.stats.items()
             if path.startswith(prefix)}
    modes = {name: mode & 0o777 for name, mode in modes.items() if not statmode.S_ISDIR(mode)}
    values = {name: field(entry, "value") for name, entry in found.items() if entry.get("value") is not None}
    checks.same_items("values of sysctls", values, {name: readable[name] for name in values if name in readable}
                      | {name: values[name] for name in values if VOLATILE.search(name)})
    missing = [name for name in readable if name not in values]
    checks.check(f"sysctls without a value: {len(missing)} of {len(readable)}",
                 "" if len(missing) * 20 < len(readable) else ", ".join(missing[:10]))
    checks.same_items("names and modes of sysctls", {name: entry["mode"] & 0o777 for name, entry in found.items()}, modes)


# --- interfaces --- #

def netlink_messages(data, body_format):
    """(fields of the body, {attribute: bytes or the last of several}) of each message."""
    at = 0
    while at + 16 <= len(data):
        size = struct.unpack_from("=I", data, at)[0]
        message = data[at + 16:at + size]
        at += (size + 3) & ~3
        body = struct.unpack_from("=" + body_format, message)
        attributes, inner = {}, (struct.calcsize("=" + body_format) + 3) & ~3
        while inner + 4 <= len(message):
            length, kind = struct.unpack_from("=HH", message, inner)
            attributes[kind & 0x3fff] = message[inner + 4:inner + length]
            inner += (length + 3) & ~3
        yield body, attributes


def text(value):
    return value.rstrip(b"\0")


def interfaces(truth, place):
    """{index: (name, flags, mtu, operstate, type, hardware, {(address, prefix, scope, label)})} of a namespace."""
    result = {}
    # struct ifinfomsg; IFLA_ADDRESS 1, _IFNAME 3, _MTU 4, _OPERSTATE 16.
    for (_, _, kind, index, flags, _), attributes in netlink_messages(truth.netlink[place + b"/links"], "BBHiII"):
        result[index] = [text(attributes[3]), flags, struct.unpack("=I", attributes[4])[0], attributes[16][0], kind,
                         attributes.get(1, b""), set()]
    # struct ifaddrmsg; IFA_ADDRESS 1, _LOCAL 2, _LABEL 3.
    for (family, prefix, _, scope, index), attributes in netlink_messages(truth.netlink[place + b"/addresses"], "BBBBI"):
        label = text(attributes[3]) if family == socket.AF_INET else b""
        result[index][6].add((attributes.get(2, attributes[1]), prefix, scope, label))
    return result


def compare_interfaces(checks, truth, facts):
    found = {}
    for entry in facts["interfaces"]:
        addresses = {(field(address, "bytes"), address["prefix"], address["scope"],
                      field(address, "label") if address["family"] == 4 else b"") for address in entry["addresses"]}
        found[entry["index"]] = [field(entry, "name"), entry["flags"], entry["mtu"], entry["operstate"], entry["type"],
                                 field(entry, "hardware"), addresses]
    checks.same_items("network interfaces", found, interfaces(truth, b"/proc/net"))
