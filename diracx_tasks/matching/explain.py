"""Why a job waits, in words that say what to change."""

import json
import time
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.redis import redis
from diracx_tasks.matching import keys
from diracx_tasks.matching.tables import JobClass, Queued

HOUR = 3600


def explain(db: Session, job_id: int) -> list[str]:
    """Sentences about a waiting job; empty when it is not in the queue."""
    row = db.execute(
        select(Queued.vo, Queued.class_id, Queued.place, JobClass.requirements)
        .join(JobClass, JobClass.class_id == Queued.class_id)
        .where(Queued.job_id == job_id)
    ).one_or_none()
    if row is None:
        return []
    pilots = _recent(row.vo)
    if not pilots:
        return ["No pilot has asked for work in the last hour: start pilots, or see `diracx pilots`."]
    fitting = [seconds for pilot, seconds in pilots if not _misses(row.requirements, pilot)]
    if fitting:
        query = select(func.count()).where(Queued.class_id == row.class_id, Queued.place < row.place)
        ahead = db.execute(query).scalar_one()
        return [f"{ahead} jobs of its kind are ahead; a pilot that fits last asked {min(fitting):.0f} s ago."]
    reasons = sorted({reason for pilot, _ in pilots for reason in _misses(row.requirements, pilot)})
    return [f"None of the {len(pilots)} kinds of pilots of the last hour fits.", *reasons]


def _recent(vo: str) -> list[tuple[dict[str, Any], float]]:
    try:
        seen: dict[str, str] = redis().hgetall(keys.seen(vo))  # type: ignore[assignment]
    except RedisError:
        return []
    if old := [text for text, at in seen.items() if time.time() - float(at) > HOUR]:
        redis().hdel(keys.seen(vo), *old)
    ages = [(json.loads(text), time.time() - float(at)) for text, at in seen.items()]
    return [(pilot, age) for pilot, age in ages if age < HOUR]


def _misses(needs: dict[str, Any], pilot: dict[str, Any]) -> list[str]:
    found = []
    if needs["cores"] > pilot["cores"]:
        found.append(
            f"It asks for {needs['cores']} cores; the pilots at {pilot['site']} have {pilot['cores']}."
        )
    if needs["ram_mb"] > pilot["ram_mb"]:
        found.append(
            f"It asks for {needs['ram_mb']} MB of RAM; the pilots at {pilot['site']} have {pilot['ram_mb']}."
        )
    if needs["sites"] and pilot["site"] not in needs["sites"]:
        found.append(f"It may only run at {', '.join(needs['sites'])}; pilots ask from {pilot['site']}.")
    if pilot["site"] in needs["banned_sites"]:
        found.append(f"It must not run at {pilot['site']}.")
    if needs["platform"] and needs["platform"] != pilot["platform"]:
        found.append(
            f"It needs the platform {needs['platform']}; {pilot['site']} offers {pilot['platform']}."
        )
    if missing := sorted(set(needs["tags"]) - set(pilot["tags"])):
        found.append(f"It needs the tags {', '.join(missing)}, which the pilots at {pilot['site']} lack.")
    return found
