"""Job parameters in OpenSearch: one document a job, in DiracX's indexes and with its mapping."""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from diracx_tasks.core import config, opensearch
from diracx_tasks.core.errors import SettingsError, Unavailable
from diracx_tasks.core.settings import settings

# DiracX's JobParametersDB: fields that are not named here get their type from their first value.
FIELDS = {
    "JobID": "long",
    "timestamp": "date",
    "PilotAgent": "keyword",
    "Pilot_Reference": "keyword",
    "CPUNormalizationFactor": "long",
    "NormCPUTime(s)": "long",
    "Memory(MB)": "long",
    "LocalAccount": "keyword",
    "TotalCPUTime(s)": "long",
    "PayloadPID": "long",
    "HostName": "text",
    "GridCE": "keyword",
    "CEQueue": "keyword",
    "BatchSystem": "keyword",
    "ModelName": "keyword",
}
# The job's number, which is not a parameter.
KEY = "JobID"
JOBS_PER_INDEX = 1_000_000
PAGE = 1000
NO_INDEX = "index_not_found_exception"
# What OpenSearch takes in an index's name and a VO may have in its own.
_PLAIN = re.compile(r"[a-z0-9_.-]+")


@dataclass(frozen=True)
class Version:
    """The last change of a document; a write that states it fails when there was another since."""

    number: int
    term: int


def prefix() -> str:
    """What the names of all our indexes and of their template begin with."""
    found = settings().opensearch_prefix
    if found and not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", found):
        raise SettingsError(
            f"DIRACX_OPENSEARCH_PREFIX is {found!r}: lower-case letters, digits, `_`, `.` and `-`, 64 at most"
        )
    return f"{found}job_parameters"


def index_of(vo: str, job_id: int, vos: Collection[str]) -> str:
    """The index of a job: of its VO only, for a million jobs. `vos` are the installation's.

    It has the VO's name in lower case, as DiracX has it, unless that would be no name of an index or another
    VO's: then it has a hash, and `~`, which no other name has.
    """
    low = vo.lower()
    is_shared = vo != low and any(other != vo and other.lower() == low for other in vos)
    if is_shared or not _PLAIN.fullmatch(low):
        kept = "".join(_PLAIN.findall(low))[:32]
        low = f"{kept}~{hashlib.sha256(vo.encode()).hexdigest()[:16]}"
    return f"{prefix()}_{low}_{job_id // JOBS_PER_INDEX}m"


def indexes_of(jobs: Mapping[int, str]) -> dict[int, str]:
    """The index of each job, given with its VO."""
    vos = config.vos()
    return {job_id: index_of(vo, job_id, vos) for job_id, vo in jobs.items()}


def ensure_template() -> None:
    """Have the mapping for indexes to come; the one of a DiracX that was here before stays as it is."""
    properties = {name: {"type": kind} for name, kind in FIELDS.items()}
    body = {"index_patterns": [f"{prefix()}*"], "template": {"mappings": {"properties": properties}}}
    opensearch.ensure_template(prefix(), body)


def versions(indexes: Mapping[int, str]) -> tuple[dict[int, Version], dict[int, str]]:
    """The version of each document that is there, and why others could not be read."""
    found, failed = _documents(indexes, source=False, seconds=opensearch.PATIENCE)
    known = {job_id: Version(answer["_seq_no"], answer["_primary_term"]) for job_id, answer in found.items()}
    return known, failed


def stored(indexes: Mapping[int, str], *, seconds: float) -> dict[int, dict[str, Any]]:
    """The parameters of jobs that have any. Raises Unavailable when not all could be read."""
    found, failed = _documents(indexes, source=True, seconds=seconds)
    if failed:
        raise Unavailable(f"OpenSearch cannot read the parameters of {len(failed)} jobs: {failed}")
    return {
        job_id: {name: value for name, value in answer["_source"].items() if name != KEY}
        for job_id, answer in found.items()
    }


def words_of(error: dict[str, Any]) -> str:
    """What OpenSearch says of an error, with its cause."""
    cause = error.get("caused_by") or {}
    words = [str(one["reason"]) for one in (error, cause) if one.get("reason")]
    return f"{error.get('type', 'error')}: {'; '.join(words)}"


def _documents(
    indexes: Mapping[int, str], *, source: bool, seconds: float
) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    found, failed, jobs = dict[int, dict[str, Any]](), dict[int, str](), list(indexes)
    for first in range(0, len(jobs), PAGE):
        page = jobs[first : first + PAGE]
        wanted = [(indexes[job_id], job_id) for job_id in page]
        answers = opensearch.get_many(wanted, source=source, seconds=seconds)
        for job_id, answer in zip(page, answers, strict=True):
            error = answer.get("error") or {}
            if error and error.get("type") != NO_INDEX:
                failed[job_id] = words_of(error)
            elif answer.get("found"):
                found[job_id] = answer
    return found, failed
