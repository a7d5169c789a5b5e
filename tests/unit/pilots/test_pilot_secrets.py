"""Secrets of submitted pilots: known before the scripts leave, gone when nobody needs them any more."""

import pytest
from sqlalchemy import select, update

from diracx_tasks.core.database import changed, reading, session, utc_now
from diracx_tasks.pilots import secrets, submit, tasks, withdraw
from diracx_tasks.pilots.register import PilotEnded
from diracx_tasks.pilots.tables import Pilot, PilotSecret
from tests.api.stores import installation, migrated  # noqa: F401
from tests.builders import VO
from tests.unit.matching.ends import waiting
from tests.unit.pilots.spool import Grid, age, planned, statuses, submitted, synced

pytestmark = pytest.mark.usefixtures("grid")
NONCE = "the-nonce-of-this-pilot"


def kept() -> dict[str, PilotSecret]:
    with reading() as db:
        return {one.stamp: one for one in db.scalars(select(PilotSecret))}


def begins(stamp: str) -> secrets.Token:
    """A pilot begins; what its script had for a secret is another one now."""
    with session() as db:
        secret = secrets.give(db, VO, [stamp])[stamp]
    with session() as db:
        return secrets.exchange(db, stamp, secret, NONCE, address="node1")


def expire(*stamps: str) -> None:
    with session() as db:
        mine = update(PilotSecret).where(PilotSecret.stamp.in_(stamps))
        changed(db, mine.values(expires_at=utc_now(-1)))


def test_the_hashes_are_there_before_the_scripts_leave(grid: Grid) -> None:
    waiting(3)
    planned()
    # The worker dies right after the submission, as far as its transactions know.
    grid.rule("ce1", "falls silent", "connection reset")
    assert submitted("ce1") == {"ce1": submit.Submitted(0, 3)}
    found = kept()
    assert set(found) == set(grid.jobs("ce1")) and len(found) == 3
    assert len({one.hashed for one in found.values()}) == 3
    assert {(one.used_at, one.life_seconds) for one in found.values()} == {(None, 7 * 86400 + 3600)}


def test_a_pilot_that_begins_before_its_submission_is_noted_is_found_as_well(grid: Grid) -> None:
    waiting(1)
    planned()
    grid.rule("ce1", "falls silent", "connection reset")
    submitted("ce1")
    (stamp,) = grid.jobs("ce1")
    assert begins(stamp).seconds == 43_200
    grid.rule("ce1", "falls silent", "")
    age(1000)
    synced("ce1")
    with reading() as db:
        row = db.execute(select(Pilot.status, Pilot.reference)).one()
    assert tuple(row) == ("Running", f"ce1/{stamp}")
    grid.tell("ce1", "Done")
    synced("ce1")
    assert statuses() == {"Done": 1}


def test_a_pilot_that_has_begun_is_not_withdrawn_and_one_that_was_does_not_begin(grid: Grid) -> None:
    waiting(2)
    planned()
    submitted("ce1")
    age(400)
    first, second = sorted(grid.jobs("ce1"))
    begins(first)
    with session() as db:
        assert withdraw.withdraw(db, VO, ("ce1", "short"), 2) == 1
    with pytest.raises(PilotEnded, match=f"the pilot {second} has ended .Deleted."):
        begins(second)
    assert statuses() == {"Running": 1, "Deleted": 1}


def test_secrets_that_nobody_can_use_any_more_are_forgotten(grid: Grid) -> None:
    waiting(3)
    planned()
    submitted("ce1")
    unused, used, fresh = sorted(grid.jobs("ce1"))
    begins(used)
    tasks.clean_pilots.run(vo=VO)
    assert set(kept()) == {unused, used, fresh}
    expire(unused, used)
    tasks.clean_pilots.run(vo=VO)
    assert set(kept()) == {fresh}


def test_secrets_go_with_their_pilots(grid: Grid) -> None:
    waiting(1)
    planned()
    submitted("ce1")
    grid.tell("ce1", "Done")
    synced("ce1")
    age(31 * 86400)
    assert tasks.clean_pilots.run(vo=VO) == "0 were silent, 1 forgotten"
    assert kept() == {}
