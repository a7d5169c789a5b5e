"""What TAB completes: numbers and names that the server knows; none when it does not answer at once."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from diracx_tasks.cli.complaints import one_line

if TYPE_CHECKING:
    from diracx_tasks.core.client import Client

NEWEST = 30
# Nobody waits longer for a TAB.
PATIENCE = 2.0
STATUSES = ("Received", "Waiting", "Matched", "Running", "Done", "Failed", "Killed")
PILOT_STATUSES = ("Submitted", "Waiting", "Running", "Done", "Failed", "Aborted", "Deleted")
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
# Values with a few words on each.
Found = Iterable[tuple[Any, str]]


def _at_once() -> None:
    """There is nothing to be done before it is asked."""


def completed(
    look_up: Callable[[click.Context, str], Found], prepare: Callable[[], None] = _at_once
) -> Complete:
    """Completes to what is found and begins so, but for what is on the line already.

    What has to be prepared may take its time; an answer may not.
    """

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            prepare()
            with _patience():
                found = [(str(value), one_line(words)) for value, words in look_up(ctx, incomplete)]
        except Exception:
            return []
        before = ctx.params.get(parameter.name or "")
        given = {str(one) for one in before} if isinstance(before, tuple | list) else set()
        items = dict.fromkeys(one for one in found if one[0].startswith(incomplete) and one[0] not in given)
        return [CompletionItem(value, help=words) for value, words in items]

    return complete


def _asked(look_up: Callable[["Client", click.Context, str], Found]) -> Complete:
    def ask(ctx: click.Context, incomplete: str) -> Found:
        from diracx_tasks.core.client import Client

        return look_up(Client.from_environment(retries=0, timeout=PATIENCE), ctx, incomplete)

    return completed(ask)


@contextmanager
def _patience() -> Iterator[None]:
    """Raise TimeoutError when the block takes too long, whatever it waits for."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _newest(client: "Client", path: str, number: str) -> list[dict[str, Any]]:
    body = {"search": [], "sort": [{"parameter": number, "direction": "desc"}]}
    rows: list[dict[str, Any]] = client.post(path, body, page=1, per_page=NEWEST)
    return rows


def _jobs(client: "Client", ctx: click.Context, incomplete: str) -> Found:
    rows = _newest(client, "/api/jobs/search", "JobID")
    return [(row["JobID"], f"{row.get('JobName')} {row['Status']}") for row in rows]


def _workflows(client: "Client", ctx: click.Context, incomplete: str) -> Found:
    rows = client.get("/api/workflows", limit=NEWEST)["workflows"]
    return [(row["workflow_id"], f"{row['name']} {row['status']}") for row in rows]


def _steps(client: "Client", ctx: click.Context, incomplete: str) -> Found:
    steps = client.get(f"/api/workflows/{ctx.params['workflow_id']}")["steps"]
    return [(step["path"], step["name"]) for step in steps if step["path"]]


def _pilots(client: "Client", ctx: click.Context, incomplete: str) -> Found:
    rows = _newest(client, "/api/pilots/search", "PilotID")
    return [(row["PilotStamp"], f"{row['GridSite']} {row['Status']}") for row in rows]


def _queues(name: str) -> Complete:
    def look_up(client: "Client", ctx: click.Context, incomplete: str) -> Found:
        return [(row[name], "") for row in client.get("/api/sites/")]

    return _asked(look_up)


def _elements(client: "Client", ctx: click.Context, incomplete: str) -> Found:
    return [(row["name"], "") for row in client.get("/api/data/elements")]


def _lfns(client: "Client", ctx: click.Context, incomplete: str) -> Found:
    """What is right below the folder that is typed so far."""
    folder = incomplete.rpartition("/")[0]
    page = client.get("/api/data/folder", lfn=folder.removeprefix("lfn:") or "/", after="")
    files = [(f"{folder}/{file['lfn'].rpartition('/')[2]}", "") for file in page["files"]]
    return [*((f"{folder}/{name}/", "") for name in page["folders"]), *files]


def _vos(ctx: click.Context, incomplete: str) -> Found:
    return [(vo, "") for vo in _organizations()]


def _groups(ctx: click.Context, incomplete: str) -> Found:
    wanted = ctx.params.get("vo")
    chosen = [found for vo, found in _organizations().items() if wanted in (None, vo)]
    return [(group, "") for found in chosen for group in found["groups"]]


def _organizations() -> dict[str, Any]:
    from diracx_tasks.core.client import Client, known_server

    client = Client(known_server()[0], None, retries=0, timeout=PATIENCE)
    found: dict[str, Any] = client.get("/.well-known/dirac-metadata")["virtual_organizations"]
    return found


known_jobs = _asked(_jobs)
known_workflows = _asked(_workflows)
known_steps = _asked(_steps)
known_pilots = _asked(_pilots)
known_sites, known_ces, known_queues = _queues("site"), _queues("ce"), _queues("queue")
known_elements = _asked(_elements)
known_lfns = _asked(_lfns)
known_vos, known_groups = completed(_vos), completed(_groups)
known_statuses = completed(lambda ctx, incomplete: [(one, "") for one in STATUSES])
known_pilot_statuses = completed(lambda ctx, incomplete: [(one, "") for one in PILOT_STATUSES])
