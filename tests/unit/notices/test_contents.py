"""What messages say whatever names and reasons are, and how long they are kept."""

import json

from sqlalchemy import func, select, update

from diracx_tasks.auth import keys
from diracx_tasks.auth.rotate import rotate
from diracx_tasks.core.database import reading, session
from diracx_tasks.core.settings import settings
from diracx_tasks.notices import tasks
from diracx_tasks.notices.tables import Message, Notice, Wishes
from diracx_tasks.notices.wishes import secret_of
from tests.api.caller import Api
from tests.api.stores import installation, migrated
from tests.unit.notices.receivers import Hook, Post
from tests.unit.notices.test_delivery import SECRET, happens
from tests.unit.notices.told import age, by_mail, told, wish

__all__ = ["installation", "migrated"]
NASTY = "fit\r\nBcc: bob@example.org\r\n\r\nhey\u202eevil\x1b[31m <b>ü</b>"


def test_names_and_reasons_make_neither_headers_nor_lines(api: Api, post: Post) -> None:
    by_mail(api, post)
    happens(name=NASTY, reason=NASTY)
    told()
    ((to, mail),) = post.mails
    assert (len(to), mail["Bcc"]) == (1, None)
    # Between letters that are encoded and those that are not there may be two spaces.
    subject = " ".join(mail["Subject"].split())
    assert subject == 'Failed: workflow 42 "fit Bcc: bob@example.org hey evil [31m <b>ü</b>"'
    (text,) = post.texts()
    assert "\n    reason: fit Bcc: bob@example.org hey evil [31m <b>ü</b>\n" in text
    assert mail.get_content_type() == "text/plain"


def test_what_looks_like_an_encoded_word_makes_no_headers(api: Api, post: Post) -> None:
    name = "=?utf-8?q?fit=0D=0AReply-To:_bob@example.org=0D=0A=0D=0Ahey?="
    by_mail(api, post)
    happens(name=name)
    told()
    ((_, mail),) = post.mails
    assert (mail["Reply-To"], mail.get_content_type()) == (None, "text/plain")
    assert "".join(mail["Subject"].split()) == f'Failed:workflow42"{name}"'
    assert f'"{name}"\n    at ' in post.texts()[0]


def test_of_very_many_things_the_first_are_told_and_all_are_counted(api: Api, post: Post, hook: Hook) -> None:
    by_mail(api, post, webhook=hook.url)
    for number in range(60):
        happens(f"workflow-{number}", "x" * 200, reason="y" * 5000)
    told()
    ((_, mail),) = post.mails
    assert mail["Subject"] == "60 things to tell: 60 Failed"
    (text,) = post.texts()
    assert text.count("reason: ") == 50 and "and 10 more: `diracx workflows list`" in text
    assert len(text) < 50 * 1000
    body = json.loads(hook.calls[0][1])
    assert (body["total"], len(body["items"])) == (60, 50)


def test_what_was_told_long_ago_is_forgotten(api: Api, post: Post) -> None:
    by_mail(api, post)
    happens()
    told()
    assert tasks.forget.run() == "0 forgotten"
    happens("workflow-43")
    age(31 * 86400)
    # A notice and its message; what was never told stays.
    assert tasks.forget.run() == "2 forgotten"
    with reading() as db:
        counts = [db.scalar(select(func.count()).select_from(table)) for table in (Notice, Message)]
        assert counts == [1, 0]
        assert db.scalars(select(Notice.subject)).one() == "workflow-43"


def test_a_webhooks_secret_outlives_the_key_that_it_was_sealed_with(api: Api, hook: Hook) -> None:
    wish(api, webhook=hook.url, secret=SECRET)
    with reading() as db:
        before = db.scalars(select(Wishes)).one()
    assert SECRET not in before.secret
    rotate(delay=0)
    tasks.forget.run()
    stored = json.loads(settings().keys_file.read_text())
    newest = [key for key in stored["keys"] if "sign" in (key.get("key_ops") or [])][:1]
    keys.write_private(settings().keys_file, json.dumps({"keys": newest}))
    with reading() as db:
        assert secret_of(db.scalars(select(Wishes)).one()) == SECRET
    with session() as db:
        db.execute(update(Wishes).values(secret=before.secret))
    happens()
    told()
    words = api.get("/api/notices").json()["messages"][0]["error"]
    assert (words, hook.calls) == (
        "the webhook's secret cannot be read any more: set the webhook again",
        [],
    )
