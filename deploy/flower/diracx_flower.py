"""Pages of DiracX within Flower: what tasks did to a workflow or job, dead letters, and use.

They are behind Flower's authentication, change nothing, and need Flower's environment to name the database.
"""

import ast
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import flower
from flower.views import BaseHandler
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from tornado import web
from tornado.ioloop import IOLoop
from tornado.template import Loader, Template

from diracx_tasks.core.database import reading
from diracx_tasks.core.settings import settings
from diracx_tasks.engine import dead_letters, history
from diracx_tasks.engine.declared import declared_of

OURS = Path(__file__).parent / "templates"
THEIRS = Path(flower.__file__).parent / "templates"
# Which file of ours is put into which of Flower's, and behind what.
INSERTED = {
    "navbar.html": ("diracx-nav.html", r">Broker</a>\s*</li>"),
    "task.html": ("diracx-row.html", r'(?=<div class="detail-row task-data-row">\s*<dt>Status</dt>)'),
}
OUTCOMES = (history.DONE, history.FAILED, history.DEAD)
PAGE = 200
# Of a longer text the end is shown.
WORDS = 10_000
LARGEST = 2**63 - 1


def require_authentication(stated: Any) -> None:
    """End the process, with words, unless Flower's options ask everybody for a password or a login."""
    if stated.auth and not stated.auth_provider:
        sys.exit("FLOWER_AUTH says who may log in, not where: set FLOWER_AUTH_PROVIDER and FLOWER_OAUTH2_*")
    if not (stated.basic_auth or stated.auth):
        sys.exit(
            "Flower does not start without authentication: set FLOWER_BASIC_AUTH=user:password, "
            "or FLOWER_AUTH, FLOWER_AUTH_PROVIDER and FLOWER_OAUTH2_*"
        )
    # Flower splits at commas; half a password would let people in.
    if not all(re.fullmatch(r"[^:]+:.+", one) for one in stated.basic_auth or []):
        sys.exit("FLOWER_BASIC_AUTH must be user:password, with neither empty and no comma in them")


def add_pages(handlers: list[Any], stated: dict[str, Any]) -> None:
    """Put our pages before Flower's, and links to them into Flower's; ends the process if it cannot."""
    from diracx_usage import Usage

    handlers[:0] = [
        web.url(r"/diracx/usage", Usage, name="diracx_usage"),
        web.url(r"/diracx/history", History, name="diracx_history"),
        web.url(r"/diracx/dead", DeadLetters, name="diracx_dead"),
        web.url(r"/diracx/([a-z_]+)/(.+)", History, name="diracx_subject"),
    ]
    overlay = Overlay(str(THEIRS))
    for name in INSERTED:
        overlay.load(name)
    stated["template_loader"] = overlay
    stated["ui_methods"] = {
        "subject_of_task": _subject_of_task,
        "subject_url": subject_url,
        "task_in_diracx": _task_in_diracx,
        "subject_in_diracx": _subject_in_diracx,
    }


class Overlay(Loader):
    """Our templates and Flower's, in some of which ours are inserted."""

    def _create_template(self, name: str) -> Template:
        if (OURS / name).is_file():
            return Template((OURS / name).read_bytes(), name=name, loader=self)
        text = (THEIRS / name).read_text()
        return Template(_with_ours(name, text), name=name, loader=self)


def _with_ours(name: str, text: str) -> str:
    if name not in INSERTED:
        return text
    ours, place = INSERTED[name]
    found = list(re.finditer(place, text))
    if len(found) != 1:
        sys.exit(f"Flower {flower.__version__} has another {name} than Flower 2.2: install flower==2.2.*")
    end = found[0].end()
    return f'{text[:end]}{{% include "{ours}" %}}{text[end:]}'


class Page(BaseHandler):  # type: ignore[misc]
    """A page of rows from the database."""

    async def show(self, template: str, read: Callable[[Session], list[Any]], **named: Any) -> None:
        """Render the rows; 503 with the database's words when it does not give them."""
        try:
            rows = await IOLoop.current().run_in_executor(None, _rows, read)
        except SQLAlchemyError as error:
            self.set_status(503)
            self.render("diracx-trouble.html", words=str(getattr(error, "orig", None) or error))
            return
        known = self.application.events.state.tasks
        functions = {"last_line": last_line, "end_of": end_of, "subject_of": subject_of, "older": self.older}
        self.render(template, rows=rows, is_known=known.__contains__, size=PAGE, **functions, **named)

    def before(self) -> int | None:
        """The number of the last row of the page before this one; None on the first page."""
        found: int | None = self.get_argument("before", None, type=int)
        return found and min(found, LARGEST)

    def older(self, number: int) -> str:
        """The address of the page behind the row of that number."""
        arguments = {name: self.get_argument(name, escape=False) for name in self.request.query_arguments}
        return f"{self.request.path}?{urlencode({**arguments, 'before': number})}"


