# SPDX-License-Identifier: Apache-2.0
"""How what a program prints in the shadow is compared with what it printed live: one function a rule.

The live guest went on for some seconds after a program ran, the shadow shows the moment of the suspend. What may differ
for that reason is named here, and nothing else may:

- processes from the collector's own on: the measuring itself (`pid_end`);
- workers of the kernel's work queues, which come and go, and the work that their name tells;
- memory counters within 5 % or MEMORY_KB, counters of traffic and disk within 5 % or COUNTER;
- times within 2 s, once the seconds between the program and the suspend are taken off;
- load averages, which are computed anew every 5 seconds, within LOAD;
- the time of day, which is the host's (no namespace shifts that clock), and the points in time that programs compute as
  the time of day less the uptime (ps's STIME, uptime -s): later by as long as the guest slept, and of another day a date;
- what CPUID says, which no program can be kept from asking the host's CPU: the hypervisor (systemd-detect-virt);
- the resource limits that hold the shadow (ulimit -a): processes, size of a file, addresses;
- what the calls behind it are refused for (`ss`: sock_diag), or memory does not tell: `listeners`, `addresses`, `lscpu`,
  `lsblk`, `lsof` say which.
"""
import re
import time
from dataclasses import dataclass

MEMORY_KB = 4096
COUNTER = 2000
SECONDS = 2.0
LOAD = 0.30


@dataclass
class Moment:
    """What is known of the two runs."""
    pid_end: int     # the first pid of the measuring live
    shift: float     # uptime in the shadow less uptime live, when the program began
    slept: float     # time of day in the shadow less that live, less shift: how long the guest slept
    now: float       # time of day in the shadow, which keeps to UTC as the guests of the tests do


def lines(text):
    return text.decode(errors="surrogateescape").splitlines()


def first_differences(live, shadow, shown=4):
    """Two lists of lines, in order."""
    import difflib
    out = [line for line in difflib.unified_diff(live, shadow, "live", "shadow", n=0, lineterm="")
           if not line.startswith(("---", "+++", "@@"))]
    return "; ".join(line[:220] for line in out[:2 * shown]) + (f" … {len(out)} lines" if len(out) > 2 * shown else "")


def same(live, shadow, moment):
    return "" if live == shadow else first_differences(lines(live), lines(shadow)) or "differ in the last newline"


# --- processes --- #

KWORKER = re.compile(r"(\[?kworker/[^\s\]+-]+)[+-][^\s\]]*")


def without_work(line):
    """A worker without the name of its last work, which stands behind the pool's."""
    return KWORKER.sub(r"\1", line)


def by_pid(text, moment, column):
    """Lines of a table by pid, without the measuring. `column`: which word has it."""
    table = {}
    for line in lines(text):
        words = line.split()
        if len(words) <= column or not words[column].isdigit():
            table.setdefault(0, []).append(line)
            continue
        pid = int(words[column])
        if pid < moment.pid_end:
            table.setdefault(pid, []).append(without_work(line))
    return table


def pid_column(text):
    for line in lines(text):
        words = line.split()
        if "PID" in words:
            return words.index("PID")
    return 0


def compare_tables(live, shadow, same_line):
    wrong = []
    for pid in sorted(live.keys() | shadow.keys()):
        a, b = live.get(pid, []), shadow.get(pid, [])
        if (not a or not b) and "kworker" in "".join(a + b):
            continue
        if len(a) != len(b) or not all(same_line(x, y) for x, y in zip(a, b)):
            wrong.append(f"-{' / '.join(a)[:160]} +{' / '.join(b)[:160]}")
    return "; ".join(wrong[:6]) + (f" … {len(wrong)} in all" if len(wrong) > 6 else "")


def squeezed(line):
    """Columns are as wide as their widest entry, which may be a measuring one's."""
    return " ".join(line.split())


def processes(live, shadow, moment):
    column = pid_column(live)
    return compare_tables(by_pid(live, moment, column), by_pid(shadow, moment, column),
                          lambda a, b: squeezed(a) == squeezed(b) or "qemu-ga" in a and "qemu-ga" in b)


