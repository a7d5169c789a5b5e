"""Conditions as people write them: `Status=Waiting`, `JobID > 17`, `Site in A,B`, `JobName like %pi%`."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import click

Condition = dict[str, Any]
NAMES = (
    "JobID",
    "JobType",
    "JobGroup",
    "Site",
    "JobName",
    "Owner",
    "OwnerGroup",
    "VO",
    "SubmissionTime",
    "RescheduleTime",
    "LastUpdateTime",
    "StartExecTime",
    "HeartBeatTime",
    "EndExecTime",
    "Status",
    "MinorStatus",
    "ApplicationStatus",
    "UserPriority",
    "RescheduleCounter",
    "VerifiedFlag",
    "AccountedFlag",
    "Attempt",
    "PilotStamp",
)
PILOT_NAMES = (
    "PilotStamp",
    "Status",
    "GridSite",
    "DestinationSite",
    "Queue",
    "VO",
    "GridType",
    "JobID",
    "CurrentJobID",
    "InitialJobID",
    "PilotJobReference",
    "SubmissionTime",
    "LastUpdateTime",
    "StatusReason",
    "BenchMark",
    "AccountingSent",
    "PilotID",
)
SIGNS = {"=": "eq", "!=": "neq", "<": "lt", ">": "gt"}
# The official client's words hold as well.
WORDS = ("not like", "not in", "like", "in", "regex", "eq", "neq", "gt", "lt")
LISTS = ("in", "not in")
SIGNED = re.compile(r"\s*(\w+)\s*(!=|=|<|>)\s*(.*?)\s*", re.S)
WORDED = re.compile(rf"\s*(\w+)\s+({'|'.join(WORDS).replace(' ', '[ ]+')})\s+(.*?)\s*", re.S | re.I)
FORMS = "NAME=VALUE, NAME!=VALUE, NAME<VALUE, NAME>VALUE, 'NAME in A,B' or 'NAME like %x%'"

HELP = "that fit; several must all hold.  [NAME=VALUE, !=, <, >, in A,B, like %x%]"


class Where(click.ParamType[Condition]):
    """One condition on jobs, or on what else has these names, as the API takes it."""

    name = "condition"

    def __init__(self, names: tuple[str, ...] = NAMES, noun: str = "job") -> None:
        self.names, self.noun = names, noun

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Condition:
        """The condition; a usage error that says what would be right."""
        if isinstance(value, dict):
            return value
        found = WORDED.fullmatch(value) or SIGNED.fullmatch(value)
        if not found:
            self.fail(f"{value!r} is no condition: write {FORMS}", param, ctx)
        name, sign, text = found.groups()
        if name not in self.names:
            self.fail(f"{value!r}: {self._unknown(name)}", param, ctx)
        if text.startswith("=") and sign in SIGNS:
            self.fail(f"{value!r}: there is no {sign}=; {_instead(name, sign, text[1:].strip())}", param, ctx)
        if not text:
            self.fail(f"{value!r} lacks its value: write {FORMS}", param, ctx)
        operator = SIGNS.get(sign) or " ".join(sign.lower().split())
        if operator not in LISTS:
            return {"parameter": name, "operator": operator, "value": text}
        values = [one.strip() for one in text.split(",") if one.strip()]
        if not values:
            self.fail(f"{value!r} lacks its value: write {FORMS}", param, ctx)
        return {"parameter": name, "operator": operator, "values": values}

    def _unknown(self, name: str) -> str:
        lower = {one.lower(): one for one in self.names}
        close = get_close_matches(name.lower(), lower, n=1)
        meant = f"did you mean {lower[close[0]]}?" if close else f"there are {', '.join(self.names)}"
        return f"a {self.noun} has no {name}; {meant}"


def _instead(name: str, sign: str, text: str) -> str:
    if sign in "<>" and text.isdecimal():
        text = str(int(text) + (1 if sign == "<" else -1))
    elif sign in "<>":
        return f"{name}{sign}{text} leaves out {text} itself"
    return f"write {name}{sign}{text}"


where_option = click.option("--where", "conditions", type=Where(), multiple=True, help=f"Jobs {HELP}")


def words_of(conditions: Iterable[Condition]) -> str:
    """Conditions as people write them."""
    signs = {word: sign for sign, word in SIGNS.items()}
    texts = [
        f"{one['parameter']} {one['operator']} {','.join(one['values'])}"
        if "values" in one
        else f"{one['parameter']}{signs.get(one['operator']) or ' ' + one['operator'] + ' '}{one['value']}"
        for one in conditions
    ]
    return " and ".join(texts)
