"""What waits in the journal of parameters is brought into OpenSearch, however often, by however many at once.

First the documents' versions are read, then the journal, then what it holds is written on condition that
the documents are still of these versions. So an older value can never replace a newer one: whoever sent the
newer one either did so before, and the journal had it, or has made the version another. At last exactly what
was sent goes from the journal. OpenSearch's own `retry_on_conflict` cannot be had together with that.
"""

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from diracx_tasks.core import opensearch
from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.jobs.parameter_documents import (
    KEY,
    NO_INDEX,
    Version,
    ensure_template,
    indexes_of,
    versions,
    words_of,
)
from diracx_tasks.jobs.parameters import REMOVED, SEND
from diracx_tasks.jobs.tables import ParameterNews

# So many values are looked at at once.
PAGE = 1000
# AWS' small servers take bodies of 10 MB.
BODY_BYTES = 5_000_000
# Another has written the document meanwhile: at once. OpenSearch has no room, or no shard: later.
SOON, LATER = 0.5, 30.0
# The task comes again so much later while there is news.
PAUSE = 1.0
REASON = 1000
CONFLICT = 409
# The answer to the removal of a document that is not there.
GONE = {"status": 200, "_seq_no": -1, "_primary_term": -1}
# What OpenSearch says of a document that it will never have, and not of the state that it is in.
FAULTS = (
    "mapper_parsing_exception",
    "illegal_argument_exception",
    "strict_dynamic_mapping_exception",
    "document_parsing_exception",
    "parsing_exception",
)


@dataclass(frozen=True)
class News:
    """One value in the journal."""

    job_id: int
    name: str
    vo: str
    value: Any
    token: int


@dataclass
class Document:
    """What is to be written into one document: part by part, usually one."""

    job_id: int
    index: str
    version: Version | None
    # Why it could not be read, so that it cannot be written either.
    unreadable: str | None
    parts: list[list[News]] = field(default_factory=list)


Line = tuple[Document, bytes]


@dataclass
class Sent:
    """What became of news: in OpenSearch, refused for good, or to be tried again after some seconds."""

    done: list[News] = field(default_factory=list)
    refused: list[tuple[News, str]] = field(default_factory=list)
    later: list[tuple[News, str, float]] = field(default_factory=list)
    # Why the sending ended before its time; what is in none of the lists was not touched.
    trouble: Unavailable | None = None


def due(db: Session) -> dict[int, str]:
    """Some of the jobs with news that is due, longest first, each with its VO."""
    query = select(ParameterNews.job_id, ParameterNews.vo).where(ParameterNews.due_at <= utc_now())
    rows = db.execute(query.order_by(ParameterNews.due_at).limit(PAGE))
    return {row.job_id: row.vo for row in rows}


def look(jobs: Mapping[int, str]) -> list[Document]:
    """The jobs' documents as they are now, nothing to be written yet. Raises Unavailable."""
    ensure_template()
    indexes = indexes_of(jobs)
    found, failed = versions(indexes)
    return [
        Document(job_id, index, found.get(job_id), failed.get(job_id)) for job_id, index in indexes.items()
    ]


def fill(db: Session, documents: Collection[Document]) -> list[Document]:
    """The documents for which there is news, with it; to be called after `look`."""
    by_job = {one.job_id: one for one in documents}
    query = select(ParameterNews).where(ParameterNews.job_id.in_(by_job), ParameterNews.due_at.is_not(None))
    for row in db.scalars(query.order_by(ParameterNews.job_id, ParameterNews.name)):
        parts = by_job[row.job_id].parts
        news = News(row.job_id, row.name, row.vo, json.loads(row.value), row.token)
        # The removal is first by its name; what was written after it is for the next time.
        if not parts:
            parts.append([news])
        elif parts[0][0].name != REMOVED:
            parts[0].append(news)
    return [one for one in documents if one.parts]


def send(documents: Iterable[Document]) -> Sent:
    """Write into OpenSearch; a document that it refuses is halved until the values to blame are found."""
    sent, pending = Sent(), list(documents)
    for document in pending:
        if document.unreadable:
            _put_off(document, document.unreadable, LATER, sent)
    try:
        while pending := [one for one in pending if one.parts]:
            for body in _bodies(pending):
                for (document, _), answer in zip(body, _answers(body), strict=True):
                    _sort(document, answer, sent)
    except Unavailable as error:
        sent.trouble = error
    return sent