def pgrep(live, shadow, moment):
    return compare_tables(by_pid(live, moment, 0), by_pid(shadow, moment, 0), lambda a, b: a == b)


def pstree(live, shadow, moment):
    def nodes(text):
        found = set(re.findall(r"([^\s()`|─├└┬-][^()`|]*?)\((\d+)\)", text.decode(errors="replace")))
        return sorted((int(pid), name.lstrip("-─┬├└`| ")) for name, pid in found if int(pid) < moment.pid_end)
    a, b = nodes(live), nodes(shadow)
    return "" if a == b else f"{set(a) ^ set(b)}"[:400]


# --- numbers --- #

NUMBER = re.compile(r"^[-+(]?\d[\d,.]*[KMGTPE]?i?B?[%)]?,?$")


def value(word):
    """A number, in bytes where it has a unit of 1024; None: the word is none."""
    if not NUMBER.match(word):
        return None
    text = word.strip("+(),%").rstrip("iB")
    unit = "KMGTPE".find(text[-1:]) + 1 if text[-1:] else 0
    try:
        return float(text.rstrip("KMGTPE").rstrip(",").replace(",", "")) * 1024 ** unit
    except ValueError:
        return None


def near(a, b, slack):
    return abs(a - b) <= max(0.05 * max(abs(a), abs(b)), slack)


def words_near(a, b, slack):
    """Two lines: the same words, numbers near each other."""
    x, y = a.split(), b.split()
    if len(x) != len(y):
        return False
    for p, q in zip(x, y):
        m, n = value(p), value(q)
        if p != q and (m is None or n is None or not near(m, n, slack)):
            return False
    return True


def numbers(slack):
    def rule(live, shadow, moment):
        a, b = lines(live), lines(shadow)
        wrong = [f"-{x} +{y}" for x, y in zip(a, b) if not words_near(x, y, slack)]
        if len(a) != len(b):
            wrong.append(f"{len(a)} lines live, {len(b)} in the shadow: "
                         + first_differences([re.sub(r'\d+', 'N', x) for x in a], [re.sub(r'\d+', 'N', y) for y in b]))
        return "; ".join(text[:250] for text in wrong[:6]) + (f" … {len(wrong)} in all" if len(wrong) > 6 else "")
    return rule


def keys(live, shadow, moment):
    """The same lines with other numbers."""
    def names(text):
        return [" ".join(word for word in line.split() if value(word) is None) for line in lines(text)]
    a, b = names(live), names(shadow)
    return "" if a == b else first_differences(a, b)


# --- times --- #

CLOCK = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)(?:\.(\d+))?$")
SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(months?|weeks?|days?|d|hours?|h|minutes?|min|m|seconds?|s|ms)\b")
UNIT = {"mo": 2629800, "w": 604800, "d": 86400, "h": 3600, "mi": 60, "m": 60, "s": 1, "ms": 0.001}


def clock_seconds(word):
    found = CLOCK.match(word)
    if not found:
        return None
    days, hours, minutes, seconds, fraction = found.groups()
    if hours is None and days is None and fraction is None and len(word) == 5:
        # H:MM of ps's TIME: minutes and seconds; STIME's HH:MM is the same to us.
        return int(minutes) * 60 + int(seconds)
    return (int(days or 0) * 86400 + int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
            + float("0." + (fraction or "0")))


def times_equal(a, b, moment):
    """Two lines: the same words, times within SECONDS, also of those that went on meanwhile."""
    x, y = a.split(), b.split()
    if len(x) != len(y):
        return False
    for p, q in zip(x, y):
        if p == q:
            continue
        m, n = clock_seconds(p), clock_seconds(q)
        if m is not None and is_date_of(q, m, moment):
            continue
        if m is None or n is None:
            m, n = value(p), value(q)
            if m is None or n is None or not near(m, n, 4.0):
                return False
        elif min(abs(n - m), abs(n - m - moment.shift), since_wrong(m, n, moment)) > SECONDS:
            return False
    return True


