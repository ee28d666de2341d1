# SPDX-License-Identifier: Apache-2.0
"""Where the power is cut: places in the log of all writes, spread over the phases of the apply."""
import dataclasses

PHASES = ("check", "stage", "switch", "act", "verify")
# The event that ends each, as src/apply/report.h has them.
ENDS = {"check": "checked", "stage": "staged", "switch": "switched", "act": "restarted", "verify": "verified"}
# What begins when the last of them is over: the helper writes down that it is done.
LAST = "end"
FEW = 5


class NoPhase(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Point:
    """The power is cut when the first `at` requests of the log had reached the disk."""
    phase: str
    at: int


def bounds(marks):
    """{phase: (the first point in it, the last)} from the log's marks."""
    first = {}
    for index, name in marks:
        first.setdefault(name, index)
    found, begin = {}, first.get("started")
    for phase in PHASES:
        end = first.get(ENDS[phase])
        if begin is None or end is None:
            raise NoPhase(f"the log has no mark of the end of {phase}: {sorted(first)}")
        found[phase] = (begin + 1, end)
        begin = end
    # The result may be said and not yet be in the journal.
    found["verify"] = (found["verify"][0], first.get(LAST, found["verify"][1]))
    return found


def spread(first, last, n):
    """At most n of first … last, as far from each other as can be; both ends among them if they are more than a few."""
    if last < first:
        return []
    if n >= last - first + 1:
        return list(range(first, last + 1))
    if n <= FEW:
        return sorted({first + (2 * i + 1) * (last - first) // (2 * n) for i in range(n)})
    return sorted({first + round(i * (last - first) / (n - 1)) for i in range(n)})


def choose(marks, n_each):
    """[Point]; `n_each`: how many a phase, {phase: n}. What a short phase has not is taken from the others."""
    limits = bounds(marks)
    chosen = [Point(phase, at) for phase, (first, last) in limits.items() for at in spread(first, last, n_each.get(phase, 0))]
    others = [Point(phase, at) for phase, (first, last) in limits.items() if n_each.get(phase) for at in range(first, last + 1)
              if Point(phase, at) not in chosen]
    missing = sum(n_each.values()) - len(chosen)
    more = spread(0, len(others) - 1, missing) if missing > 0 else []
    return sorted([*chosen, *(others[i] for i in more)], key=lambda point: point.at)
