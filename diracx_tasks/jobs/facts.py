"""What is noted of jobs besides their status: the site, and parameters of any name."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.core.errors import BadRequest, NotFound
from diracx_tasks.jobs import parameters
from diracx_tasks.jobs.access import hold_mine
from diracx_tasks.jobs.tables import Job

LONGEST = 100
# DiracX's attributes; of these only the site is not set elsewhere.
ATTRIBUTES = {column.name for column in Job.__table__.columns} - {"JobID", "Site"}


def note(db: Session, facts: Mapping[int, Mapping[str, Any]], *, by: User) -> None:
    """Note facts about jobs that the caller may touch; NotFound when one does not exist."""
    for found in facts.values():
        if not_ours := sorted(ATTRIBUTES & found.keys()):
            raise BadRequest(f"Job attribute {not_ours[0]} cannot be modified through this endpoint")
    jobs = hold_mine(db, facts, by=by)
    if missing := sorted(facts.keys() - jobs.keys()):
        raise NotFound(f"Job {missing[0]} not found")
    sites: dict[str, list[int]] = {}
    for job_id, found in facts.items():
        if site := found.get("Site"):
            sites.setdefault(_site(site), []).append(job_id)
    for site, job_ids in sites.items():
        values = {Job.site: site, Job.updated_at: utc_now()}
        changed(db, update(Job).where(Job.job_id.in_(job_ids)).values(values))
    others = {i: {k: v for k, v in found.items() if k != "Site"} for i, found in facts.items()}
    parameters.record(db, others, {job_id: job.vo for job_id, job in jobs.items()})


def _site(value: Any) -> str:
    is_text = isinstance(value, str) and not any(0xD800 <= ord(letter) < 0xE000 for letter in value)
    if not is_text or len(value) > LONGEST:
        raise BadRequest(f"Site is a text of {LONGEST} characters at most, not {value!a:.80}")
    return str(value)