def is_date_of(word, minutes, moment):
    """Whether a start that was HH:MM live, `minutes` of its day, is now of an earlier day, of which ps's START tells the date alone."""
    live = moment.now - moment.shift - moment.slept
    start = live - (live / 60 - minutes) % 1440 * 60 + moment.slept
    days = [time.strftime("%b%d", time.gmtime(at)) for at in (start, start + 60 + SECONDS, moment.now)]
    return word in days[:2] and word != days[2]


def since_wrong(m, n, moment):
    """ps's STIME is HH:MM, which clock_seconds() took for minutes and seconds."""
    return max(0, abs((n - m) * 60 - moment.slept) - 60) if m < 1440 and n < 1440 else 1e9


def since(live, shadow, moment):
    """A date and time, computed from the time of day."""
    from datetime import datetime
    a, b = (datetime.fromisoformat(text.decode().strip()) for text in (live, shadow))
    wrong = abs((b - a).total_seconds() - moment.slept) > SECONDS + 1  # both are cut to whole seconds
    return f"-{a} +{b}, slept {moment.slept:.1f} s" if wrong else ""


def virt(live, shadow, moment):
    return "" if shadow.strip() in (b"kvm", b"amazon", b"microsoft", b"none", live.strip()) else f"-{live!r} +{shadow!r}"


def ulimit(live, shadow, moment):
    def plain(text):
        return [line for line in lines(text) if not re.match(r"(file\(blocks\)|process|vmemory)", line)]
    a, b = plain(live), plain(shadow)
    return "" if a == b else first_differences(a, b)


def bbtop(live, shadow, moment):
    """The table alone; what stands above it others show. %CPU is of the moment."""
    def rows(text):
        table = {}
        for line in lines(text)[4:]:
            words = line.split(None, 7)
            if len(words) == 8 and int(words[0]) < moment.pid_end and "qemu-ga" not in words[7]:
                table[int(words[0])] = [without_work(" ".join(words[i] for i in (0, 1, 2, 3, 4, 7)))]
        return table
    return compare_tables(rows(live), rows(shadow), lambda a, b: a == b)


def is_woken(line):
    """Whose time goes on: the agent that runs the measuring, what it asks, and the kernel's helpers."""
    return re.search(r"qemu-ga|/sbin/init|\bsystemd$|systemd-journal|\[?(rcu_|kworker|ksoftirqd|kcompactd|jbd2)", line)


def times(live, shadow, moment):
    """But for those that the measuring wakes."""
    column = pid_column(live)
    return compare_tables(by_pid(live, moment, column), by_pid(shadow, moment, column),
                          lambda a, b: times_equal(a, b, moment) or is_woken(a) and is_woken(b))


def uptime_of(line):
    """Seconds of "up 1 day, 2:03" and "up 3 min", to the minute."""
    found = re.search(r"up\s+(?:(\d+) days?,\s+)?(?:(\d+):(\d+)|(\d+) min)", line)
    if not found:
        return None
    days, hours, minutes, only = found.groups()
    return int(days or 0) * 86400 + int(hours or 0) * 3600 + int(minutes or only or 0) * 60


def loads_of(line):
    found = re.search(r"load average: ([\d.]+), ([\d.]+), ([\d.]+)", line)
    return [float(x) for x in found.groups()] if found else []


def head_wrong(a, b, moment):
    """The line of uptime, w and top. Its time of day is that of the host's clock, which a namespace cannot shift."""
    x, y = uptime_of(a), uptime_of(b)
    if x is None or y is None or not -60 <= y - x - moment.shift <= 60:
        return f"-{a} +{b}"
    if any(abs(m - n) > LOAD for m, n in zip(loads_of(a), loads_of(b))):
        return f"load -{a} +{b}"
    m, n = re.search(r"(\d+) users?", a), re.search(r"(\d+) users?", b)
    return "" if bool(m) == bool(n) and (not m or m.group() == n.group()) else f"-{a} +{b}"


