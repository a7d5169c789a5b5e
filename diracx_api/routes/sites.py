"""The sites to which pilots are sent, whether they may be used, and tests of their queues."""

from typing import Any

from diracx_api.deps import Db, Me, ReadDb, Router
from diracx_api.models import sites as models
from diracx_tasks.auth import rights
from diracx_tasks.pilots import site_tests
from diracx_tasks.pilots import sites as verbs

router = Router("sites", "/api/sites")


@router.get("/", right=rights.not_a_pilot, response_model=list[models.SiteQueue])
def list_sites(db: ReadDb, me: Me) -> Any:
    """The queues of your VO's sites: whether they may be used, their breakers, pilots and last tests."""
    return verbs.sites(db, me.vo)


@router.post("/ban", right=rights.operate, response_model=models.Stated)
def ban(db: Db, me: Me, body: models.Ban) -> Any:
    """Have a site or computing element not used by your VO: no pilots are sent there, no jobs given."""
    return verbs.ban(db, site=body.site, ce=body.ce, reason=body.reason, by=me)


@router.post("/allow", right=rights.operate, response_model=models.Stated)
def allow(db: Db, me: Me, body: models.Ban) -> Any:
    """Have a site or computing element used again by your VO, whatever its breakers say."""
    return verbs.allow(db, site=body.site, ce=body.ce, reason=body.reason, by=me)


@router.post("/test", right=rights.operate, response_model=list[models.QueueTest])
def test_queues(db: Db, me: Me, body: models.QueueNames) -> Any:
    """Submit a small job to each queue that is meant; one that is being tested is not tested twice."""
    found = site_tests.chosen(me.vo, site=body.site, ce=body.ce, queue=body.queue)
    return site_tests.ask(db, me.vo, found, by=site_tests.service(me.vo))


@router.get("/tests", right=rights.not_a_pilot, response_model=list[models.QueueTested])
def get_tests(db: ReadDb, me: Me) -> Any:
    """The last test of each queue of your VO."""
    return site_tests.tested(db, me.vo)
