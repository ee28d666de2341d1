# SPDX-License-Identifier: Apache-2.0
"""The survey's part of doc/oracle.md, of the results that are kept."""
import json
import re

from oracle.campaign import CACHE
from oracle.report import EARLIER

from . import rule

VERDICTS = {"offline": "all scripts ran offline", "recorded": "actions were recorded", "deferred": "deferred whole",
            "failed": "failed", "not run": "not run"}

FAILED = "### What failed or was deferred"
SAMPLE = "### Run again since"

HEAD = f"""## The survey

`tests/vm/survey` installs {rule.N} packages that nobody chose, each with what it depends on, in the shadow of the suspended demo
guest, and keeps what became of their maintainer scripts. `tests/vm/lib/survey/rule.py` says how they are drawn, with a seed
that stood there before the first was installed: packages of the release pocket whose preinst or postinst has commands
of its own beside debhelper's snippets. {rule.REPLAYED} of them, drawn too, are also woken: the replay succeeded if every
action that was not skipped with a reason ended with 0, `dpkg --audit` is silent, all packages are installed in the promised versions and
the gate is open.

    tests/vm/survey                     # those that have no result yet
    tests/vm/survey --replay            # the drawn few are woken
    tests/vm/survey --elsewhere NAME    # the same installation in a plain chroot of the guest's disk
"""


def load(directory, drawn, kind=""):
    """{name: result}"""
    files = {package["name"]: directory / "results" / f"{package['name']}{kind}.json" for package in drawn}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}


def share(n, of):
    return f"{100 * n / of:.1f} %" if of else ""


def summary(drawing, results):
    drawn = drawing["drawn"]
    counts = dict.fromkeys(VERDICTS, 0)
    for package in drawn:
        counts[results.get(package["name"], {"verdict": "not run"})["verdict"]] += 1
    ran = len(drawn) - counts["not run"]
    over = ", ".join(f"{n} {why}" for why, n in sorted(drawing["passed_over"].items()))
    lines = [f"Seed: `{drawing['seed']}`. Of {drawing['population']} packages, {drawing['looked_at']} were looked at until "
             f"{len(drawn)} were drawn; passed over: {over}.", "",
             "| what became of the scripts | packages | share of those that were run |", "| --- | --- | --- |"]
    for verdict, words in VERDICTS.items():
        lines.append(f"| {words} | {counts[verdict]} | {'' if verdict == 'not run' else share(counts[verdict], ran)} |")
    good = counts["offline"] + counts["recorded"]
    actions = sum(len(result.get("actions") or ()) for result in results.values())
    lines += ["", f"Offline or recorded: {good} of {ran}, {share(good, ran)}. {actions} actions in all."]
    return lines


def of_failures(results, elsewhere):
    wrong = [result for result in results.values() if result["verdict"] in ("failed", "deferred")]
    lines = ["", FAILED, ""]
    for result in wrong:
        lines += [f"#### {result['name']}: {result['verdict']}", ""]
        for script in result.get("deferred") or ():
            lines.append(f"- {script.get('package')} {script.get('script')}: {script.get('why')}")
        if "failure" in result:
            lines += ["```", *(line[:200] for line in result["failure"].splitlines()[-8:]), "```"]
        if other := elsewhere.get(result["name"]):
            lines.append(f"In a plain chroot: {'the same' if other['status'] else 'goes through'} (apt's status {other['status']}).")
        lines.append("")
    return lines if wrong else [*lines, "Nothing of what was run.", ""]


def earlier_replays(names, before):
    """{name: the cells behind it} of the page's replays whose results are gone."""
    rows = [[cell.strip() for cell in line.strip("|").split(" |")] for line in before.splitlines() if line.startswith("| ")]
    return {row[0]: [row[1].removesuffix(EARLIER), *row[2:]] for row in rows
            if len(row) == 5 and row[0] in names and row[1] != "not run"}