def uptime(live, shadow, moment):
    a, b = lines(live), lines(shadow)
    if not a or not b:
        return f"-{a} +{b}"
    if a[0].startswith("up ") and "load" not in a[0]:  # uptime -p
        x, y = sum_spans(a[0]), sum_spans(b[0])
        return "" if abs(y - x - moment.shift) <= 60 + SECONDS else f"-{a[0]} +{b[0]}"
    return head_wrong(a[0], b[0], moment) or ("" if a[1:] == b[1:] else first_differences(a[1:], b[1:]))


def sum_spans(text):
    total = 0.0
    for number, unit in SPAN.findall(text):
        short = next(u for u in ("mo", "ms", "mi", "w", "d", "h", "m", "s") if unit.startswith(u))
        total += float(number) * UNIT[short]
    return total


def load(live, shadow, moment):
    """"0.10 0.05 0.01 1/80 1234": the last two count and number the measuring, too."""
    a, b = live.split(), shadow.split()
    if len(a) != 5 or len(b) != 5 or any(abs(float(x) - float(y)) > LOAD for x, y in zip(a[:3], b[:3])):
        return f"-{live!r} +{shadow!r}"
    x, y = int(a[3].split(b"/")[1]), int(b[3].split(b"/")[1])
    return "" if abs(x - y) <= 8 else f"-{live!r} +{shadow!r}"


def memory(live, shadow, moment):
    a = {line.split(":")[0] if ":" in line else re.sub(r"[\d,.]+", "", line).strip(): line for line in lines(live)}
    b = {line.split(":")[0] if ":" in line else re.sub(r"[\d,.]+", "", line).strip(): line for line in lines(shadow)}
    wrong = [f"{key!r} only in one" for key in a.keys() ^ b.keys()]
    for key in a.keys() & b.keys():
        # CPU ticks, interrupts, forks: they go on; boot time is a time.
        ticks = re.search(r"ticks|interrupts|switches|forks|paged|pages|boot", key)
        if not words_near(a[key], b[key], 3000 if ticks else MEMORY_KB):
            wrong.append(f"-{a[key]} +{b[key]}")
    return "; ".join(wrong[:8]) + (f" … {len(wrong)} in all" if len(wrong) > 8 else "")


def top(live, shadow, moment):
    a, b = lines(live), lines(shadow)
    if len(a) < 8 or len(b) < 8:
        return f"{len(a)} and {len(b)} lines"
    wrong = [head_wrong(a[0], b[0], moment)]
    x, y = (int(re.search(r"(\d+) total", text).group(1)) for text in (a[1], b[1]))
    if abs(x - y) > 6:
        wrong.append(f"-{a[1]} +{b[1]}")
    for i in (3, 4):
        if not words_near(a[i], b[i], 4.0):
            wrong.append(f"-{a[i]} +{b[i]}")

    def row(p, q):
        u, v = p.split(), q.split()
        # PID USER PR NI VIRT RES SHR S %CPU %MEM TIME+ COMMAND
        if len(u) < 12 or len(v) < 12 or u[:4] != v[:4] or u[11:] != v[11:]:
            return u == v
        if u[7] != v[7] and not moving_state(u[11]):
            return False
        if "qemu-ga" in u[11]:
            return True
        if abs(clock_seconds(u[10]) - clock_seconds(v[10])) > SECONDS:
            return False
        return all(near(value(m), value(n), 512) for m, n in zip(u[4:7], v[4:7]))
    wrong.append(compare_tables(by_pid("\n".join(a[7:]).encode(), moment, 0), by_pid("\n".join(b[7:]).encode(), moment, 0),
                                row))
    return "; ".join(text for text in wrong if text)


def moving_state(name):
    """Those that the measuring itself wakes: the kernel's own helpers, and the agent that runs it."""
    return name.startswith(("kworker", "rcu_", "ksoftirqd", "kcompactd", "jbd2", "qemu-ga"))


