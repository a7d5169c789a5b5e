"""New jobs that do what other jobs did: for steps of workflows that are tried once more."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.packed import unpacked
from diracx_tasks.jobs.submit import NewJob, create
from diracx_tasks.jobs.tables import InputFile, Job, Payload


def again(db: Session, job_ids: Sequence[int]) -> dict[int, int]:
    """The numbers of new jobs by those whose payload they have; jobs that are gone are left out."""
    query = (
        select(Job, Payload)
        .join(Payload, Payload.job_id == Job.job_id)
        .where(Job.job_id.in_(job_ids))
        .order_by(Job.job_id)
    )
    rows, files = db.execute(query).all(), defaultdict(list)
    lfns = select(InputFile.job_id, InputFile.lfn).where(InputFile.job_id.in_(job_ids))
    for job_id, lfn in db.execute(lfns.order_by(InputFile.job_id, InputFile.lfn)):
        files[job_id].append(lfn)
    numbers = create(db, [_copy(job, payload, files.get(job.job_id, ())) for job, payload in rows])
    return {job.job_id: number for (job, _), number in zip(rows, numbers, strict=True)}


def _copy(job: Job, payload: Payload, input_data: Sequence[str]) -> NewJob:
    return NewJob(
        name=job.name,
        vo=job.vo,
        owner=job.owner,
        group=job.group,
        payload=unpacked(payload.payload),
        requirements=payload.requirements,
        job_group=job.job_group,
        owner_task=payload.owner_task,
        owner_id=payload.owner_id,
        job_type=job.job_type,
        input_data=input_data,
    )
