"""What waits in the matcher's queue and what holds it back; and letting go of nodes that are good again."""

from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import Query, Response

from diracx_api import paging
from diracx_api.deps import Me, ReadDb, Router
from diracx_api.models import matching as models
from diracx_api.paging import PageNumber
from diracx_tasks.auth import rights
from diracx_tasks.core.search import Page
from diracx_tasks.matching import classes, health

router = Router("matching", "/api/matching")
PerPage = Annotated[int, Query(ge=1, le=200, description="How many rows.", examples=[100])]


@router.get(
    "/classes", right=rights.read, responses=paging.RESPONSES, response_model=list[models.WaitingClass]
)
def get_classes(db: ReadDb, me: Me, page: PageNumber = 1, per_page: PerPage = 100) -> Response:
    """What waits: jobs that ask for the same together, those of which most wait first.

    Who may not see all jobs of the VO sees his own.
    """
    first = (page - 1) * per_page
    found, total = classes.waiting(db, by=me, first=first, count=per_page)
    return _page(found, total, first, "classes")


@router.get(
    "/nodes", right=rights.not_a_pilot, responses=paging.RESPONSES, response_model=list[models.NodeKind]
)
def get_nodes(me: Me, page: PageNumber = 1, per_page: PerPage = 100) -> Response:
    """The kinds of nodes that asked for work within the last hour, those that asked last first."""
    first = (page - 1) * per_page
    found, total = classes.kinds(by=me, first=first, count=per_page)
    return _page(found, total, first, "kinds")


@router.get("/limits", right=rights.not_a_pilot, response_model=list[models.Limit])
def get_limits(me: Me) -> Any:
    """The VO's limits and delays, and how far they are used up; what is full comes first."""
    return classes.limited(by=me)


@router.get("/health", right=rights.not_a_pilot, response_model=list[models.Slowed])
def get_health(me: Me) -> Any:
    """Sites and nodes on which jobs fail and that get fewer of them, the slowest first."""
    return health.slowed(me.vo)


@router.post("/health/release", right=rights.operate, response_model=models.Released)
def release_node(me: Me, body: models.Release) -> Any:
    """Forget what failed on a node, or at a site: it gets jobs as any other until more fail."""
    return {"is_released": health.release(me.vo, body.site, body.node)}


def _page(rows: Sequence[Any], total: int, first: int, unit: str) -> Response:
    texts = [orjson.dumps(row).decode() for row in rows]
    return paging.answer(Page(texts, [], total, first, None), unit)
