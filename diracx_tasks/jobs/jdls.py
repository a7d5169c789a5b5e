"""Stored job descriptions as text: DIRAC compresses its own, ours are plain."""

import base64
import zlib
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.jobs.tables import JobJDL

MOST = 16 << 20


class Description(NamedTuple):
    """What runs, with everything that was added to it, and what was submitted."""

    jdl: str
    original: str


def readable(db: Session, job_ids: Collection[int]) -> dict[int, Description]:
    """The descriptions of jobs; those without one are left out."""
    query = select(JobJDL.job_id, JobJDL.jdl, JobJDL.original).where(JobJDL.job_id.in_(job_ids))
    return {job_id: Description(_plain(jdl), _plain(original)) for job_id, jdl, original in db.execute(query)}


def _plain(stored: str) -> str:
    """DIRAC's JobDB: base64 of zlib unless it begins with a bracket."""
    if not stored or stored.lstrip().startswith("["):
        return stored
    try:
        return zlib.decompressobj().decompress(base64.b64decode(stored, validate=True), MOST).decode()
    except (ValueError, zlib.error):
        return stored
