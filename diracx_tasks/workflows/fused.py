"""Processes that run as one job each: a document and many inputs become as many jobs, without a workflow."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.core.operations import operations
from diracx_tasks.core.settings import settings
from diracx_tasks.core.unless_there import add_unless_there
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.values import locations
from diracx_tasks.jobs import submissions
from diracx_tasks.jobs.submit import NewJob
from diracx_tasks.sandboxes import metadata
from diracx_tasks.storage.names import LONGEST
from diracx_tasks.workflows import isolate
from diracx_tasks.workflows.input_lfns import stated
from diracx_tasks.workflows.submit import store_bundle
from diracx_tasks.workflows.tables import BundleUse, StoredBundle

# So many inputs are checked in one go.
CHUNK = 500
# What of a hint a pilot is told, beside the inputs.
TOLD = ("log_level", "input_sandbox", "output_sandbox", "output_globs", "output_data")

_range = re.compile(r"(?P<name>[^=]+)=(?P<numbers>-?\d{1,15}(?::-?\d{1,15}){0,2})").fullmatch
Values = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """What a user submits: a job for each of `inputs`, or of the only one for each value of an input.

    `over` is NAME=STOP, NAME=START:STOP or NAME=START:STOP:STEP, as Python's `range`. `key` makes a
    repetition harmless.
    """

    bundle: Bundle
    inputs: Sequence[Values | str]
    over: str | None = None
    name: str = ""
    key: str | None = None

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of all but the key, in hex."""
        parts = ["cwl", self.bundle.hash, self.name, list(self.inputs), self.over]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Prepared(NamedTuple):
    """A submission that has been checked."""

    bundle: Bundle
    jobs: submissions.Request


class Span(NamedTuple):
    """An input and the values that it takes."""

    name: str
    values: range


def prepare(request: Request, *, by: User) -> Prepared:
    """Check the document with all inputs; takes a while, and stores nothing.

    Raises InvalidCwl with places, Forbidden for files that are not the user's, and BadRequest for more jobs
    than one submission may make.
    """
    found = list(_checked(request, by))
    bundle = request.bundle.extended(found[0]["added"])
    if any(one["added"] != found[0]["added"] for one in found):
        raise BadRequest("`cwl:requirements` must be the same for all jobs of a submission")
    _refuse_type(found[0]["facts"].get("type"), by)
    jobs = [_job(request, bundle, one, start, by) for one in found for start in one["jobs"]]
    text = request.bundle.entrypoint
    return Prepared(bundle, submissions.Request(jobs, text, by, len(jobs), request.key, request.fingerprint))


def submit(db: Session, prepared: Prepared) -> list[dict[str, Any]]:
    """Store the jobs, in DiracX's words; the same key a second time gives the first jobs."""
    bundle, jobs = prepared
    if db.get(StoredBundle, bundle.hash) is None:
        store_bundle(db, bundle)
    add_unless_there(db, BundleUse, [{"Hash": bundle.hash, "VO": jobs.by.vo}])
    try:
        with db.begin_nested():
            return submissions.submit_many(db, [jobs])[0]
    except IntegrityError:
        if jobs.key is None:
            raise
        # The same request twice at once: the other one has just won, and is answered here as well.
        return submissions.submit_many(db, [jobs])[0]


def span(text: str) -> Span:
    """A range as users write it; BadRequest when it is none, or empty."""
    found = _range(text)
    if found is None:
        raise BadRequest(f"range: {text[:80]!r} is not NAME=STOP, NAME=START:STOP or NAME=START:STOP:STEP")
    numbers = [int(part) for part in found["numbers"].split(":")]
    if numbers[2:] == [0]:
        raise BadRequest(f"range: {text[:80]}: the step is 0")
    values = range(*numbers)
    if not values:
        raise BadRequest(f"range: {text[:80]} is empty: the last number is not in it")
    return Span(found["name"].strip(), values)


def _checked(request: Request, by: User) -> Iterator[Values]:
    """What `cwl.starts` says, chunk by chunk."""
    owner = metadata.Owner.of(by)

    def contents(location: str) -> str:
        return metadata.contents(location, owner)

    over = span(request.over) if request.over else None
    if over and len(request.inputs) != 1:
        raise BadRequest(f"range: it goes with one input object, not with {len(request.inputs)}")
    total = len(over.values) if over else len(request.inputs)
    if total > (most := settings().jobs_at_once):
        raise BadRequest(f"Normal user cannot submit more than {most} jobs at once")
    if not total:
        raise BadRequest("there are no inputs: a process without inputs takes one empty object, {}")
    for first in range(0, total, CHUNK):
        asked: Values = {"inputs": list(request.inputs[first : first + CHUNK])}
        if over:
            part = over.values[first : first + CHUNK]
            window = {"name": over.name, "start": part.start, "stop": part.stop, "step": part.step}
            asked = {"inputs": list(request.inputs), "over": window}
        found = isolate.plan(request.bundle, "starts", contents, **asked, first=first, total=total)
        metadata.refuse_foreign(set(locations([one["inputs"] for one in found["jobs"]])), owner)
        yield found


def _refuse_type(job_type: str | None, by: User) -> None:
    allowed = operations(by.vo).JobDescription.AllowedJobTypes
    if job_type is not None and job_type not in allowed:
        raise BadRequest(f"type: {job_type} is not allowed, only {', '.join(allowed)}")


def _job(request: Request, bundle: Bundle, found: Values, start: Values, by: User) -> NewJob:
    facts, inputs, sites = found["facts"], start["inputs"], start["requirements"]["sites"]
    payload = {
        "kind": "cwl",
        "bundle": bundle.hash,
        "entrypoint": bundle.entrypoint,
        "path": "",
        "inputs": inputs,
        **{name: facts[name] for name in TOLD if name in facts},
    }
    return NewJob(
        name=request.name or found["name"] or bundle.entrypoint,
        vo=by.vo,
        owner=by.name,
        group=by.group,
        payload=payload,
        requirements=start["requirements"],
        job_group=facts.get("group", "00000000"),
        job_type=facts.get("type", "User"),
        site="ANY" if not sites else sites[0] if len(sites) == 1 else "Multiple",
        input_data=_input_data(facts, inputs),
        input_sandbox=sorted({place for place in locations(inputs) if metadata.is_stored(place)}),
    )


def _input_data(facts: Values, inputs: Values) -> list[str]:
    names = stated(facts, inputs)
    if long := next((name for name in names if len(name) > LONGEST), None):
        raise BadRequest(f"input_data: {long[:80]}... has {len(long)} characters, {LONGEST} are kept")
    return names
