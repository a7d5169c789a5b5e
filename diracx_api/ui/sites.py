"""Sites: how their queues stand, and what an operator may do with them."""

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Form, Path, Query, Request, Response
from pydantic import Field

from diracx_api.deps import Db, ReadDb
from diracx_api.ui import filters, render
from diracx_api.ui.router import Me, Pages
from diracx_api.ui.words import plural
from diracx_tasks.auth import rights
from diracx_tasks.engine.outbox import enqueue
from diracx_tasks.pilots import plan, site_tests
from diracx_tasks.pilots import sites as verbs

router = Pages("/sites")
EVERY = 30
PLAN = "/ui/sites/plan"
Name = Annotated[str, Path(max_length=128)]
Ce = Annotated[str, Form(max_length=128)]
Reason = Annotated[str, Form(min_length=1, max_length=512)]


class Filters(filters.Filters):
    """Which queues are shown."""

    site: str = Field("", max_length=128)
    which: Literal["", "trouble"] = ""

    def fits(self, row: dict[str, Any]) -> bool:
        """Whether a queue is one of them."""
        return self.site.lower() in row["site"].lower() and (not self.which or _is_in_trouble(row))


@router.get("", right=rights.not_a_pilot)
def list_sites(db: ReadDb, request: Request, me: Me, asked: Annotated[Filters, Query()]) -> Response:
    """The queues of the VO's sites."""
    rows = verbs.sites(db, me.vo)
    return render.page(
        request,
        "pilots/sites.html",
        every=EVERY,
        rows=[row for row in rows if asked.fits(row)],
        total=len(rows),
        troubled=sum(_is_in_trouble(row) for row in rows),
        asked=asked,
    )


@router.get("/plan", right=rights.operate)
def show_plan(db: ReadDb, request: Request, me: Me) -> Response:
    """Where pilots would be sent now, and what holds them back."""
    return render.page(request, "pilots/plan.html", plan=plan.plan(db, me.vo))


@router.post("/plan", right=rights.operate)
def plan_now(db: Db, request: Request, me: Me) -> Response:
    """Have that done; it is done every minute anyway."""
    enqueue(db, "pilots.plan_pilots", f"vo-{me.vo}.plan", vo=me.vo)
    return render.onwards(request, PLAN, f"Pilots of {me.vo} are planned now.")


@router.get("/{site}", right=rights.not_a_pilot)
def show_site(db: ReadDb, request: Request, me: Me, site: Name) -> Response:
    """One site with its queues."""
    rows = [row for row in verbs.sites(db, me.vo) if row["site"] == site]
    ces = list(dict.fromkeys(row["ce"] for row in rows))
    return render.page(request, "pilots/site.html", every=EVERY, site=site, rows=rows, ces=ces)


@router.post("/{site}/ban", right=rights.operate)
def ban(db: Db, request: Request, me: Me, *, site: Name, reason: Reason, ce: Ce = "") -> Response:
    """Have the site, or one of its elements, not used by the VO."""
    found = verbs.ban(db, site=site, ce=ce, reason=reason, by=me)
    return render.onwards(request, _address(site), f"{found.name} is banned for {me.vo}: {found.reason}")


@router.post("/{site}/allow", right=rights.operate)
def allow(db: Db, request: Request, me: Me, *, site: Name, reason: Reason, ce: Ce = "") -> Response:
    """Have it used again, whatever its breakers say."""
    found = verbs.allow(db, site=site, ce=ce, reason=reason, by=me)
    closed = f" {plural(found.closed, 'breaker')} closed." if found.closed else ""
    return render.onwards(request, _address(site), f"{found.name} is allowed for {me.vo}.{closed}")


@router.post("/{site}/test", right=rights.operate)
def test_queues(
    db: Db,
    request: Request,
    me: Me,
    *,
    site: Name,
    ce: Ce = "",
    queue: Annotated[str, Form(max_length=128)] = "",
) -> Response:
    """Submit a small job to each queue that is meant."""
    chosen = site_tests.chosen(me.vo, site=site, ce=ce, queue=queue)
    asked = site_tests.ask(db, me.vo, chosen, by=site_tests.service(me.vo))
    jobs = ", ".join(str(one.job_id) for one in asked)
    return render.onwards(request, _address(site), f"{plural(len(asked), 'queue')} tested by job {jobs}.")


def _address(site: str) -> str:
    return f"/ui/sites/{quote(site, safe='')}"


def _is_in_trouble(row: dict[str, Any]) -> bool:
    return not row["is_allowed"] or row["breaker"] != "closed" or row["test"] == site_tests.FAILED
