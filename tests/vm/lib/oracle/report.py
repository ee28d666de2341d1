# SPDX-License-Identifier: Apache-2.0
"""What a run prints, and doc/oracle.md."""

import re

SHOWN = 60
EARLIER = " (earlier)"
CELLS = 12  # of a row of the table of steps

HEAD = """# The oracle

`tests/vm/oracle PACKAGE...` copies a suspended guest. One copy is updated offline (`ouassister update`, `resume`); the other
is woken and updated by apt inside of it, with the same options and environment, the same frozen lists and the same
packages. Then both are compared: of every path type, mode, owner, content, target of links, extended attributes, names
of one inode, and its time where that came with a package; dpkg's database, its list and `dpkg --verify`; the states of
all units, unit files and their links, what failed, which programs run in each unit and whether they are the files now at
their paths; sockets, modules, and the files in `/run`, `/tmp`, `/dev/shm`. Users, groups, alternatives, diversions and
answers to debconf are files among these.

    tests/vm/oracle redis               # any packages
    tests/vm/oracle --set nginx         # a set of tests/vm/lib/oracle/sets; --set nginx/upgrade: one step
    tests/vm/oracle --short             # four quick ones, as ./check does
    tests/vm/oracle --all               # all sets; goes on where it was stopped. Hours on an emulated CPU
    tests/vm/oracle --report            # writes this page, of the results that are kept

Differences that are no fault stand in `tests/vm/lib/oracle/tolerated`, each with its reason; every run prints what each
entry excused. A unit that was removed, and whose stop failed in the conventional copy alone, is named, and is no fault
of the offline one. A process of the offline copy that maps a replaced file must be one that `resume` has named.
Paragraphs of debconf's and dpkg's databases may come in another order, and of an initramfs its files count, not their
order and times; of a Berkeley DB its keys and values, of a Java key store its certificates.
The clock of both copies is set when they wake; packages come without those that they only recommend; needrestart's hook
is told to do nothing in both, for the offline copy has a restart plan of its own.

Nothing of the conventional copy is this program's work. So it is kept, with the guest that it began with and the packages
that it was given, and a step that is run again compares a new offline copy with it. If they differ, a new conventional copy
is made as well before that is called a difference; `--both` makes it in any case.

This page is generated. Guest: Debian 12 (`tests/vm/recipes/demo`) as of the release pocket.
"""


def first_version(result):
    """NAME OLD -> NEW of the packages that the step named."""
    for package in (result.get("bundle") or {}).get("packages") or []:
        if result["packages"][:1] in ([package["name"].split(":")[0]], []):
            return f"{package['name']} {package['old'] or '-'} → {package['new'] or '-'}"
    return ""


def verdict(result):
    if "failure" in result:
        return "failed"
    return "same" if result["passed"] else f"{len(result['differences'])} differences"


def number(value):
    return "" if value is None else f"{value:.0f}"


class Page:
    """The page as it stands: what a machine that has not the results of all steps would forget."""

    def __init__(self, path):
        text = path.read_text() if path.exists() else ""
        self.rows = {}
        for line in text.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split(" |")]
            if len(cells) == CELLS and cells[2] != "not run":
                self.rows[cells[0], cells[1]] = cells
        # With the heading's own line; up to the next.
        self.wrong = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
        found = re.search(r"^## The survey$.*", text, re.MULTILINE | re.DOTALL)
        self.survey = found.group() if found else ""

    def row(self, step):
        """Of an earlier run; None: there is none."""
        cells = self.rows.get((step.chain, step.kind))
        if cells is None:
            return None
        return "| " + " | ".join([*cells[:-1], cells[-1].removesuffix(EARLIER) + EARLIER]) + " |"

    def passed(self, step):
        return self.rows[step.chain, step.kind][2] == "same"


def row(result):
    bundle, resume = result.get("bundle") or {}, result.get("resume") or {}
    cells = [result["set"], result["step"], verdict(result), first_version(result), str(len(bundle.get("packages") or [])),
             str(len(bundle.get("actions") or [])), str(result.get("paths", "")),
             str(sum(map(len, result.get("excused", {}).values()))), number(bundle.get("emulation_s")),
             number(resume.get("online_s")), number(result.get("conventional_s")), result["date"]]
    return "| " + " | ".join(cells) + " |"


