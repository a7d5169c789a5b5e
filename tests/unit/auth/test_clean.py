"""What nobody can use any more goes, page by page; the rest stays."""

import time
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from diracx_tasks.auth import clean, tasks
from diracx_tasks.auth.tables import AuthorizationFlow, DeviceFlow, RefreshToken
from diracx_tasks.core.database import utc_now

DAY = 86400


def a_token(db: Session, age: float) -> str:
    jti = str(UUID(int=(int((time.time() - age) * 1000) << 80) | (7 << 76) | (2 << 62) | int(age)))
    values = {"jti": jti, "status": "CREATED", "scope": "vo:lhcb", "sub": "lhcb:alice"}
    db.execute(insert(RefreshToken).values(values))
    return jti


def a_device(db: Session, code: str, age: float, status: str = "DONE") -> None:
    values = {"user_code": code, "device_code": code, "client_id": "x", "scope": "vo:lhcb", "status": status}
    db.execute(insert(DeviceFlow).values(**values, created_at=utc_now(-age)))


def a_page(db: Session, uuid: str, age: float, status: str = "READY") -> None:
    challenge = {"code_challenge": "x", "code_challenge_method": "S256", "redirect_uri": "https://web/"}
    values = {"uuid": uuid, "client_id": "x", "scope": "vo:lhcb", "status": status, **challenge}
    db.execute(insert(AuthorizationFlow).values(**values, created_at=utc_now(-age)))


def test_refresh_tokens_go_after_the_longest_that_one_may_live(db: Session) -> None:
    kept = [a_token(db, age) for age in (0, 3600, 30 * DAY)]
    gone = [a_token(db, age) for age in (32 * DAY, 400 * DAY)]
    assert clean.clean_tokens(db) == len(gone)
    assert sorted(db.scalars(select(RefreshToken.jti))) == sorted(kept)
    assert clean.clean_tokens(db) == 0


def test_logins_go_an_hour_after_they_have_expired(db: Session) -> None:
    for code, age in (("BBBBBBBB", 0), ("CCCCCCCC", 3600), ("DDDDDDDD", 4300)):
        a_device(db, code, age)
    for number, age in ((1, 0), (2, 3600), (3, 4000)):
        a_page(db, str(UUID(int=number)), age)
    assert clean.clean_flows(db) == 2
    assert sorted(db.scalars(select(DeviceFlow.user_code))) == ["BBBBBBBB", "CCCCCCCC"]
    assert sorted(db.scalars(select(AuthorizationFlow.uuid))) == [str(UUID(int=1)), str(UUID(int=2))]


def test_logins_that_nobody_has_finished_go_as_soon_as_they_have_expired(db: Session) -> None:
    for code, age in (("BBBBBBBB", 500), ("CCCCCCCC", 700)):
        a_device(db, code, age, "PENDING")
    for number, age in ((1, 200), (2, 400)):
        a_page(db, str(UUID(int=number)), age, "PENDING")
    assert clean.clean_flows(db) == 2
    assert list(db.scalars(select(DeviceFlow.user_code))) == ["BBBBBBBB"]
    assert list(db.scalars(select(AuthorizationFlow.uuid))) == [str(UUID(int=1))]


def test_the_task_goes_on_page_by_page_until_nothing_is_left(
    db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (clean, tasks):
        monkeypatch.setattr(module, "AT_ONCE", 1)
    for number in range(130):
        a_token(db, 40 * DAY + number)
        a_device(db, f"{number:08}", 9000)
    db.commit()
    assert tasks.clean_logins() == "130 logins and 130 refresh tokens removed"
    assert db.execute(text("SELECT COUNT(*) FROM RefreshTokens")).scalar_one() == 0
