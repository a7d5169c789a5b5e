"""What a message says: the state first, then name, numbers, reason, and where to look further."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import utc
from diracx_tasks.core.settings import settings
from diracx_tasks.jobs import search
from diracx_tasks.notices.events import Event
from diracx_tasks.notices.tables import Message, Notice

# So many things are told one by one.
MOST = 50
READ = 10_000
LONGEST_REASON = 400
WORKFLOW, GROUP = "workflow-", "group-"
ORDER = ("Done", "Failed", "Killed", "Running", "Waiting")


@dataclass(frozen=True)
class Item:
    """One thing that is told, with the numbers of its jobs by status."""

    event: str
    subject: str
    name: str
    status: str
    reason: str
    happened_at: str
    jobs: dict[str, int]

    @property
    def title(self) -> str:
        """State and name, such as `Failed: workflow 42 "fit"`."""
        kind, _, number = self.subject.partition("-")
        what = {"workflow": f"workflow {number}", "group": "jobs of the group", "held": "jobs on hold"}
        mark = "Needs you" if self.event == Event.ATTENTION else self.status
        return f'{mark}: {what.get(kind, kind)} "{self.name}"' if kind != "test" else "Test: it works"

    @property
    def url(self) -> str:
        """The page about it; empty when there is none."""
        is_workflow = self.subject.startswith(WORKFLOW)
        number = self.subject.removeprefix(WORKFLOW)
        return f"{settings().url.rstrip('/')}/ui/workflows/{number}" if is_workflow else ""

    @property
    def command(self) -> str:
        """What to type to look further."""
        kind, _, number = self.subject.partition("-")
        if kind == "workflow":
            verb = {"Done": "outputs", "Failed": "logs"}.get(self.status, "show")
            return f"diracx workflows {verb} {number}"
        return {"held": "diracx jobs list --status Checking", "group": "diracx jobs list"}.get(kind, "")

    @property
    def numbers(self) -> str:
        """Such as `98 done, 2 failed`."""
        return ", ".join(f"{self.jobs[name]} {name.lower()}" for name in ORDER if self.jobs.get(name))

    def lines(self) -> list[str]:
        """The paragraph about it."""
        found = [f"at {self.happened_at[:16].replace('T', ' ')} UTC"]
        found += [f"jobs: {self.numbers}"] if self.numbers else []
        found += [f"reason: {self.reason}"] if self.reason else []
        found += [line for line in (self.url, self.command) if line]
        return [self.title, *(f"    {line}" for line in found)]


@dataclass(frozen=True)
class Letter:
    """A message as it is sent, in one way or the other."""

    vo: str
    owner: str
    items: list[Item]
    total: int
    counts: dict[str, int]

    @property
    def subject(self) -> str:
        """One line that says it all, or how many of each."""
        if self.total == 1:
            return self.items[0].title[:150]
        return f"{self.total} things to tell: {self._counted}"

    @property
    def text(self) -> str:
        """Plain English, in paragraphs."""
        told = ["\n".join(item.lines()) for item in self.items]
        if self.total > len(self.items):
            told.append(f"and {self.total - len(self.items)} more: `diracx workflows list`")
        head = [] if self.total == 1 else [f"{self._counted}."]
        foot = f"You asked for this as {self.owner} of {self.vo}. To end it: diracx notices off"
        return "\n\n".join([*head, *told, foot]) + "\n"

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of a webhook; `text` is what chats show."""
        items = [
            {
                **{name: getattr(item, name) for name in ("event", "subject", "name", "status", "reason")},
                **{"happened_at": item.happened_at, "jobs": item.jobs, "url": item.url or None},
            }
            for item in self.items
        ]
        whose = {"vo": self.vo, "user": self.owner}
        return {**whose, "text": self.text, "total": self.total, "counts": self.counts, "items": items}

    @property
    def _counted(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self.counts.items())


def compose(db: Session, message: Message) -> Letter:
    """What a message says; numbers of jobs are those of now."""
    query = select(Notice).where(Notice.message_id == message.message_id).order_by(Notice.notice_id)
    found = list(db.scalars(query.limit(READ)))
    whole = select(func.count()).where(Notice.message_id == message.message_id)
    rest = int(db.scalar(whole) or 0) - READ if len(found) == READ else 0
    notices = _newest(found)
    shown = notices[:MOST]
    counted = _counted(db, message, shown)
    items = [_item(one, counted.get(one.subject, {})) for one in shown]
    counts = Counter("need you" if one.event == Event.ATTENTION else one.status for one in notices)
    counts |= Counter({"more": rest}) if rest else Counter()
    return Letter(message.vo, message.owner, items, len(notices) + rest, dict(counts))


def one_line(text: str) -> str:
    """A text of somebody else's without line ends, and without letters that cannot be seen."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _newest(notices: Sequence[Notice]) -> list[Notice]:
    """Of each thing the last that happened to it, what needs somebody first, failures before the rest."""
    last = {one.subject: one for one in notices}
    rank = {Event.ATTENTION: 0, Event.FAILED: 1, Event.KILLED: 2}
    return sorted(last.values(), key=lambda one: (rank.get(Event(one.event), 3), one.notice_id))


def _counted(db: Session, message: Message, notices: Sequence[Notice]) -> dict[str, dict[str, int]]:
    """The jobs of each thing by status: of one's own workflows and of one's own jobs in a group."""
    groups = {one.subject: _group(one.subject) for one in notices if _group(one.subject)}
    if not groups:
        return {}
    found = search.group_counts(db, message.vo, message.owner, list(groups.values()))
    return {subject: found[group] for subject, group in groups.items()}


def _group(subject: str) -> str:
    """The group of the jobs of a thing; empty when it has none."""
    if subject.startswith(WORKFLOW):
        return f"{int(subject.removeprefix(WORKFLOW)):08d}"
    return subject.removeprefix(GROUP) if subject.startswith(GROUP) else ""


def _item(one: Notice, jobs: dict[str, int]) -> Item:
    reason = one_line(one.reason)
    reason = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]} ..."
    name = one_line(one.name)
    return Item(one.event, one.subject, name, one.status, reason, utc(one.happened_at) or "", jobs)