def settle(db: Session, sent: Sent) -> None:
    """Note in the journal what became of what was sent; newer values stay as they are."""
    if sent.done:
        changed(db, delete(ParameterNews).where(*_same(sent.done)))
    for news, reason in sent.refused:
        _note(db, [news], due_at=None, reason=reason)
    pauses = {seconds for _, _, seconds in sent.later}
    for seconds in sorted(pauses):
        some = [(news, reason) for news, reason, pause in sent.later if pause == seconds]
        _note(db, [news for news, _ in some], due_at=utc_now(seconds), reason=some[0][1])
    if sent.done or SOON in pauses:
        enqueue(db, SEND, SEND, delay=PAUSE)


def _note(db: Session, news: Collection[News], *, due_at: Any, reason: str) -> None:
    values = {"due_at": due_at, "reason": reason[:REASON]}
    changed(db, update(ParameterNews).where(*_same(news)).values(**values))


def _same(news: Collection[News]) -> tuple[Any, Any]:
    return (
        ParameterNews.job_id.in_(sorted({one.job_id for one in news})),
        ParameterNews.token.in_([one.token for one in news]),
    )


def _bodies(documents: list[Document]) -> Iterator[list[Line]]:
    """The next parts of documents, as many at once as a request may hold."""
    body, size = list[Line](), 0
    for document in documents:
        line = (document, _line(document))
        if body and size + len(line[1]) > BODY_BYTES:
            yield body
            body, size = [], 0
        body.append(line)
        size += len(line[1])
    yield body


def _answers(body: list[Line]) -> list[dict[str, Any]]:
    """What OpenSearch says to each; a body that it does not take as a whole is halved."""
    lines = [line for _, line in body if line]
    try:
        found = iter(opensearch.bulk(lines)) if lines else iter([])
    except opensearch.NotTaken as error:
        if len(body) == 1:
            return [{"status": error.status, "error": {"type": "not_taken", "reason": str(error)}}]
        middle = len(body) // 2
        return _answers(body[:middle]) + _answers(body[middle:])
    return [next(found) if line else GONE for _, line in body]


def _line(document: Document) -> bytes:
    """The next part as `_bulk` takes it; nothing for the removal of what is not there."""
    part, version = document.parts[0], document.version
    target: dict[str, Any] = {"_index": document.index, "_id": str(document.job_id)}
    condition = {"if_seq_no": version.number, "if_primary_term": version.term} if version else {}
    if part[0].name == REMOVED:
        return _json({"delete": target | condition}) if version else b""
    now = int(time.time() * 1000)
    fields = {"timestamp": now, **{news.name: news.value for news in part}, KEY: document.job_id}
    if version is None:
        return _json({"create": target}) + _json(fields)
    # Without a new version for what changes nothing, a late sender's older value would pass for the newest.
    return _json({"update": target | condition}) + _json({"doc": fields, "detect_noop": False})


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _sort(document: Document, answer: dict[str, Any], sent: Sent) -> None:
    """Take note of the answer to a document's next part."""
    status, part = int(answer["status"]), document.parts[0]
    error = answer.get("error") or {}
    if status < 300:
        sent.done += document.parts.pop(0)
        document.version = Version(answer["_seq_no"], answer["_primary_term"])
    elif status == opensearch.TOO_LARGE or (status == 400 and error.get("type") in FAULTS):
        middle = len(part) // 2
        document.parts[:1] = [part[:middle], part[middle:]] if middle else []
        if not middle:
            sent.refused.append((part[0], words_of(error)))
    else:
        is_conflict = status in (404, CONFLICT) and error.get("type") != NO_INDEX
        _put_off(document, words_of(error), SOON if is_conflict else LATER, sent)


def _put_off(document: Document, reason: str, seconds: float, sent: Sent) -> None:
    sent.later += [(news, reason, seconds) for part in document.parts for news in part]
    document.parts.clear()
