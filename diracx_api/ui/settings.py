"""What one wants to be told, and the logins that one has."""

from typing import Annotated, Any

from fastapi import Form, Path, Request, Response
from pydantic import BaseModel, Field

from diracx_api.deps import Db, ReadDb
from diracx_api.ui import render
from diracx_api.ui.router import Me, Pages, Visitor
from diracx_tasks.auth import refresh, rights, sessions
from diracx_tasks.core.database import session
from diracx_tasks.core.settings import settings
from diracx_tasks.notices import confirm, trial, watch, wishes
from diracx_tasks.notices.events import Event

router = Pages("/settings")
HERE = "/ui/settings"
MINUTE = 60
WORDS = {
    Event.DONE: "a workflow is done",
    Event.FAILED: "a workflow has failed",
    Event.ATTENTION: "something needs me",
    Event.KILLED: "a workflow was killed",
}


class Wanted(BaseModel):
    """What the form about messages says."""

    # None where no mail is sent: the field is not sent then.
    mail: str | None = Field(None, max_length=254)
    webhook: str = Field("", max_length=2000)
    events: list[Event] = []
    minutes: int = Field(10, ge=1, le=10_080)


@router.get("", right=rights.submit)
def show_settings(db: ReadDb, request: Request, me: Me, visitor: Visitor) -> Response:
    """What one is told, where and how often, and one's logins."""
    return _shown(request, wishes.show(db, by=me), sessions.own(db, me), visitor)


@router.post("", right=rights.submit)
def change_settings(
    db: Db, request: Request, me: Me, visitor: Visitor, form: Annotated[Wanted, Form()]
) -> Response:
    """Change what one is told; a new webhook's secret is shown this once."""
    before = wishes.show(db, by=me)
    wanted = wishes.Change(
        mail=_changed(form.mail, before["unconfirmed_mail"] or before["mail"]),
        webhook=_changed(form.webhook, before["webhook"]),
        events=form.events,
        interval=form.minutes * MINUTE,
    )
    found = wishes.change(db, wanted, by=me)
    db.flush()
    if found["secret"]:
        return _shown(request, found, sessions.own(db, me), visitor)
    return render.onwards(request, HERE, "Changed.")


@router.post("/confirm", right=rights.submit)
def confirm_mail(request: Request, me: Me, code: Annotated[str, Form(max_length=64)]) -> Response:
    """Say the code that was sent to a new mail address."""
    with session() as db:
        guess = confirm.guess(db, code.strip(), by=me)
    # The guess is counted, also when it is complained about.
    confirm.must_be_right(guess, by=me)
    return render.onwards(request, HERE, "Your mail address is confirmed.")


@router.post("/code", right=rights.submit)
def send_code(db: Db, request: Request, me: Me) -> Response:
    """Have another code sent."""
    mail = confirm.ask_again(db, wishes.must_have(db, me))
    return render.onwards(request, HERE, f"Another code is on its way to {mail}.")


@router.post("/test", right=rights.submit)
def send_test(db: Db, request: Request, me: Me) -> Response:
    """Have a message sent now in each way that is set."""
    ways = ", ".join(str(way) for way in trial.test(db, by=me))
    return render.onwards(request, HERE, f"A message is on its way by {ways}.")


@router.post("/off", right=rights.submit)
def forget(db: Db, request: Request, me: Me) -> Response:
    """Be told nothing any more."""
    wishes.forget(db, by=me)
    return render.onwards(request, HERE, "You are told nothing any more.")


@router.post("/groups", right=rights.submit)
def watch_group(
    db: Db, request: Request, me: Me, group: Annotated[str, Form(min_length=1, max_length=32)]
) -> Response:
    """Be told when one's jobs of a group have all ended."""
    watch.watch(db, group.strip(), by=me)
    return render.onwards(request, HERE, f"You are told when your jobs of the group {group} have ended.")


@router.post("/groups/off", right=rights.submit)
def forget_group(db: Db, request: Request, me: Me, group: Annotated[str, Form(max_length=32)]) -> Response:
    """Be told nothing of a group's end."""
    watch.stop(db, group, by=me)
    return render.onwards(request, HERE, f"You are told nothing of the group {group}.")


@router.post("/logins/{jti}/end", right=rights.authenticated)
def end_login(db: Db, request: Request, me: Me, jti: Annotated[str, Path(max_length=64)]) -> Response:
    """End one of one's logins, this one perhaps."""
    sessions.revoke(db, jti, me)
    return render.onwards(request, HERE, "That login has ended.")


def _changed(text: str | None, before: str | None) -> str | None:
    """What a field says if it is something new."""
    return None if text is None or text.strip() == (before or "") else text.strip()


def _shown(
    request: Request, found: dict[str, Any], logins: list[sessions.Given], visitor: Visitor
) -> Response:
    return render.page(
        request,
        "settings.html",
        wishes=found,
        minutes=max(1, found["interval"] // MINUTE),
        choices=[(event.value, words, event.value in found["events"]) for event, words in WORDS.items()],
        logins=logins,
        here=refresh.number(visitor.ticket),
        lasts=settings().refresh_minutes,
    )
