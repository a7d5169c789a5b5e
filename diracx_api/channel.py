"""The outputs of a followed workflow's jobs, as several who want the same get them."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from diracx_api.listeners import Frame, frame
from diracx_tasks.core.database import reading, utc
from diracx_tasks.core.overlap import new_of
from diracx_tasks.jobs import listening
from diracx_tasks.jobs.tails import Jobs
from diracx_tasks.workflows import live
from diracx_tasks.workflows.live import Key, Outputs, Text

# Ends of outputs that were told are remembered so long: longer than between two looks.
TOLD_SECONDS = 60.0
EPOCH = datetime(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)
OVERLAP = live.LATE // MICROSECOND


@dataclass
class Channel:
    """The outputs that one filter lets through, and what is known of them."""

    jobs: Jobs
    following: list[int]
    texts: dict[Key, Text] = field(default_factory=dict)
    over: dict[Key, float] = field(default_factory=dict)
    running: int = -1
    since: datetime | None = None
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    def look(self, workflow_id: int) -> Outputs:
        """What is new; in a thread, while nothing is changed here."""
        with reading() as db:
            found = live.new_outputs(
                db,
                workflow_id,
                self.jobs,
                since=self.since,
                following=self.following,
                known={key: one.at for key, one in self.texts.items()},
                over=self.over,
            )
        listening.listen(found.following, self.jobs.group if self.jobs.job_id is None else None)
        return found

    def note(self, found: Outputs) -> list[Frame]:
        """Remember what was found; the messages that tell of it."""
        now = asyncio.get_running_loop().time()
        self.over = {key: at for key, at in self.over.items() if at > now - TOLD_SECONDS}
        before = self.following, self.running
        self.following, self.running, self.since = found.following, found.running, found.at
        frames = [self.following_frame()] if before != (self.following, self.running) else []
        for one in found.texts:
            key = (one.output.job_id, one.output.attempt)
            known = self.texts.pop(key, None)
            text = new_of(known.text, one.text) if known else one.text
            frames.append(text_frame(one, text, is_whole=known is None))
            if one.output.is_final:
                self.over[key] = now
            else:
                self.texts[key] = one
        newest = {job_id: attempt for job_id, attempt in sorted(self.texts) if job_id in set(self.following)}
        self.texts = {key: one for key, one in self.texts.items() if newest.get(key[0]) == key[1]}
        self.looked.set()
        return frames

    def everything(self, at: int) -> list[Frame]:
        """The outputs as they are, without those that somebody has read who has read up to `at`."""
        # Of two jobs, the one whose output came first may have been the last to be stored.
        found = [one for one in self.texts.values() if _microseconds(one.at) > at - OVERLAP]
        return [text_frame(one, one.text, is_whole=True) for one in found]

    def ended_since(self, workflow_id: int, at: int) -> list[Frame]:
        """The last words of the jobs that have ended since a time in microseconds; in a thread."""
        since = EPOCH + at * MICROSECOND
        with reading() as db:
            found = live.new_outputs(db, workflow_id, self.jobs, since=since, following=[], known={}, over=())
        return [text_frame(one, one.text, is_whole=True) for one in found.texts if one.output.is_final]

    def following_frame(self) -> Frame:
        """Which jobs are followed, of how many that run."""
        return frame("following", {"jobs": self.following, "running": self.running})


def text_frame(one: Text, text: str, *, is_whole: bool) -> Frame:
    """A piece of a job's output, or all that is kept of it."""
    output = one.output
    content = {
        "job_id": output.job_id,
        "attempt": output.attempt,
        "place": one.place,
        "step": one.step,
        "slot": one.slot,
        "status": output.status,
        "text": text,
        "whole": is_whole,
        "final": output.is_final,
        "at": utc(one.at),
    }
    return frame("log", content, at=_microseconds(one.at))


def _microseconds(moment: datetime | None) -> int:
    return (moment - EPOCH) // MICROSECOND if moment else 0
