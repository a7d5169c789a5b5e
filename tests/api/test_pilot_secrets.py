"""A pilot begins: its secret is good once, for a time, for itself, and gives a token."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from diracx_tasks.auth import tokens
from diracx_tasks.core.database import changed, reading, session
from diracx_tasks.pilots import secrets, tries
from diracx_tasks.pilots.tables import Pilot, PilotSecret
from tests.api.caller import Api
from tests.api.secret_pilots import (
    CAROL,
    MATCH,
    NONCE,
    OTHER,
    SECRETS,
    SLOT,
    TOKEN,
    a_pilot_with_a_secret,
    ask,
    begin,
    begun,
    end,
    new_stamp,
    registered,
)
from tests.api.stores import installation, migrated
from tests.builders import VO, a_user
from tests.unit.matching.ends import waiting

__all__ = ["installation", "migrated"]
WRONG = {"detail": "no pilot has this stamp and this secret"}


def earlier(stamp: str, seconds: float) -> None:
    """All that is known of a secret happened so much earlier."""
    shift = timedelta(seconds=seconds)
    with session() as db:
        kept = db.scalars(select(PilotSecret).where(PilotSecret.stamp == stamp)).one()
        kept.expires_at -= shift
        if kept.used_at:
            kept.used_at -= shift


def test_a_secret_becomes_a_token_with_which_the_pilot_gets_its_jobs(api: Api) -> None:
    stamp, secret = a_pilot_with_a_secret()
    (job_id,) = waiting()
    answer = begin(api, stamp, secret)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    told = answer.json()
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 43_200)
    user = tokens.verify(told["access_token"])
    assert (user.vo, user.pilot_stamp, set(user.properties)) == (VO, stamp, {"GenericPilot"})
    with reading() as db:
        assert db.scalar(select(Pilot.status).where(Pilot.stamp == stamp)) == "Running"
    given = ask(api, MATCH, told["access_token"], {**SLOT, "stamp": stamp})
    assert [one["job_id"] for one in given.json()["jobs"]] == [job_id]


def test_whoever_has_used_it_may_repeat_that_and_nobody_else(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    stamp, secret = a_pilot_with_a_secret()
    first, again = begin(api, stamp, secret), begin(api, stamp, secret)
    assert (first.status_code, again.status_code) == (200, 200)
    with caplog.at_level(logging.DEBUG):
        other = begin(api, stamp, secret, OTHER)
    words = {"detail": f"the secret of the pilot {stamp} has been used"}
    assert (other.status_code, other.json()) == (401, words)
    assert f"the secret of the pilot {stamp} of {VO} is used again" in caplog.text
    assert secret not in caplog.text
    assert begin(api, stamp, secret).status_code == 200
    earlier(stamp, 901)
    assert begin(api, stamp, secret).status_code == 401


def test_of_many_who_use_a_secret_at_once_one_gets_a_token(api: Api) -> None:
    stamp, secret = a_pilot_with_a_secret()
    nonces = [f"{number:020}" for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda nonce: begin(api, stamp, secret, nonce).status_code, nonces))
    assert sorted(answers) == [200] + [401] * 7
    winner = nonces[answers.index(200)]
    assert begin(api, stamp, secret, winner).status_code == 200


def test_what_is_wrong_with_stamp_and_secret_is_not_told(api: Api) -> None:
    stamp, secret = a_pilot_with_a_secret()
    other, others = a_pilot_with_a_secret()
    forgotten, left = a_pilot_with_a_secret()
    with session() as db:
        changed(db, update(Pilot).where(Pilot.stamp == forgotten).values(stamp=new_stamp()))
    tried = [(stamp, others), (other, secret), (new_stamp(), secret), (stamp, ""), (forgotten, left)]
    answers = [begin(api, *one) for one in (*tried, (stamp.upper(), secret + "x"))]
    assert {one.status_code for one in answers} == {401}
    assert [one.json() for one in answers] == [WRONG] * 6
    length = {(one.headers["Content-Length"], one.headers["WWW-Authenticate"]) for one in answers}
    assert len(length) == 1
    assert begin(api, stamp, secret).status_code == 200


def test_an_answer_to_what_is_malformed_does_not_repeat_the_secret(api: Api) -> None:
    stamp, secret = a_pilot_with_a_secret()
    answer = api.post(TOKEN, {"pilot_stamp": stamp, "pilot_secret": secret}, by=None)
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "nonce"])
    assert stamp in answer.text and secret not in answer.text


def test_half_a_character_is_a_wrong_secret_like_others(api: Api) -> None:
    stamp, _ = a_pilot_with_a_secret()
    body = {"pilot_stamp": stamp, "pilot_secret": "\ud800", "nonce": NONCE}
    text = {"content": json.dumps(body), "headers": {"Content-Type": "application/json"}}
    answer = api.ask("POST", TOKEN, by=None, **text)
    assert (answer.status_code, answer.json()) == (401, WRONG)


def test_a_secret_is_good_for_a_time(api: Api) -> None:
    stamp, secret = a_pilot_with_a_secret(seconds=7200)
    earlier(stamp, 7201)
    answer = begin(api, stamp, secret)
    words = {"detail": f"the secret of the pilot {stamp} has expired"}
    assert (answer.status_code, answer.json()) == (401, words)


@pytest.mark.parametrize("status", ["Aborted", "Deleted"])
def test_a_pilot_that_was_ended_before_it_began_does_not_begin(api: Api, status: str) -> None:
    stamp, secret = a_pilot_with_a_secret()
    end(stamp, status)
    answer = begin(api, stamp, secret)
    words = {"detail": f"the pilot {stamp} has ended ({status}): its token holds no more"}
    assert (answer.status_code, answer.json()) == (401, words)


def test_wrong_secrets_are_tried_a_few_times_only_and_hold_up_no_other_pilot(api: Api) -> None:
    stamp, secret = a_pilot_with_a_secret()
    other, others = a_pilot_with_a_secret()
    guesses = [begin(api, stamp, f"guess-{number}").status_code for number in range(tries.MOST_WRONG)]
    assert set(guesses) == {401}
    late = begin(api, stamp, secret)
    assert (late.status_code, "try again in" in late.json()["detail"]) == (429, True)
    assert begin(api, other, others).status_code == 200


def test_the_database_knows_hashes_only(api: Api) -> None:
    stamp, secret = a_pilot_with_a_secret()
    assert begin(api, stamp, secret).status_code == 200
    with reading() as db:
        row = db.execute(select(PilotSecret.__table__).where(PilotSecret.stamp == stamp)).one()
    assert secret not in str(row) and NONCE not in str(row)
    assert (row.HashedSecret, row.UsedBy) == (secrets.hashed(secret), secrets.hashed(NONCE))


def test_what_cannot_be_a_beginning_is_422(api: Api) -> None:
    good = {"pilot_stamp": "s", "pilot_secret": "s", "nonce": NONCE}
    wrong: list[dict[str, object]] = [
        {"nonce": "too-short"},
        {"nonce": "x" * 129},
        {"nonce": "with a blank in it"},
        {"pilot_secret": "x" * 257},
        {"pilot_stamp": ""},
        {"unknown": 1},
    ]
    answers = [api.post(TOKEN, {**good, **stated}, by=None).status_code for stated in wrong]
    assert answers == [422] * len(wrong)


def test_who_submits_pilots_himself_gets_secrets_for_them_once(api: Api) -> None:
    stamps = [registered() for _ in range(3)]
    body = {"pilot_stamps": stamps, "wall_seconds": 60}
    answer = api.post(SECRETS, body, by=CAROL)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    given = {one["pilot_stamp"]: one["pilot_secret"] for one in answer.json()}
    assert list(given) == stamps and len(set(given.values())) == 3
    again = api.post(SECRETS, {**body, "pilot_stamps": stamps[:1]}, by=CAROL).json()
    assert begin(api, stamps[0], given[stamps[0]]).json() == WRONG
    assert begin(api, stamps[0], again[0]["pilot_secret"]).status_code == 200
    # It may run for a minute, and an hour more for the batch system to end it.
    with reading() as db:
        kept = db.scalars(select(PilotSecret).where(PilotSecret.stamp == stamps[0])).one()
    assert kept.used_at and kept.expires_at - kept.used_at == timedelta(seconds=3660)


def test_secrets_are_for_pilots_of_ones_own_vo_that_have_not_begun(api: Api) -> None:
    begins, _ = begun(api)
    over, _ = a_pilot_with_a_secret()
    end(over)
    theirs, _ = a_pilot_with_a_secret("belle")
    new, _ = a_pilot_with_a_secret()

    def asked(*stamps: str) -> tuple[int, str]:
        answer = api.post(SECRETS, {"pilot_stamps": [new, *stamps]}, by=CAROL)
        return answer.status_code, answer.json()["detail"]

    assert asked(begins) == (409, f"the pilot {begins} has begun with its secret")
    assert asked(over) == (409, f"the pilot {over} has ended (Deleted)")
    assert asked(theirs, "nobody") == (
        404,
        f"not registered in {VO}: {', '.join(sorted(['nobody', theirs]))}",
    )
    assert api.post(SECRETS, {"pilot_stamps": [new]}, by=a_user()).status_code == 403
