# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a guest while an update is applied to it, and what must come of it."""
import dataclasses
import re
import shutil

from oracle.shell import Failed

from . import tree
from .campaign import check_file_system
from .fixture import mounted
from .machine import Recovery


@dataclasses.dataclass(frozen=True)
class Fault:
    """A function of tests/vm/guest/powerloss-faults. `first`: the exit statuses its apply may have; `says`: what its last word
    must match; `second`: the exit status of another apply in the same guest, None where there is none; `trees`: what there may
    be after that, and after a recovery; `breaks`: what fails on its disk; `left`: the guest can unmount it; `proof`: the word
    with which the guest says, by a number that is not 0, that the fault was there."""
    name: str
    first: tuple
    says: str
    second: int = 0
    trees: tuple = (tree.ALL,)
    breaks: str = ""
    left: bool = True
    proof: str = ""


# What stands is durable before "switched" is said; before "staged" is said, no path was touched. In between it depends on the moment.
EITHER = (tree.ALL, tree.NONE)
KILLED = "helper was killed; run apply or recover again"
# What the helper knows of the payload lies in its files, too.
UNREADABLE = r'"result":"(failed|rolled-back)".*(I/O error|helper was killed: a disk did not give)'
BROKEN = r'"result":"(failed|rolled-back)".*(I/O error|Read-only file system)'
FAULTS = (
    Fault("helper_killed_staging", (1,), KILLED),
    Fault("helper_killed_acting", (1,), KILLED),
    Fault("channel_cut", (137,), "", proof="alone"),
    Fault("stream_cut", (1,), r'"result":"failed".*payload'),
    Fault("out_of_memory", (0,), r'"result":"applied"', second=None, proof="killed"),
    Fault("full_before", (1,), r'"result":"no-space"'),
    Fault("filled_staging", (1,), r'"result":"no-space"', proof="filled"),
    Fault("filled_committed", (0,), r'"result":"applied"', proof="filled"),
    Fault("read_only_before", (1,), r"[Rr]ead-only"),
    Fault("write_errors_staging", (1,), BROKEN, second=None, trees=(tree.NONE,), breaks="write", left=False, proof="broken"),
    Fault("write_errors_switching", (1, 4), BROKEN, second=None, trees=EITHER, breaks="write", left=False, proof="broken"),
    Fault("write_errors_committed", (1, 4), BROKEN, second=None, trees=(tree.ALL,), breaks="write", left=False, proof="broken"),
    Fault("read_errors_committed", (1, 4), UNREADABLE, second=None, trees=EITHER, breaks="read", left=False, proof="broken"),
    Fault("read_only_staging", (1,), r'"result":"failed".*Read-only file system', second=None, trees=(tree.NONE,), left=False,
          proof="readonly"),
)


def of_disk(said, name):
    """What the guest said of one disk, and the numbers in it by their words."""
    part = said[said.find(f"@ {name} begins"):said.find(f"@ {name} over")]
    return part, {word: int(number) for word, number in re.findall(rf"^@ {name} (\w+) (\d+)", part, re.M)}


def last_word(part, which, name):
    """The end of the report that apply ended with."""
    found = re.search(rf"^@ {name} {which} \d+\r?\n((?:[^@].*\n?)*)", part, re.M)
    lines = found[1].strip().splitlines() if found else []
    return lines[-1] if lines else ""


class Faults:
    """All of them on disks of their own; three guests: one that has the faults, one that boots after it, and the next resume."""

    def __init__(self, fixture, guests, work, say):
        self.fixture, self.guests, self.work, self.say = fixture, guests, work, say
        self.before, self.after = fixture.trees()
        self.failed = False

    def check(self, name, problem):
        self.failed |= bool(problem)
        self.say(f"not ok {name}: {problem}" if problem else f"ok {name}")

    def run(self, faults):
        images = [self.work / f"{fault.name}.img" for fault in faults]
        for image in images:
            shutil.copy(self.fixture.disk, image)
        identity, payload = f"id={self.fixture.facts()['id']}", self.fixture.payload
        broken = {image: fault.breaks for fault, image in zip(faults, images) if fault.breaks}
        words = f"{identity} faults={','.join(fault.name for fault in faults)}"
        for fault, (name, said) in zip(faults, self.guests.on_each("faults", self.fixture.file_system, images, words, payload, broken)):
            self.judge_fault(fault, name, said)
        for fault, image, (name, said) in zip(faults, images, self.guests.on_each("recover", self.fixture.file_system, images)):
            self.check(f"{fault.name}: recovery", Recovery(name, said).problem())
            self.judge_tree(f"{fault.name}: the tree", image, fault.trees)
        for fault, image, (name, said) in zip(faults, images, self.guests.on_each("again", self.fixture.file_system, images, identity, payload)):
            part, numbers = of_disk(said, name)
            self.check(f"{fault.name}: applied again", "" if numbers.get("first") == 0 and '"result":"applied"' in part else part[-600:])
            self.judge_tree(f"{fault.name}: the whole update", image, (tree.ALL,))
        return not self.failed

    def judge_fault(self, fault, name, said):
        part, numbers = of_disk(said, name)
        problem = ""
        if numbers.get("first") not in fault.first:
            problem = f"apply ended with {numbers.get('first')}, not one of {fault.first}"
        elif fault.says and not re.search(fault.says, last_word(part, "first", name)):
            problem = f"its last word is {last_word(part, 'first', name)!r}"
        elif fault.second is not None and numbers.get("second") != fault.second:
            problem = f"the second apply ended with {numbers.get('second')}"
        elif fault.left and f"@ {name} left" not in part:
            problem = "the guest cannot unmount the disk"
        elif fault.proof and not numbers.get(fault.proof):
            problem = f"the fault was not there: {fault.proof} {numbers.get(fault.proof)}"
        elif f"@ {name} never" in part:
            problem = "the fault came too late"
        elif f"@ {name} hangs" in part:
            problem = "apply did not end"
        self.check(f"{fault.name}: apply", f"{problem}: {part[-1500:]!r}" if problem else "")

    def judge_tree(self, name, image, trees):
        mount = self.work / "look"
        faults = check_file_system(self.fixture.file_system, image)
        try:
            with mounted(image, mount):
                found, why = tree.judge(tree.snapshot(mount), self.before, self.after)
        except Failed as failure:
            found, why = tree.MIXED, [str(failure)]
        faults += why + ([] if found in trees else [f"{found}, not {' or '.join(trees)}"])
        self.check(name, "; ".join(faults))