def of_replays(drawn, replays, before):
    names = rule.replayed(package["name"] for package in drawn)
    good = sum(not replays[name]["failure"] for name in names if name in replays)
    gone = {name: cells for name, cells in earlier_replays(names, before).items() if name not in replays}
    earlier = (f"{sum(cells[0] == 'succeeded' for cells in gone.values())} of {len(gone)} of earlier runs, whose results are gone "
               f"(\"{EARLIER.strip(' ()')}\" in the table), succeeded; " if gone else "")
    lines = ["### Woken", "", f"{good} of {sum(name in replays for name in names)} replays that were run succeeded; {earlier}"
             f"{sum(name not in replays and name not in gone for name in names)} were not run.", "",
             "| package | replay | actions | skipped | online, s |", "| --- | --- | --- | --- | --- |"]
    for name in names:
        result = replays.get(name)
        if name in gone:
            lines.append(f"| {name} | {gone[name][0]}{EARLIER} | {' | '.join(gone[name][1:])} |")
            continue
        if not result:
            lines.append(f"| {name} | not run | | | |")
            continue
        resume = result.get("resume") or {}
        actions = resume.get("actions") or ()
        words = result["failure"].replace("|", "\\|").replace("\n", " ")[:300] or "succeeded"
        lines.append(f"| {name} | {words} | {len(actions)} | {sum(bool(action.get('skipped')) for action in actions)} | "
                     f"{resume.get('online_s') or 0:.0f} |")
    return lines


def of_packages(drawn, results):
    lines = ["", "### Drawn", "", "| package | version | scripts | result | packages | actions | emulation, s | date |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for package in drawn:
        result = results.get(package["name"], {"verdict": "not run"})
        seconds = f"{result['emulation_s']:.0f}" if result.get("emulation_s") else ""
        lines.append(f"| {package['name']} | {package['version']} | {' '.join(package['scripts'])} | {result['verdict']} | "
                     f"{len(result.get('packages') or package['installs'])} | {len(result.get('actions') or ())} | {seconds} | "
                     f"{result.get('date', '')} |")
    return lines


def sample(directory):
    """The results of packages that were named on a machine where none were drawn."""
    files = directory.glob("*.json") if directory.exists() else ()
    results = [json.loads(file.read_text()) for file in files]
    return [result for result in results if "verdict" in result]


def with_sample(text, results):
    """The section with a paragraph on those that were run again, in the place of an earlier one."""
    text = re.sub(rf"{SAMPLE}.*?(?=^### )", "", text, flags=re.MULTILINE | re.DOTALL)
    rows = [[cell.strip() for cell in line.strip("|").split(" |")] for line in text.splitlines()]
    before = {row[0]: row[3] for row in rows if len(row) == 8}
    results = [result for result in results if result["name"] in before]
    if not results:
        return text
    dates = sorted({result["date"] for result in results})
    lines = [SAMPLE, "", f"{len(results)} of them were installed again, {' to '.join(sorted({dates[0], dates[-1]}))}; "
             f"{sum(result['verdict'] == before[result['name']] for result in results)} came out as the table below has them, "
             f"which is of the earlier run."]
    lines += [f"- {result['name']}: {before[result['name']]} there, {result['verdict']} now" for result in results
              if result["verdict"] != before[result["name"]]]
    return text.replace(FAILED, "\n".join([*lines, "", FAILED]), 1)


def section(key, before=""):
    """The text for the base guest KEY; `before`: what the page has, which stays where nothing was drawn on this machine."""
    directory = CACHE / "survey" / key
    if not (directory / "drawn.json").exists():
        return with_sample(before or HEAD + "\nNot run.\n", sample(directory / "results"))
    drawing = json.loads((directory / "drawn.json").read_text())
    drawn = drawing["drawn"]
    results = load(directory, drawn)
    lines = [HEAD, *summary(drawing, results), *of_failures(results, load(directory, drawn, ".elsewhere")),
             *of_replays(drawn, load(directory, drawn, ".replay"), before), *of_packages(drawn, results)]
    return "\n".join(lines) + "\n"