# --- files and keys --- #

FD_TIME = re.compile(r"^(\S+\s+\d+\s+\S+\s+\S+\s+\d+) \S+\s+\d+\s+\S+ ")


def fds(live, shadow, moment):
    """The time of a link in /proc/PID/fd is when somebody looked at it first."""
    def plain(text):
        return [FD_TIME.sub(r"\1 ", line) for line in lines(text)]
    a, b = plain(live), plain(shadow)
    return "" if a == b else first_differences(a, b)


# Directories in which every unit that starts or ends, and the measuring is one, makes or removes a name.
UNITS_TIME = re.compile(r" \w{3} [ \d]\d \d\d:\d\d (units|streams)$")


def listing(live, shadow, moment):
    """systemd touches systemd-units-load whenever it reads a unit, which the measuring has it do."""
    def plain(text):
        return [UNITS_TIME.sub(r" \1", line) for line in lines(text)
                if not line.startswith("total ") and "systemd-units-load" not in line]
    a, b = plain(live), plain(shadow)
    return "" if a == b else first_differences(a, b)


# They count or number what goes on, or are random at each read.
MOVING_KEYS = re.compile(
    r"^(kernel\.random\.(uuid|entropy_avail)|fs\.(dentry-state|inode-state|inode-nr|file-nr|quota\..*)|kernel\.ns_last_pid"
    r"|kernel\.pty\.nr|net\.netfilter\.nf_conntrack_count|kernel\.perf_event_max_sample_rate"
    r"|net\.ipv[46]\.route\..*_version|kernel\.sched_domain\..*)$")


def sysctl(live, shadow, moment):
    def table(text):
        return dict(line.split(" = ", 1) if " = " in line else (line.split(" =")[0], "") for line in lines(text))
    a, b = table(live), table(shadow)
    absent = sorted(a.keys() - b.keys())
    wrong = [f"{key} is made up" for key in b.keys() - a.keys()]
    wrong += [f"{key}: -{a[key]} +{b[key]}" for key in sorted(a.keys() & b.keys())
              if a[key] != b[key] and not MOVING_KEYS.match(key)]
    if len(absent) > 0.05 * len(a):
        wrong.append(f"{len(absent)} of {len(a)} keys are absent: {' '.join(absent[:12])}")
    return "; ".join(wrong[:8]) + (f" … {len(wrong)} in all" if len(wrong) > 8 else "")


def cpuinfo(live, shadow, moment):
    """The clock's measured rate moves with an emulated CPU."""
    def plain(text):
        return [line for line in lines(text) if not re.match(r"^(cpu MHz|bogomips|BogoMIPS|CPU.*MHz)", line.strip())]
    a, b = plain(live), plain(shadow)
    return "" if a == b else first_differences(a, b)


def status(live, shadow, moment):
    """Context switches and resident memory go on."""
    def table(text):
        return [line for line in lines(text) if not re.match(r"^(nonvoluntary|voluntary)_ctxt", line)]
    a, b = table(live), table(shadow)
    wrong = [f"-{x} +{y}" for x, y in zip(a, b) if x != y and not (x.startswith(("Vm", "Rss")) and words_near(x, y, 512))]
    return "; ".join(wrong[:6]) if len(a) == len(b) else first_differences(a, b)


def stat(live, shadow, moment):
    def plain(text):
        return [line for line in lines(text) if not line.startswith("intr ")]
    return numbers(3000)("\n".join(plain(live)).encode(), "\n".join(plain(shadow)).encode(), moment)


# --- what is told in another way, or not at all --- #

def after(change):
    """The same once `change` has taken out of each line what cannot agree; None: the line goes."""
    def rule(live, shadow, moment):
        a, b = ([changed for line in lines(text) if (changed := change(line)) is not None] for text in (live, shadow))
        return "" if a == b else first_differences(a, b)
    return rule


