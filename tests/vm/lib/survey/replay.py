# SPDX-License-Identifier: Apache-2.0
"""Wakes a guest that a package was installed in, and looks whether all that it was promised has happened."""
import time

from oracle.shell import Failed


def faults(document, audit, gate, missing):
    """What is wrong in the woken guest; each a sentence."""
    for action in document["actions"]:
        if not action.get("skipped") and action.get("status"):
            said = (action.get("journal") or action.get("output") or "").strip()
            yield f"{' '.join(action['argv'])}: status {action['status']}: {said[-600:]}"
    if document["failed_actions"] and not any(action.get("status") for action in document["actions"]):
        yield f"{document['failed_actions']} actions failed"
    if audit:
        yield f"dpkg --audit says: {audit}"
    if missing:
        yield f"not installed as promised: {' '.join(missing)}"
    if gate != "open":
        yield f"the gate is {gate}"


def promised(document):
    return {f"{package['name'].split(':')[0]} {package['new']}" for package in document["packages"] if package["new"]}


def woken(survey, guest, name, result):
    """Fills the result; the sentences of what is wrong."""
    document, _ = survey.update(guest, name)
    result["update"] = {key: document.get(key) for key in ("packages", "actions", "deferred", "emulation_s")}
    wanted = promised(document)
    document, _ = survey.ouassister.resume(guest)
    result["resume"] = {key: document.get(key) for key in ("online_s", "actions", "failed_actions", "n_stale", "timeline")}
    audit = guest.inside("dpkg --audit").strip()
    listed = guest.inside("dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\\n'").splitlines()
    has = {line.removeprefix("installed ") for line in listed if line.startswith("installed ")}
    result["units_failed"] = guest.inside("systemctl --failed --plain --no-legend").split("\n")[:-1]
    gate, _ = survey.ouassister.call("gate", guest, "show")
    return list(faults(document, audit, gate["gate"], sorted(wanted - has)))


def run(survey, name):
    result, began, guest = {}, time.monotonic(), None
    try:
        guest = survey.guest("r")
        result["failure"] = "; ".join(woken(survey, guest, name, result))
    except Failed as failure:
        result["failure"] = str(failure)
    finally:
        if guest:
            guest.kill()
        for file in survey.work.glob("r.*"):
            file.unlink()
    result["seconds"] = round(time.monotonic() - began, 1)
    return result
