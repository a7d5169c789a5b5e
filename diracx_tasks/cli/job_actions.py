"""`diracx jobs kill`, `delete`, `remove`, `reschedule`: some jobs by number, or all that a search finds."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.known import known_jobs
from diracx_tasks.cli.live import answers
from diracx_tasks.cli.progress import waiting
from diracx_tasks.cli.tables import Row
from diracx_tasks.cli.where import Condition, where_option
from diracx_tasks.core.errors import ApiError

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

BULK = "/api/jobs/bulk"
POLL = 1.0
# Not more jobs than one call may name.
MOST = 1000
LATER = "what is Deleted now is removed an hour after its pilot's last word"
Words = dict[str, str]


def _chosen(command: Callable[..., None]) -> Callable[..., None]:
    """Add the ways to say which jobs are meant."""
    for add in (
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Only count."),
        click.option(
            "--all", "is_all", is_flag=True, help="All your jobs; of an administrator, all of the VO."
        ),
        where_option,
        click.argument("job_ids", type=click.IntRange(1), nargs=-1, shell_complete=known_jobs),
    ):
        command = add(command)
    return command


@click.command()
@_chosen
def kill(**given: Any) -> None:
    """Kill jobs that have not ended."""
    _act("kill", _each_by("kill"), **given)


@click.command()
@_chosen
def delete(**given: Any) -> None:
    """Delete jobs, killing those that have not ended; they are removed an hour later."""
    _act("delete", _each_by("delete"), **given)


@click.command()
@_chosen
def remove(**given: Any) -> None:
    """Remove jobs that have ended, with all that is stored of them."""
    _act("remove", None, **given)


@click.command()
@_chosen
def reschedule(**given: Any) -> None:
    """Have jobs begin anew from what was submitted; what still runs of them is stopped."""
    _act("reschedule", _reschedule, **given)


@click.command()
@click.argument("bulk_id", type=click.IntRange(1))
def bulk(bulk_id: int) -> None:
    """Follow an action on many jobs to its end."""
    _follow(output.connect(), bulk_id)


Several = Callable[["Client", Sequence[int]], None]


def _act(
    action: str,
    several: Several | None,
    *,
    job_ids: tuple[int, ...],
    conditions: tuple[Condition, ...],
    is_all: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """`several` does it to jobs that are named; without it they are a search as well."""
    if sum(map(bool, (job_ids, conditions, is_all))) != 1:
        raise click.UsageError(f"say which jobs: numbers, or --where, or --all of yours to {action}")
    if len(job_ids) > MOST:
        raise click.UsageError(f"{len(job_ids)} numbers are too many: {MOST} at once, or --where")
    client = output.connect()
    if job_ids and several and not dry_run:
        named = f"job{'s' * (len(job_ids) > 1)} {', '.join(map(str, job_ids))}"
        output.agree(f"{action.capitalize()} {named}?", yes=yes)
        several(client, job_ids)
        return
    by_number = [{"parameter": "JobID", "operator": "in", "values": list(job_ids)}] if job_ids else []
    body = {"action": action, "search": [*by_number, *conditions], "all": is_all}
    found = client.post(BULK, {**body, "dry_run": True})
    _tell_found(found, action, len(job_ids))
    # Of jobs that are named it is said one by one why they stay.
    wanted = found["found"] if job_ids else found["possible"]
    if dry_run or not wanted:
        raise click.exceptions.Exit(1 if job_ids and not wanted else 0)
    question = f"{action.capitalize()} {_jobs(wanted)}?"
    if job_ids:
        output.agree(question, yes=yes)
    else:
        output.must_agree(question, yes=yes)
    _follow(client, client.post(BULK, body)["bulk_id"])


def _each_by(verb: str) -> Several:
    def each(client: "Client", job_ids: Sequence[int]) -> None:
        def one(job_id: int) -> None:
            click.echo(f"job {job_id} is {client.post(f'/api/jobs/{job_id}/{verb}')['status']}")

        output.for_each(job_ids, one)

    return each


def _reschedule(client: "Client", job_ids: Sequence[int]) -> None:
    try:
        found = client.post("/api/jobs/reschedule", {"job_ids": list(job_ids)})
    except ApiError as error:
        if not (isinstance(error.body, dict) and "failed" in error.body):
            raise
        found = error.body
    for job_id, now in found["success"].items():
        click.echo(f"job {job_id} is {now['Status']}")
    for job_id, failure in found["failed"].items():
        words = str(failure["detail"]).removeprefix(f"job {job_id}").removeprefix(" ")
        click.echo(f"diracx: job {job_id}: {words}", err=True)
    if found["failed"]:
        raise click.exceptions.Exit(1)


def _jobs(count: int) -> str:
    return f"{count} job{'s' * (count != 1)}"


def _tell_found(found: Row, action: str, named: int) -> None:
    """How many jobs there are, in which status, and which of them will stay."""
    statuses = ", ".join(f"{count} {status}" for status, count in found["by_status"].items())
    click.echo(f"{_jobs(found['found'])} found{': ' * bool(statuses)}{statuses}")
    if stay := found["found"] - found["possible"]:
        click.echo(f"{stay} of them cannot be {_past(action)} as they are")
    if found["others"]:
        click.echo(f"{_jobs(found['others'])} more of others, which you may not change")
    if missing := max(0, named - found["found"] - found["others"]):
        click.echo(f"{missing} of {_jobs(named)} not there")


def _past(action: str) -> str:
    return {"kill": "killed", "reschedule": "rescheduled"}.get(action, f"{action}d")


def _follow(client: "Client", bulk_id: int) -> None:
    """Wait for the end, say what came of it; exit with 1 when some jobs stay as they are."""
    try:
        found = _waited(client, bulk_id)
    except KeyboardInterrupt:
        click.echo(f"diracx: it goes on; `diracx jobs bulk {bulk_id}` follows it", err=True)
        raise
    changed = ", ".join(f"{count} {what}" for what, count in sorted(found["changed"].items()))
    click.echo(changed or "nothing was changed")
    if found["action"] == "remove" and "Deleted" in found["changed"]:
        click.echo(LATER)
    for one in found["kept"]:
        first = ", ".join(map(str, one["first"])) + (", ..." if one["jobs"] > len(one["first"]) else "")
        click.echo(f"{_jobs(one['jobs'])} not {_past(found['action'])} ({first}): {one['reason']}")
    if found["kept"]:
        raise click.exceptions.Exit(1)


def _waited(client: "Client", bulk_id: int) -> Row:
    """What came of it."""

    def ask() -> Row:
        found: Row = client.get(f"{BULK}/{bulk_id}")
        return found

    told = ""
    with waiting(f"action {bulk_id}") as now:
        for found, away in answers(ask, lambda found: bool(found["ended_at"] or found["trouble"]), POLL):
            words = f"{found['done']} of {_jobs(found['found'])}"
            now(f"action {bulk_id}: {words}", found["done"], found["found"])
            if away and not told:
                click.echo(f"diracx: {away}; still trying", err=True)
            told = away
    if not found["ended_at"]:
        words = f"action {bulk_id} was stopped after {words}: {found['trouble']}"
        raise click.ClickException(f"{words}; operators find it with `diracx tasks dead`")
    return found