def listener(line):
    """ss reads /proc/net, which tells no backlog (Send-Q of a listener) and not that a socket takes IPv6 alone."""
    words = line.replace("[::]:", "*:").split()
    if len(words) > 3 and words[1] == "LISTEN":
        words[3] = "-"
    return " ".join(words)


LIFETIME = re.compile(r"(valid_lft|preferred_lft) (\d+)sec")


def addresses(live, shadow, moment):
    """The interfaces are taps of the shadow's: their queue is the host's, other names of theirs are not made."""
    def plain(text):
        found = [LIFETIME.sub(r"\1", re.sub(r"qdisc \S+", "qdisc", line)) for line in lines(text) if "altname" not in line]
        return found, [int(seconds) for _, seconds in LIFETIME.findall(text.decode())]
    (a, m), (b, n) = plain(live), plain(shadow)
    if a != b:
        return first_differences(a, b)
    # They begin anew with each advertisement of the router, and when a lease is renewed: then more is left.
    wrong = [f"{x} and {y} seconds" for x, y in zip(m, n) if y < x - moment.shift - SECONDS - 1]
    return "; ".join(wrong)


def processor(line):
    """What firmware says, how the host's CPU is vulnerable, and CPUID; with less lines the columns are narrower."""
    line = squeezed(line)
    return None if re.match(r"BIOS |Vulnerab|Hypervisor|Virtualization|BogoMIPS|CPU.*MHz", line) else line


def block_device(line):
    """The type of a SCSI device is not read."""
    return re.sub(r"(sr\d.*) (rom|disk)$", r"\1", line.rstrip())


OPEN_FILE = re.compile(r"(\S+ (\d+) \S+) (\S+) (REG|DIR|FIFO|CHR|BLK|LNK|a_inode) (\d+,\d+) (?:(\d\S*) )?(\d+) (.*)$")
MADE_ANEW = ("/proc/", "/sys/")


def open_files(live, shadow, moment):
    """
    lsof asks stat(2) of each open file. What differs, and nothing else:
    - the device of a file system is that of the shadow's mount (device nodes keep theirs);
    - so lsof takes what is mapped for another file than the one at the path: it tells the device of that, no size, and
      lists the program itself once more as "mem";
    - the numbers of files of /proc and /sys, and of the one file that all of type
      a_inode are: the host's; the size of a directory of /sys.
    """
    def plain(text):
        found, programs = [], set()
        for line in map(squeezed, lines(text)):
            match = OPEN_FILE.match(line)
            words = line.split()
            if len(words) > 1 and words[1].isdigit() and int(words[1]) >= moment.pid_end:
                continue
            if not match:
                found.append(line)
                continue
            who, pid, fd, kind, device, size, node, name = match.groups()
            name = re.sub(r" \(path dev=\S+\)$", "", name)
            if fd == "txt":
                programs.add((pid, name))
            if fd == "mem" and (pid, name) in programs:
                continue
            anew = name.startswith(MADE_ANEW)
            found.append(" ".join((who, fd, kind, device if kind in ("CHR", "BLK") else "-",
                                   "-" if fd == "mem" or name.startswith("/sys/") else size or "-",
                                   "-" if anew or kind == "a_inode" else node, name)))
        return found
    a, b = plain(live), plain(shadow)
    return "" if a == b else first_differences(a, b)


def namespaces(live, shadow, moment):
    """lsns counts processes: the measuring ones, too, which in the shadow are in some namespaces of their own."""
    def table(text):
        rows = (line.split(None, 5) for line in lines(text) if line.split()[:1] != ["NS"])
        return {(ns, kind): (pid, user, command.lstrip("|`- "), int(n)) for ns, kind, n, pid, user, command in rows
                if int(pid) < moment.pid_end}
    a, b = table(live), table(shadow)
    wrong = [f"{key}: -{a.get(key)} +{b.get(key)}" for key in sorted(a.keys() | b.keys())
             if key not in a or key not in b or a[key][:3] != b[key][:3] or abs(a[key][3] - b[key][3]) > 8]
    return "; ".join(wrong[:6])


