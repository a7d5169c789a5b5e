"""Whoever wants to be told of the ends of workflows is: once, of all together, and nobody else."""

from diracx_tasks.core.database import session
from diracx_tasks.workflows.control import kill
from diracx_tasks.workflows.rerun import rerun
from diracx_tasks.workflows.states import Status
from diracx_tasks.workflows.submit import Options
from tests.api.caller import ALICE, Api
from tests.api.stores import installation, migrated
from tests.builders import a_user
from tests.unit.notices.receivers import Post
from tests.unit.notices.told import ADDRESS, by_mail, shown, told, wish, work
from tests.unit.workflows.failing import STATED, WIDE, Failing
from tests.unit.workflows.lives import begun, done, ended, moved

__all__ = ["installation", "migrated"]

OTHER = {"xs": [4, 5, 6, 7], "x": 7}


def nothing_fails() -> Failing:
    return Failing()


def test_a_workflow_that_ends_is_told_once_with_its_numbers_and_where_to_look(api: Api, post: Post) -> None:
    by_mail(api, post)
    workflow_id = begun(WIDE, STATED)
    assert ended(workflow_id, nothing_fails()) == Status.DONE
    told()
    ((to, mail),) = post.mails
    assert (to, mail["To"], mail["From"]) == ([ADDRESS], ADDRESS, "DiracX <diracx@example.org>")
    assert mail["Subject"] == f'Done: workflow {workflow_id} "main.cwl"'
    (text,) = post.texts()
    assert text.startswith(f'Done: workflow {workflow_id} "main.cwl"\n    at 20')
    assert "    jobs: 4 done\n" in text
    assert f"    https://diracx.example.org/ui/workflows/{workflow_id}\n" in text
    assert f"    diracx workflows outputs {workflow_id}\n" in text
    told(700)
    assert len(post.mails) == 1
    assert [one["state"] for one in shown(api)["messages"]] == ["Sent"]


def test_a_failure_is_told_with_its_reason(api: Api, post: Post) -> None:
    by_mail(api, post)
    workflow_id = begun(WIDE, STATED)
    assert ended(workflow_id, Failing("one")) == Status.FAILED
    told()
    (text,) = post.texts()
    assert text.startswith(f'Failed: workflow {workflow_id} "main.cwl"')
    assert "reason: " in text and "no one" in text
    assert f"diracx workflows logs {workflow_id}" in text
    # That a step had failed before is no news any more.
    assert "Needs you" not in text


def test_that_a_step_has_failed_is_told_while_the_rest_goes_on(api: Api, post: Post) -> None:
    by_mail(api, post, events=["attention"])
    workflow_id = begun(WIDE, STATED, Options(on_error="continue"))
    moved(workflow_id)
    assert done(workflow_id, Failing("one"), most=3) == 3
    assert moved(workflow_id) == Status.RUNNING
    told()
    (text,) = post.texts()
    assert text.startswith(f'Needs you: workflow {workflow_id} "main.cwl"')
    assert "a step has failed, what does not need it goes on: " in text


def test_what_ends_within_a_minute_is_one_message_and_the_next_comes_after_the_pause(
    api: Api, post: Post
) -> None:
    by_mail(api, post)
    first, second = begun(WIDE, STATED), begun(WIDE, OTHER)
    assert ended(first, nothing_fails()) == Status.DONE
    assert ended(second, Failing("one")) == Status.FAILED
    told(30)
    assert post.mails == []
    told(31)
    ((_, mail),) = post.mails
    assert mail["Subject"] == "2 things to tell: 1 Failed, 1 Done"
    assert mail.get_content().index(f"workflow {second}") < mail.get_content().index(f"workflow {first}")
    with session() as db:
        rerun(db, second, by=ALICE)
    assert ended(second, nothing_fails()) == Status.DONE
    told(100)
    assert len(post.mails) == 1
    told(500)
    assert [mail["Subject"] for _, mail in post.mails[1:]] == [f'Done: workflow {second} "main.cwl"']


def test_only_what_was_chosen_is_told(api: Api, post: Post) -> None:
    by_mail(api, post, events=["killed"])
    assert ended(begun(WIDE, STATED), nothing_fails()) == Status.DONE
    workflow_id = begun(WIDE, OTHER)
    moved(workflow_id)
    with session() as db:
        kill(db, workflow_id, by=ALICE)
    assert moved(workflow_id) == Status.KILLED
    told()
    assert [mail["Subject"] for _, mail in post.mails] == [f'Killed: workflow {workflow_id} "main.cwl"']
    assert "reason: killed by alice" in post.texts()[0]


def test_nobody_is_told_what_is_anothers(api: Api, post: Post) -> None:
    others = [a_user("alice", vo="belle"), a_user("bob")]
    for other in others:
        by_mail(api, post, by=other)
    assert ended(begun(WIDE, STATED), nothing_fails()) == Status.DONE
    told()
    assert (post.mails, [shown(api, other)["waiting"] for other in others]) == ([], [0, 0])


def test_who_is_off_is_told_nothing_not_even_what_waited(api: Api, post: Post) -> None:
    by_mail(api, post)
    assert ended(begun(WIDE, STATED), nothing_fails()) == Status.DONE
    assert shown(api)["waiting"] == 1
    assert api.ask("DELETE", "/api/notices").status_code == 200
    told()
    assert (post.mails, shown(api)["waiting"], shown(api)["mail"]) == ([], 0, "")
    wish(api, events=["done"])
    assert work() == []
