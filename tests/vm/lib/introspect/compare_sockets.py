# SPDX-License-Identifier: Apache-2.0
"""Sockets: what the verb says against what the kernel tells ss over netlink, and against /proc/net."""
import re
import socket
import struct

from .checks import field
from .compare_system import netlink_messages, text

STATES = {1: "ESTAB", 2: "SYN-SENT", 3: "SYN-RECV", 4: "FIN-WAIT-1", 5: "FIN-WAIT-2", 6: "TIME-WAIT", 7: "UNCONN", 8: "CLOSE-WAIT",
          9: "LAST-ACK", 10: "LISTEN", 11: "CLOSING", 12: "SYN-RECV"}
KINDS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp", socket.IPPROTO_RAW: "raw"}
UNIX_KINDS = {socket.SOCK_STREAM: "u_str", socket.SOCK_DGRAM: "u_dgr", socket.SOCK_SEQPACKET: "u_seq"}
CLOSED, BOUND_ONLY = 7, 13
# unix_diag_attr
UNIX_NAME, UNIX_PEER, UNIX_QUEUES = 0, 2, 4


def address(family, data):
    return socket.inet_ntop(family, data[:4 if family == socket.AF_INET else 16])


def inet_sockets(truth, place):
    """(netid, family, state, local, port, peer, port, interface, uid, inode, Recv-Q, Send-Q), sorted."""
    result = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol, kind in KINDS.items():
            data = truth.netlink[place + b"/inet-diag/%d/%d" % (family, protocol)]
            # struct inet_diag_msg
            for body, _ in netlink_messages(data, "BBBB2s2s16s16sI8sIIIII"):
                _, state, _, _, local_port, peer_port, local, peer, interface, _, _, received, sent, uid, inode = body
                # 6.6 and later list TCP sockets that are bound and no more, which no table of /proc has.
                if kind == "tcp" and state in (CLOSED, BOUND_ONLY):
                    continue
                result.append((kind, 4 if family == socket.AF_INET else 6, STATES[state], address(family, local),
                               int.from_bytes(local_port, "big"), address(family, peer), int.from_bytes(peer_port, "big"),
                               interface, uid, inode, received, sent))
    return sorted(result)


def unix_sockets(truth, place):
    """(netid, state, name, peer's inode, inode, Recv-Q, Send-Q), sorted; an abstract name begins with a NUL."""
    result = []
    # struct unix_diag_msg
    for (_, kind, state, _, inode, _), attributes in netlink_messages(truth.netlink[place + b"/unix-diag"], "BBBBI8s"):
        name = attributes.get(UNIX_NAME, b"")
        if not name.startswith(b"\0"):
            name = text(name)
        peer = struct.unpack("=I", attributes[UNIX_PEER])[0] if UNIX_PEER in attributes else 0
        received, sent = struct.unpack("=II", attributes[UNIX_QUEUES]) if UNIX_QUEUES in attributes else (0, 0)
        result.append((UNIX_KINDS[kind], STATES[state], name, peer, inode, received, sent))
    return sorted(result)


def waiting_unix(truth, place):
    """(netid, name) of what waits in a listener's queue: it belongs to no file yet, netlink does not tell of it."""
    # Number, references, protocol, flags, type, state, inode, name.
    lines = re.findall(rb"^\S+: \w+ \w+ \w+ (\w+) 02 +0(?: (.*))?$", truth.files[place + b"/unix"], re.M)
    return sorted((UNIX_KINDS[int(kind, 16)], name) for kind, name in lines)


def found_waiting(entries):
    # /proc writes NULs of abstract names as @.
    return sorted((entry["netid"], (b"\0" if entry["abstract"] else b"").replace(b"\0", b"@") + (field(entry, "path") or b""))
                  for entry in entries if entry["netid"] in UNIX_KINDS.values() and not entry["inode"])


def found_inet(entries):
    return sorted((entry["netid"], entry["family"], entry["state"], entry["local_address"], entry["local_port"],
                   entry["peer_address"], entry["peer_port"], entry["interface"], entry["uid"], entry["inode"], entry["recv_q"],
                   entry["send_q"]) for entry in entries if entry["netid"] in KINDS.values())


def found_unix(entries):
    return sorted((entry["netid"], entry["state"], (b"\0" if entry["abstract"] else b"") + (field(entry, "path") or b""),
                   entry["peer_inode"], entry["inode"], entry["recv_q"], entry["send_q"])
                  for entry in entries if entry["netid"] in UNIX_KINDS.values() and entry["inode"])


def owners(truth):
    """{inode: {(pid, fd)}} of all sockets that processes hold."""
    result = {}
    for path, target in truth.links.items():
        found = re.fullmatch(rb"/proc/(\d+)/fd/(\d+)", path)
        inode = re.fullmatch(rb"socket:\[(\d+)\]", target)
        if found and inode:
            result.setdefault(int(inode[1]), set()).add((int(found[1]), int(found[2])))
    return result


def compare_sockets_of(checks, truth, program, pid):
    document = program.verb("sockets", *(["--pid", str(pid)] if pid else []))
    if document is None:
        return
    name = f"of {pid}" if pid else ""
    place = b"/proc/%d/net" % pid if pid else b"/proc/net"
    entries = document["sockets"]
    checks.equal(f"sockets {name} is version 1", document["version"], 1)
    checks.same_list(f"TCP, UDP and raw sockets {name}", found_inet(entries), inet_sockets(truth, place))
    checks.same_list(f"unix sockets {name}", found_unix(entries), unix_sockets(truth, place))
    checks.same_list(f"unix sockets in listeners' queues {name}", found_waiting(entries), waiting_unix(truth, place))
    held = owners(truth)
    if all("processes" in entry for entry in entries):
        checks.same_items(f"processes that hold sockets {name}",
                          {entry["inode"]: {(process["pid"], process["fd"]) for process in entry["processes"]}
                           for entry in entries if entry["inode"]},
                          {entry["inode"]: held.get(entry["inode"], set()) for entry in entries if entry["inode"]})


def compare_sockets(checks, truth, program):
    compare_sockets_of(checks, truth, program, None)
    seen = {truth.links[b"/proc/1/ns/net"]}
    for pid in sorted(truth.tasks):
        namespace = truth.links.get(b"/proc/%d/ns/net" % pid)
        if namespace and namespace not in seen and b"/proc/%d/net/unix-diag" % pid in truth.netlink:
            seen.add(namespace)
            compare_sockets_of(checks, truth, program, pid)