def counted(results, earlier, steps, page):
    """One sentence each of what has its result here, of what the page has of other runs, and of the rest."""
    words = [f"{len(results)} steps with a result on this machine: {sum(result['passed'] for result in results)} passed."]
    if earlier:
        words.append(f"{len(earlier)} of earlier runs, whose results are gone (\"{EARLIER.strip(' ()')}\" in the table): "
                     f"{sum(map(page.passed, earlier))} passed.")
    return " ".join([*words, f"{len(steps) - len(results) - len(earlier)} were not run.\n"])


def document(results, steps, entries, page):
    """doc/oracle.md; `steps`: all there are, in their order; `page`: as it was."""
    lines = [HEAD]
    if results:
        dates = results[0]["archive"]
        lines.append("Archive: " + "; ".join(f"{pocket} of {date}" for pocket, date in sorted(dates.items())) +
                     f". ouassister {results[0]['program']}.\n")
    known = {(result["set"], result["step"]): result for result in results}
    earlier = [step for step in steps if (step.chain, step.kind) not in known and page.row(step)]
    lines += [counted(results, earlier, steps, page),
              "| set | step | result | version | packages | actions | paths | excused | emulation, s | online, s | apt in the "
              "guest, s | date |", "|" + " --- |" * CELLS]
    for step in steps:
        result = known.get((step.chain, step.kind))
        lines.append(row(result) if result else page.row(step) or f"| {step.chain} | {step.kind} | not run |" + " |" * 9)
    lines += ["", "## What was not the same", ""]
    wrong = [line for result in results if not result["passed"] for line in of_failed(result)]
    for step in earlier:
        if not page.passed(step):
            wrong += [f"### {step}", page.wrong.get(str(step), "\n").rstrip("\n"), ""]
    lines += wrong or ["Nothing of what was run."]
    lines += ["", "## What each entry excused", "", "In the steps with a result on this machine.", "", "| entry | aspects | reason | times |",
              "| --- | --- | --- | --- |"]
    for entry in entries:
        times = sum(len(result.get("excused", {}).get(entry.path, ())) for result in results)
        lines.append(f"| `{entry.path}` | {', '.join(sorted(entry.aspects))} | {entry.reason} | {times} |")
    return "\n".join(lines) + "\n\n"


def of_failed(result):
    lines = [f"### {result['set']}/{result['step']}", ""]
    if "failure" in result:
        lines += ["```", *result["failure"].splitlines()[-12:], "```"]
    for fault in result.get("differences", ())[:SHOWN]:
        lines.append(f"- `{fault['path']}` {fault['what']}: offline {clip(fault['offline'])}, "
                     f"conventional {clip(fault['conventional'])}")
    return [*lines, ""]


def clip(text):
    text = str(text).encode("ascii", "backslashreplace").decode()
    return f"`{text[:120]}`" + ("…" if len(text) > 120 else "")


def show(result, say):
    """The lines of one step: "ok" or "not ok", then what differs and what was excused."""
    name = f"{result['set']}/{result['step']}"
    if result["passed"]:
        say(f"ok {name}: {result['paths']} paths and {result['facts']} facts are the same")
    elif "failure" in result:
        say(f"not ok {name}: " + result["failure"].splitlines()[0])
        for line in result["failure"].splitlines()[1:]:
            say(f"#   {line}")
    else:
        say(f"not ok {name}: {len(result['differences'])} differences")
    for fault in result.get("differences", ()):
        say(f"#   {fault['path']} {fault['what']}: offline {fault['offline']}; conventional {fault['conventional']}"[:500])
    for unit in result.get("failed_there", ()):
        say(f"#   its stop failed in the conventional copy alone: {unit}")
    for path, names in result.get("excused", {}).items():
        say(f"#   excused by {path}: {len(names)}: " + ", ".join(names[:3]) + (" …" if len(names) > 3 else ""))
    for unit, files in (result.get("stale") or {}).get("offline", {}).items():
        say(f"#   runs replaced files, as resume has reported: {unit}: " + " ".join(files)[:200])
    timing = {"emulation": (result.get("bundle") or {}).get("emulation_s"), "apt": result.get("conventional_s"),
              "online": (result.get("resume") or {}).get("online_s"), "all": result.get("seconds")}
    say("#   seconds: " + ", ".join(f"{name} {number(value)}" for name, value in timing.items() if value is not None))


def unused(results, entries):
    return [entry.path for entry in entries if not any(result.get("excused", {}).get(entry.path) for result in results)]
