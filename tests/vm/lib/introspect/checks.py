# SPDX-License-Identifier: Apache-2.0
"""Prints one line a check, and counts."""
import base64


class Checks:
    """Prints one line a check."""

    def __init__(self, case):
        self.case, self.passed, self.failed, self.skipped = case, 0, 0, 0

    def check(self, name, why):
        """Holds if `why` is empty."""
        if why:
            self.failed += 1
        else:
            self.passed += 1
        print(f"not ok {self.case}: {name}: {why}" if why else f"ok {self.case}: {name}", flush=True)

    def equal(self, name, found, wanted):
        self.check(name, "" if found == wanted else f"found {found!r}, the guest said {wanted!r}"[:600])

    def same_items(self, name, found, wanted, shown=4):
        """Two dicts by key: nothing missing, nothing made up, and each the same."""
        wrong = [f"{key!r} is missing" for key in wanted if key not in found]
        wrong += [f"{key!r} is made up" for key in found if key not in wanted]
        wrong += [f"{key!r}: found {found[key]!r}, the guest said {wanted[key]!r}"
                  for key in wanted if key in found and found[key] != wanted[key]]
        more = f" (and {len(wrong) - shown} more)" if len(wrong) > shown else ""
        self.check(f"{name} ({len(wanted)})", "; ".join(text[:300] for text in wrong[:shown]) + more if wrong else "")

    def same_list(self, name, found, wanted, shown=3):
        """Two lists, in order."""
        wrong = [f"number {i}: found {a!r}, the guest said {b!r}" for i, (a, b) in enumerate(zip(found, wanted)) if a != b]
        if len(found) != len(wanted):
            wrong.append(f"{len(found)} instead of {len(wanted)}")
        self.check(f"{name} ({len(wanted)})", "; ".join(text[:400] for text in wrong[:shown] + wrong[-1:]) if wrong else "")

    def skip(self, name, why):
        self.skipped += 1
        print(f"ok {self.case}: {name} # SKIP {why}", flush=True)


def field(entry, name):
    """The bytes of a member of a document: NAME_b64 has them where NAME cannot."""
    if name + "_b64" in entry:
        encoded = entry[name + "_b64"]
        if isinstance(encoded, list):
            return [base64.b64decode(item) for item in encoded]
        return base64.b64decode(encoded)
    value = entry[name]
    if isinstance(value, list):
        return [item.encode() for item in value]
    return None if value is None else value.encode()


def number(value):
    """A number, or an address as "0x…"."""
    return int(value, 0) if isinstance(value, str) else value
