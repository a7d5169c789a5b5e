"""Snapshots in OpenSearch, as DIRAC's WMSHistory has them: a document a kind of jobs, an index a day."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from diracx_tasks.accounting.tables import StateBucket, StateCount
from diracx_tasks.core import opensearch
from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.core.settings import settings

SEND = "accounting.send_snapshots"
# DIRAC's MonitoringSystem/Client/Types/WMSHistory: its fields, and what it sends for those not grouped by.
KEYWORDS = (
    "Status",
    "Site",
    "User",
    "UserGroup",
    "JobGroup",
    "MinorStatus",
    "ApplicationStatus",
    "JobSplitType",
    "VO",
)
UNSET = "unset"
PAGE = 5000
DAY = 86400
# The answer to what is there already.
CONFLICT = 409


def due(db: Session, limit: int) -> list[datetime]:
    """Snapshots of the last day that OpenSearch has not, or not all of it; the oldest first."""
    recent = (StateBucket.sent_at.is_(None), StateBucket.at > utc_now(-DAY))
    return list(db.scalars(select(StateBucket.at).where(*recent).order_by(StateBucket.at).limit(limit)))


def page_of(db: Session, at: datetime, first: int) -> list[StateCount]:
    """Some of a snapshot, from this number on; fewer than PAGE at its end."""
    query = select(StateCount).where(StateCount.at == at, StateCount.number >= first)
    return list(db.scalars(query.order_by(StateCount.number).limit(PAGE)))


def send(counts: Sequence[StateCount]) -> None:
    """Write documents; those that are there stay as they are, so that to repeat it is harmless.

    Raises Unavailable when OpenSearch has not taken them all.
    """
    _ensure_template()
    answers = opensearch.bulk([_line(one) for one in counts]) if counts else []
    bad = [one for one in answers if int(one["status"]) >= 300 and int(one["status"]) != CONFLICT]
    if bad:
        words = f"{len(bad)} of {len(answers)} documents of a snapshot: {bad[0].get('error')!s:.300}"
        raise Unavailable(f"OpenSearch does not take {words}")


def note_sent(db: Session, at: datetime) -> None:
    """Remember that OpenSearch has all of a snapshot."""
    changed(db, update(StateBucket).where(StateBucket.at == at).values(sent_at=utc_now()))


def index_of(at: datetime) -> str:
    """The index of a snapshot: DIRAC's name behind our prefix, and the day."""
    return f"{_prefix()}-{at:%Y-%m-%d}"


def document(one: StateCount) -> dict[str, Any]:
    """A count as WMSHistory has it."""
    about = {
        "Status": one.status,
        "Site": one.site,
        "User": one.owner,
        "UserGroup": one.group,
        "JobGroup": UNSET,
        "MinorStatus": one.minor_status,
        "ApplicationStatus": UNSET,
        "JobSplitType": one.job_type,
        "VO": one.vo,
    }
    moment = int(one.at.replace(tzinfo=UTC).timestamp() * 1000)
    return {"timestamp": moment, **about, "Jobs": one.jobs, "Reschedules": one.reschedules}


def _line(one: StateCount) -> bytes:
    # The same count has the same number each time.
    target = {"_index": index_of(one.at), "_id": f"{one.at:%Y%m%dT%H%M%S}-{one.number}"}
    lines = ({"create": target}, document(one))
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def _prefix() -> str:
    return f"{settings().opensearch_prefix}wmshistory_index"


def _ensure_template() -> None:
    keywords = {name: {"type": "keyword"} for name in KEYWORDS}
    numbers = {name: {"type": "long"} for name in ("Jobs", "Reschedules")}
    properties = {"timestamp": {"type": "date"}, **keywords, **numbers}
    body = {"index_patterns": [f"{_prefix()}-*"], "template": {"mappings": {"properties": properties}}}
    opensearch.ensure_template(_prefix(), body)
