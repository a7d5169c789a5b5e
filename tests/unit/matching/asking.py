"""Nodes that ask, jobs that wait, and what is said of them."""

from typing import Any

from diracx_tasks.core import database
from diracx_tasks.core.redis import redis
from diracx_tasks.matching import keys, limits, sweep
from diracx_tasks.matching.explain import Why, explain
from diracx_tasks.matching.match import take
from diracx_tasks.matching.node import Node, node_of
from diracx_tasks.resources import status as resources
from tests.builders import VO, a_job, a_user

RAL = {"site": "RAL", "ce": "ce2", "cores": 8, "ram_mb": 16_000, "platform": "el9", "tags": ["cvmfs"]}
CERN = {"site": "CERN", "ce": "ce1", "cores": 64, "ram_mb": 256_000, "platform": "el8", "tags": []}


def a_node(**stated: Any) -> Node:
    """A node at CERN that fits almost every job."""
    return node_of(**{**CERN, **stated})


def asked(*nodes: Node, vo: str = VO, ago: float = 0) -> None:
    """These kinds of nodes asked some time ago, without room for a job."""
    for node in nodes:
        assert take(vo, node, 0).taken == []
        redis().zincrby(f"{keys.prefix(vo)}kinds", -ago, node.kind()[0])


def queued(count: int = 1, **stated: Any) -> list[int]:
    """Waiting jobs, as the matcher knows them."""
    with database.session() as db:
        made = [a_job(db, **stated) for _ in range(count)]
    with database.reading() as db:
        sweep.rebuild(db, VO)
    return made


def recount() -> None:
    """Count what runs under limits."""
    with database.reading() as db:
        assert limits.recount(db, VO) is limits.Counted.HOLDS


def why(job_id: int, by: Any = None) -> Why:
    """Why a job is where it is, as alice is told."""
    with database.reading() as db:
        return explain(db, job_id, by=by or a_user())


def said(job_id: int, by: Any = None) -> str:
    """The reasons, a line each."""
    return "\n".join(why(job_id, by).reasons)


def ban(site: str) -> None:
    """Say that a site must not be used."""
    with database.session() as db:
        resources.state(db, resources.Element(site, "Site"), "Banned", "power cut")
