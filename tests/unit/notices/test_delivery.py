"""A message arrives once, however often its task runs and whatever was in its way before."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, update

from diracx_tasks.core.database import reading, session
from diracx_tasks.engine import dead_letters
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.notices import delivery, tasks
from diracx_tasks.notices.events import Event
from diracx_tasks.notices.gather import Whom, put_together
from diracx_tasks.notices.note import About, note
from diracx_tasks.notices.webhook import signature
from tests.api.caller import Api
from tests.api.stores import ON_SQLITE, installation, migrated
from tests.unit.notices.conftest import state
from tests.unit.notices.receivers import Hook, Post
from tests.unit.notices.told import age, by_mail, shown, told, wish, work

__all__ = ["installation", "migrated"]
SECRET = "a secret of some length"


def happens(subject: str = "workflow-42", name: str = "fit", **more: Any) -> None:
    """Something that alice wants to know."""
    with session() as db:
        note(db, Event.FAILED, About("lhcb", "alice", subject, name, "Failed", more.get("reason", "no luck")))


def newest(api: Api) -> tuple[str, str]:
    """State and error of the newest message."""
    found = shown(api)["messages"][0]
    return found["state"], found["error"]


def tries() -> int:
    """How often the sending of the message that waits has failed."""
    with reading() as db:
        return db.scalars(select(Outbox.tries).where(Outbox.task == "notices.send")).one()


@pytest.mark.parametrize("at", ["to_recipients", "to_data"])
def test_a_mail_server_that_is_busy_is_asked_again(api: Api, post: Post, at: str) -> None:
    by_mail(api, post)
    happens()
    setattr(post, at, "451 too busy")
    told()
    assert newest(api) == ("Waiting", "the mail server 127.0.0.1 says 451 too busy")
    assert (tries(), post.mails) == (1, [])
    happens("workflow-43")
    told(1000)
    assert len(shown(api)["messages"]) == 1
    setattr(post, at, "")
    work()
    assert (newest(api), len(post.mails)) == (("Sent", ""), 1)
    assert post.mails[0][1]["Subject"] == 'Failed: workflow 42 "fit"'
    told(1000)
    assert [mail["Subject"] for _, mail in post.mails[1:]] == ['Failed: workflow 43 "fit"']


def test_a_mail_server_that_is_away_is_asked_again_and_at_last_a_dead_letter_keeps_the_message(
    api: Api, post: Post
) -> None:
    by_mail(api, post)
    here = post.url
    state(mail_url="smtp://127.0.0.1:1")
    happens()
    told()
    assert tries() == 1
    with session() as db:
        db.execute(update(Outbox).where(Outbox.task == "notices.send").values(tries=30))
    work()
    assert newest(api)[0] == "Waiting" and "127.0.0.1:1" in newest(api)[1]
    with reading() as db:
        (letter,) = dead_letters.page(db)
        assert (letter.task, letter.tries) == ("notices.send", 31)
    told(3600)
    assert newest(api)[0] == "Given up"
    state(mail_url=here)
    with session() as db:
        dead_letters.retry(db, letter.letter_id, by="carol")
    work()
    assert (newest(api), len(post.mails)) == (("Sent", ""), 1)


def test_a_mailbox_that_is_not_there_is_not_asked_again(api: Api, post: Post) -> None:
    by_mail(api, post)
    happens()
    post.to_recipients = "550 no such mailbox"
    told()
    assert newest(api) == ("Refused", "the mail server 127.0.0.1 says 550 no such mailbox")
    assert work() == []


def test_running_the_task_again_sends_nothing_again(api: Api, post: Post) -> None:
    by_mail(api, post)
    happens()
    told()
    number = shown(api)["messages"][0]["message_id"]
    assert tasks.send.run(message_id=number) == "there is nothing to send any more"
    assert tasks.gather.run() == "0 messages, 0 put right"
    assert len(post.mails) == 1


def test_who_dies_after_sending_leads_to_the_same_message_id_and_who_sends_keeps_others_out(
    api: Api, post: Post
) -> None:
    by_mail(api, post)
    happens()
    age(61)
    tasks.gather.run()
    number = shown(api)["messages"][0]["message_id"]
    with session() as db:
        assert delivery.take(db, number) == 0
    with reading() as db:
        parcel = delivery.parcel(db, number)
    assert isinstance(parcel, delivery.Parcel)
    assert delivery.attempt(parcel).state == "Sent"
    # Its worker is gone before it could say so.
    work()
    assert (len(post.mails), newest(api)[0]) == (1, "Waiting")
    age(200)
    work()
    first, second = (mail["Message-ID"] for _, mail in post.mails)
    assert (first == second, newest(api)[0]) == (True, "Sent")
    assert first.endswith("@diracx.example.org>")


def test_of_four_who_put_together_at_once_one_makes_a_message(api: Api, post: Post) -> None:
    by_mail(api, post)
    for number in range(20):
        happens(f"workflow-{number}")

    def put() -> int | None:
        with session() as db:
            return put_together(db, Whom("lhcb", "alice", "mail"))

    with ThreadPoolExecutor(4) as threads:
        made = [one.result() for one in [threads.submit(put) for _ in range(4)]]
    assert len([one for one in made if one is not None]) == 1
    work()
    ((_, mail),) = post.mails
    assert mail["Subject"] == "20 things to tell: 20 Failed"


def test_a_message_whose_task_was_lost_is_asked_for_again(api: Api, post: Post) -> None:
    by_mail(api, post)
    happens()
    age(61)
    tasks.gather.run()
    with session() as db:
        for row in db.scalars(select(Outbox)):
            db.delete(row)
    age(60)
    assert tasks.gather.run() == "0 messages, 1 put right"
    work()
    assert len(post.mails) == 1


def test_a_webhook_gets_signed_json_and_is_tried_again_while_it_fails(api: Api, hook: Hook) -> None:
    assert wish(api, webhook=hook.url, secret=SECRET)["secret"] == SECRET
    assert shown(api)["secret"] is None
    happens()
    hook.status = 503
    told()
    assert newest(api) == ("Waiting", "the webhook at 127.0.0.1 answers 503")
    hook.status = 204
    work()
    assert newest(api)[0] == "Sent"
    (first, _), (headers, body) = hook.calls
    assert headers[":path"] == "/hooks/alice?x=1"
    assert headers["x-diracx-signature"] == f"sha256={signature(SECRET, body)}"
    assert first["x-diracx-delivery"] == headers["x-diracx-delivery"] == json.loads(body)["id"]
    found = json.loads(body)
    assert (found["vo"], found["user"], found["counts"]) == ("lhcb", "alice", {"Failed": 1})
    (item,) = found["items"]
    assert (item["subject"], item["status"], item["reason"]) == ("workflow-42", "Failed", "no luck")
    assert found["text"].startswith('Failed: workflow 42 "fit"')


@ON_SQLITE
@pytest.mark.parametrize("status", [302, 404])
def test_a_webhook_that_refuses_or_points_elsewhere_is_not_called_again(
    api: Api, hook: Hook, status: int
) -> None:
    wish(api, webhook=hook.url)
    happens()
    hook.status, hook.headers = status, {"Location": hook.url.replace("alice", "elsewhere")}
    told()
    assert newest(api) == ("Refused", f"the webhook at 127.0.0.1 answers {status}")
    assert (work(), len(hook.calls)) == ([], 1)


def test_one_way_that_fails_does_not_have_the_other_told_twice(api: Api, post: Post, hook: Hook) -> None:
    by_mail(api, post, webhook=hook.url)
    hook.status = 500
    happens()
    told()
    work()
    assert (len(post.mails), len(hook.calls)) == (1, 2)


def test_a_test_is_sent_at_once_and_once_a_minute(api: Api, post: Post, hook: Hook) -> None:
    by_mail(api, post, webhook=hook.url)
    happens()
    sent = api.post("/api/notices/test")
    assert sent.status_code == 200 and all(sent.json().values())
    work()
    assert [one["state"] for one in shown(api)["messages"]] == ["Sent", "Sent"]
    assert "Test: it works" in post.texts()[0] and "workflow 42" in post.texts()[0]
    again = api.post("/api/notices/test")
    assert (again.status_code, again.json()["detail"]) == (
        409,
        "a test was sent within the last 60 s: wait a moment",
    )
    # Forgotten and set anew it is still the same minute.
    api.ask("DELETE", "/api/notices")
    wish(api, webhook=hook.url)
    assert api.post("/api/notices/test").status_code == 409


def test_nothing_can_be_tested_before_it_is_known_where(api: Api, hook: Hook) -> None:
    assert api.post("/api/notices/test").status_code == 404
    wish(api, events=["failed"])
    assert "nowhere to send" in api.post("/api/notices/test").json()["detail"]