class History(Page):
    """What tasks did, of one subject or of all: from the database, which no restart of Flower empties."""

    @web.authenticated
    async def get(self, kind: str | None = None, number: str | None = None) -> None:
        """Runs, newest first."""
        subject = f"{kind}-{number}" if kind else self.get_argument("subject", "", escape=False)
        outcome, before = self.get_argument("outcome", "", escape=False), self.before()
        await self.show(
            "diracx-history.html",
            lambda db: history.search(
                db, subject=subject or None, outcome=outcome or None, before=before, limit=PAGE
            ),
            subject=subject,
            outcome=outcome,
            outcomes=OUTCOMES,
            days=settings().history_days,
            ui=ui_address(subject),
        )


class DeadLetters(Page):
    """Tasks whose tries are used up."""

    @web.authenticated
    async def get(self) -> None:
        """Letters that nobody has resolved, newest first."""
        before = self.before()
        await self.show("diracx-dead.html", lambda db: dead_letters.page(db, before=before, limit=PAGE))


def _rows(read: Callable[[Session], list[Any]]) -> list[Any]:
    with reading() as db:
        return read(db)


def subject_of(task: str | None, arguments: Any, key: str) -> str | None:
    """What a task is about, such as `workflow-42`; None when that is nothing.

    `arguments` are a mapping, or its text as Flower has it, which may be cut off: then the key says it.
    """
    declared, given = declared_of(task or ""), _mapping(arguments)
    try:
        found = declared.subject_of(given) if declared else None
    except LookupError:
        found = None
    if found is None and (readable := re.match(r"[a-z_]+-[0-9]+(?=\.|$)", key)):
        return readable[0]
    return found


def subject_url(handler: BaseHandler, subject: str) -> str:
    """The address of a subject's history."""
    if parts := re.fullmatch(r"([a-z_]+)-(.+)", subject):
        return str(handler.reverse_url("diracx_subject", *parts.groups()))
    return f"{handler.reverse_url('diracx_history')}?{urlencode({'subject': subject})}"


def ui_address(subject: str) -> str | None:
    """The address of DiracX's own page of a workflow, job or pilot; None unless FLOWER_DIRACX_UI says where.

    A pilot that was sent from here is known by its stamp.
    """
    base = _diracx()
    if not base:
        return None
    if parts := re.fullmatch(r"(workflow|job)-([0-9]+)", subject):
        return f"{base}/ui/{parts[1]}s/{parts[2]}"
    return f"{base}/ui/pilots/{subject}" if re.fullmatch(r"[0-9a-f]{32}", subject) else None


def task_address(key: str) -> str | None:
    """The address of DiracX's own page of a task; None unless FLOWER_DIRACX_UI says where."""
    base = _diracx()
    return f"{base}/ui/operate/task/{quote(key, safe='')}" if base else None


def _diracx() -> str:
    base = os.environ.get("FLOWER_DIRACX_UI", "").rstrip("/")
    return base if base.startswith(("http://", "https://")) else ""


def last_line(words: str) -> str:
    """What a task said, or the end of its traceback."""
    lines = words.strip().splitlines()
    return lines[-1][:200] if lines else ""


def end_of(words: str) -> str:
    """A text, or the end of a long one."""
    return words if len(words) <= WORDS else f"...{words[-WORDS:]}"


def _subject_of_task(_: BaseHandler, task: Any) -> str | None:
    return subject_of(task.name, task.kwargs, task.uuid)


def _task_in_diracx(_: BaseHandler, key: str) -> str | None:
    return task_address(key)


def _subject_in_diracx(_: BaseHandler, subject: str) -> str | None:
    return ui_address(subject)


def _mapping(arguments: Any) -> Mapping[str, Any]:
    try:
        found = ast.literal_eval(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