def subset(live, shadow, moment):
    """Memory does not tell all of it, but nothing is made up."""
    more = sorted(set(map(squeezed, lines(shadow))) - set(map(squeezed, lines(live))))
    return "; ".join(f"+{line}" for line in more[:6])


def log(live, shadow, moment):
    """What came after the program ran stands at the end; as much may be cut off at the beginning."""
    a, b = lines(live), lines(shadow)
    same_part = any(b[:len(a) - k] == a[k:] for k in range(len(a) // 2 + 1))
    return "" if same_part else first_differences(a, b)


def statistics(live, shadow, moment):
    """Counters that go on: one that was 0, which netstat leaves out, may have come."""
    def names(text):
        return {re.sub(r"\d+", "N", squeezed(line)) for line in lines(text)}
    return "; ".join(f"-{name}" for name in sorted(names(live) - names(shadow))[:6])


def superset(live, shadow, moment):
    """A table that grows with what went on later."""
    return subset(shadow, live, moment).replace("+", "-")


def link(line):
    """The interfaces are taps of the shadow's: queue and counters are the host's, other names of theirs are not made."""
    line = re.sub(r"qdisc \S+", "qdisc", squeezed(line))
    return None if "altname" in line or re.match(r"[\d ]+$", line) else line


def unix(live, shadow, moment):
    """In the order of /proc/net, which does not tell who is at the other end."""
    def table(text):
        rows = sorted(line.split()[:2] + line.split()[4:6] for line in lines(text)[1:])
        return [" ".join(row) for row in rows]
    a, b = table(live), table(shadow)
    return "" if a == b else first_differences(a, b)


def unit(live, shadow, moment):
    """State and first process. The rest is in the service manager's own memory, which nobody reads."""
    def facts(text):
        return re.findall(r"Active: [^)]*\)|Main PID: \d+ \(.*?\)", text.decode(errors="replace"))
    a, b = facts(live), facts(shadow)
    return "" if a == b else f"-{a} +{b}"


def running(live, shadow, moment):
    """Services that run: of others the manager alone knows. One that has ended but left a process (ifup) runs to us."""
    def names(text):
        return sorted(line.split()[0] for line in lines(text) if " running" in line and not line.startswith("ifup@"))
    a, b = names(live), names(shadow)
    return "" if a == b else first_differences(a, b)


def groups(live, shadow, moment):
    """Processes by control group, without the ids and attributes of the groups."""
    def pids(text):
        found = re.findall(r"[├└]─\s*(\d+) (.*)", text.decode(errors="replace"))
        return sorted((int(pid), command) for pid, command in found if int(pid) < moment.pid_end)
    a, b = pids(live), pids(shadow)
    return "" if a == b else f"{sorted(set(a) ^ set(b))}"[:300]


def device_file(line):
    """What is mounted below /dev has the shadow's own root; the disk is a loop of the host's, with its number."""
    name = line.split(" -> ")[0].split()[-1:]
    if name and (name[0] in ("pts", "ptmx", "hugepages", "mqueue", "shm", ".", "..") or name[0].startswith("vd")):
        return None
    return None if line.startswith("total ") else squeezed(line)


RULES = {
    "subset": subset, "superset": superset, "log": log, "statistics": statistics, "links": after(link), "unix": unix,
    "unit": unit, "running": running, "groups": groups, "devices": after(device_file),
    "listeners": after(listener), "addresses": addresses, "lscpu": after(processor), "lsblk": after(block_device),
    "lsof": open_files, "namespaces": namespaces,
    "same": same, "processes": processes, "pgrep": pgrep, "pstree": pstree, "sizes": numbers(MEMORY_KB), "keys": keys,
    "counters": numbers(COUNTER), "times": times, "uptime": uptime, "load": load, "memory": memory, "top": top,
    "fds": fds, "listing": listing, "sysctl": sysctl, "cpuinfo": cpuinfo, "status": status, "stat": stat,
    "since": since, "virt": virt, "ulimit": ulimit, "bbtop": bbtop,
}
