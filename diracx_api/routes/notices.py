"""What you want to be told by mail or webhook: ends of workflows and groups of jobs, and what needs you."""

from typing import Any

from diracx_api.deps import Db, Me, ReadDb, Router
from diracx_api.models import notices as models
from diracx_tasks.auth import rights
from diracx_tasks.core.database import session
from diracx_tasks.notices import confirm, trial, watch, wishes
from diracx_tasks.notices.events import Channel

router = Router("notices", "/api/notices")


@router.get("", right=rights.submit, response_model=models.NoticeWishes)
def get_wishes(db: ReadDb, me: Me) -> Any:
    """What you want to be told, where and how often, and what became of the newest messages."""
    return wishes.show(db, by=me)


@router.patch("", right=rights.submit, response_model=models.NoticeWishes)
def set_wishes(db: Db, me: Me, body: models.NoticeChange) -> Any:
    """Change what you want to be told; a new mail address gets a code that is to be confirmed."""
    return wishes.change(db, wishes.Change(**body.model_dump()), by=me)


@router.delete("", right=rights.submit, response_model=models.NoticeWishes)
def forget_wishes(db: Db, me: Me) -> Any:
    """Be told nothing any more; addresses, and what was and is to be told, are forgotten."""
    wishes.forget(db, by=me)
    db.flush()
    return wishes.show(db, by=me)


@router.post("/confirm", right=rights.submit, response_model=models.NoticeWishes)
def confirm_mail(me: Me, body: models.MailCode) -> Any:
    """Say the code that was sent to a new mail address; there are 5 guesses within 30 minutes."""
    with session() as db:
        guess = confirm.guess(db, body.code, by=me)
        found = wishes.show(db, by=me)
    # The guess is counted, also when it is complained about.
    confirm.must_be_right(guess, by=me)
    return found


@router.post("/code", right=rights.submit, response_model=models.CodeSent)
def send_code(db: Db, me: Me) -> Any:
    """Have another code sent to the address that waits to be confirmed; at most 5 a day."""
    return {"mail": confirm.ask_again(db, wishes.must_have(db, me))}


@router.post("/test", right=rights.submit, response_model=models.TestSent)
def send_test(db: Db, me: Me) -> Any:
    """Have a message sent now in each way that is set, to see whether it arrives."""
    sent = trial.test(db, by=me)
    return {"mail": sent.get(Channel.MAIL), "webhook": sent.get(Channel.WEBHOOK)}


@router.post("/groups/{group:path}", right=rights.submit, response_model=models.NoticeWishes)
def watch_group(db: Db, me: Me, group: models.Group) -> Any:
    """Be told when your jobs of a group (JobGroup) have all ended: once, within about a minute."""
    watch.watch(db, group, by=me)
    return wishes.show(db, by=me)


@router.delete("/groups/{group:path}", right=rights.submit, response_model=models.NoticeWishes)
def forget_group(db: Db, me: Me, group: models.Group) -> Any:
    """Be told nothing of a group's end."""
    watch.stop(db, group, by=me)
    return wishes.show(db, by=me)
