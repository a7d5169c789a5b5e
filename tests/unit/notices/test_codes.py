"""A mail address is confirmed by the code that was sent to it, and by nothing else."""

from sqlalchemy import update

from diracx_tasks.core.database import session, utc_now
from diracx_tasks.notices.tables import Wishes
from tests.api.caller import Api
from tests.api.stores import ON_SQLITE, installation, migrated
from tests.builders import a_user
from tests.unit.notices.receivers import Post
from tests.unit.notices.test_delivery import happens
from tests.unit.notices.told import ADDRESS, by_mail, shown, told, wish, work

__all__ = ["installation", "migrated"]
ELSEWHERE = "alice@home.example"


def confirm(api: Api, code: str) -> tuple[int, str]:
    """Status and words of an answer."""
    answer = api.post("/api/notices/confirm", {"code": code})
    return answer.status_code, answer.json().get("detail", "")


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**8:08}"


def test_before_the_code_was_said_nothing_but_codes_is_sent(api: Api, post: Post) -> None:
    found = wish(api, mail=ADDRESS)
    assert (found["mail"], found["unconfirmed_mail"]) == ("", ADDRESS)
    work()
    ((to, mail),) = post.mails
    assert (to, mail["Subject"].startswith("Your code for DiracX: ")) == ([ADDRESS], True)
    happens()
    told()
    assert len(post.mails) == 1
    code = post.code()
    assert confirm(api, f" {code[:4]} {code[4:]} ")[0] == 200
    assert (shown(api)["mail"], shown(api)["unconfirmed_mail"]) == (ADDRESS, "")
    assert confirm(api, code)[0] == 404


def test_a_code_has_five_guesses_which_all_count(api: Api, post: Post) -> None:
    wish(api, mail=ADDRESS)
    work()
    code = post.code()
    for _ in range(5):
        assert confirm(api, wrong(code))[0] == 400
    assert confirm(api, code)[0] == 404
    assert shown(api)["mail"] == ""


def test_a_code_holds_for_half_an_hour_and_for_its_owner_only(api: Api, post: Post) -> None:
    wish(api, mail=ADDRESS)
    work()
    code = post.code()
    assert api.post("/api/notices/confirm", {"code": code}, by=a_user("bob")).status_code == 404
    assert api.post("/api/notices/confirm", {"code": code}, by=a_user(vo="belle")).status_code == 404
    with session() as db:
        db.execute(update(Wishes).values(code_until=utc_now(-1)))
    assert confirm(api, code)[0] == 404


def test_the_newest_code_counts_and_five_are_sent_a_day_whatever_is_tried(api: Api, post: Post) -> None:
    wish(api, mail=ADDRESS)
    work()
    first = post.code()
    assert api.post("/api/notices/code").json() == {"mail": ADDRESS}
    work()
    assert confirm(api, first)[0] == 400
    assert confirm(api, post.code())[0] == 200
    for name in ("one", "two"):
        wish(api, mail=f"{name}@strangers.example")
        work()
    # To begin anew gives no more of them.
    api.ask("DELETE", "/api/notices")
    wish(api, mail="three@strangers.example")
    work()
    refused = api.patch("/api/notices", {"mail": "four@strangers.example"})
    assert (refused.status_code, "5 codes were sent" in refused.json()["detail"]) == (409, True)
    assert (work(), len(post.mails)) == ([], 5)


def test_the_old_address_is_told_until_the_new_one_is_confirmed(api: Api, post: Post) -> None:
    by_mail(api, post)
    wish(api, mail=ELSEWHERE)
    work()
    code = post.code()
    happens()
    told()
    assert [to for to, _ in post.mails] == [[ELSEWHERE], [ADDRESS]]
    assert confirm(api, code)[0] == 200
    happens()
    told(700)
    assert post.mails[-1][0] == [ELSEWHERE]


@ON_SQLITE
def test_what_is_no_plain_address_is_refused(api: Api, post: Post) -> None:
    for address in (
        "alice",
        "alice@example.org\nBcc: bob@example.org",
        "alice@example.org, bob@example.org",
        '"a b"@example.org',
        "alice@exa_mple.org",
        f"{'a' * 65}@example.org",
        "<alice@example.org>",
        "älice@example.org",
    ):
        answer = api.patch("/api/notices", {"mail": address})
        assert (answer.status_code, "is no mail address" in answer.json()["detail"]) == (400, True), address
    assert work() == []


@ON_SQLITE
def test_without_a_mail_server_there_is_no_mail(api: Api) -> None:
    answer = api.patch("/api/notices", {"mail": ADDRESS})
    assert (answer.status_code, "DIRACX_MAIL_URL" in answer.json()["detail"]) == (409, True)
    assert shown(api)["sends_mail"] is False


def test_the_code_of_one_address_does_not_confirm_another(api: Api, post: Post) -> None:
    wish(api, mail=ADDRESS)
    work()
    code = post.code()
    wish(api, mail="somebody@strangers.example")
    # Before the new code is made: its task may wait for long.
    assert confirm(api, code)[0] == 404
    assert (shown(api)["mail"], shown(api)["unconfirmed_mail"]) == ("", "somebody@strangers.example")
