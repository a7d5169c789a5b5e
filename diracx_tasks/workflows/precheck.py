"""What a checked workflow names and is not to be had here: sites, storage elements, job types, LFNs."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from diracx_tasks.core.database import reading
from diracx_tasks.core.errors import BadRequest, Forbidden, InvalidCwl, NotFound
from diracx_tasks.core.operations import operations, resources
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.diagnostics import Diagnostic, headline
from diracx_tasks.cwl.values import locations
from diracx_tasks.storage import elements
from diracx_tasks.storage.names import checked, is_lfn
from diracx_tasks.storage.read import existing
from diracx_tasks.workflows import isolate

MOST = 20
LFN = "lfn"
# A job that names no other site waits for ever; a ban of a site that is not there only does nothing.
HARMLESS = ("banned site",)
SHOWN = 5


def look_up(found: dict[str, Any], vo: str) -> None:
    """Add the warnings among the complaints to the answer's own; InvalidCwl when there are errors."""
    told = complaints(found, vo)
    if any(one["severity"] == "error" for one in told):
        raise InvalidCwl(headline(told[0]), told)
    found["warnings"] = [*found["warnings"], *told]


def complaints(found: dict[str, Any], vo: str) -> list[Diagnostic]:
    """Diagnostics for what the isolate's answer to a check mentions, and for the LFNs among its inputs.

    Sites are looked up only where the configuration lists any.
    """
    mentions = found.get("mentions", [])
    inputs = found.get("start", {}).get("inputs", {})
    given = [
        {"kind": LFN, "name": location, "file": "inputs", "line": None, "column": None, "input": name}
        for name, value in inputs.items()
        for location in dict.fromkeys(locations(value))
        if is_lfn(location)
    ]
    # An LFN that came from a default is told where it stands.
    stated = {one["name"] for one in mentions if one["kind"] == LFN}
    files = [one for one in [*mentions, *given] if one["kind"] == LFN]
    files = [one for one in files if "input" not in one or one["name"] not in stated]
    told = [*_unknown_names(mentions, vo), *_missing_files(files, vo)]
    return sorted(told, key=lambda one: one["severity"] != "error")[:MOST]


def template(bundle: Bundle) -> str:
    """An inputs file for a workflow as YAML text, to be filled in; InvalidCwl with places."""
    return str(isolate.plan(bundle, "template", _nothing)["template"])


def _nothing(location: str) -> str:
    raise NotFound(f"{location} is not read for a template")


def _unknown_names(mentions: Iterable[dict[str, Any]], vo: str) -> Iterator[Diagnostic]:
    sites = {site for group in resources().Sites.values() for site in group}
    ses = {*resources().StorageElements, *elements.names(vo)}
    types = set(operations(vo).JobDescription.AllowedJobTypes)
    known = {"site": sites, "banned site": sites, "storage element": ses, "job type": types}
    for one in mentions:
        names = known.get(one["kind"])
        if names and one["name"] not in names:
            close = get_close_matches(one["name"], names, 1)
            listed = ", ".join(sorted(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
            advice = f"Did you mean `{close[0]}`?" if close else f"There are {listed}."
            what = one["kind"].removeprefix("banned ")
            severity = "warning" if one["kind"] in HARMLESS else "error"
            yield _diagnostic(one, f"there is no {what} '{one['name']}'", advice, severity)


def _missing_files(mentions: list[dict[str, Any]], vo: str) -> Iterator[Diagnostic]:
    good = []
    for one in mentions:
        try:
            checked(one["name"], vo)
            good.append(one)
        except (BadRequest, Forbidden) as error:
            yield _diagnostic(one, str(error), f"Write the LFN of a file of {vo}.")
    if not good:
        return
    with reading() as db:
        there = existing(db, vo, {one["name"] for one in good})
    for one in good:
        if one["name"] not in there:
            about = f"{one['input']}: " if "input" in one else ""
            words = f"{about}'{one['name']}' is not in the file catalogue of {vo}"
            yield _diagnostic(one, words, "Correct the LFN, or register the file first.")


def _diagnostic(mention: dict[str, Any], words: str, advice: str, severity: str = "error") -> Diagnostic:
    place = {part: mention[part] for part in ("file", "line", "column")}
    return {"severity": severity, **place, "message": words, "advice": advice}
