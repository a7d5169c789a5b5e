"""One look at a followed workflow for all who listen to it: what is new becomes messages."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from anyio import to_thread
from sqlalchemy.exc import SQLAlchemyError

from diracx_api.channel import Channel
from diracx_api.listeners import Frame, Hub, Listener, frame, hub
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import reading
from diracx_tasks.core.errors import DiracXError
from diracx_tasks.jobs.tails import Jobs
from diracx_tasks.workflows import live
from diracx_tasks.workflows.live import Filter, Look, Outputs

# Seconds between two looks; looking takes a twentieth of the time at most, unless that were too rare.
SECONDS, RAREST, SHARE = 1.0, 10.0, 20
JOIN_SECONDS = 30.0
# Who does not say how far he has read gets so many of the last events.
PAST_EVENTS = 100

T = TypeVar("T")


class Followed(NamedTuple):
    """A workflow as those follow it who see its jobs, or as the others do."""

    workflow_id: int
    sees_jobs: bool


log = logging.getLogger(__name__)


class Topic:
    """A workflow that somebody listens to; it is looked at while there is somebody."""

    def __init__(self, of: Hub, followed: Followed) -> None:
        self.hub, self.followed, self.workflow_id = of, followed, followed.workflow_id
        # All who have come, and those of them who have caught up.
        self.present: set[Listener] = set()
        self.listeners: set[Listener] = set()
        self.channels: dict[Filter, Channel] = {}
        self.state: dict[str, Any] = {}
        self.steps: dict[str, dict[str, Any]] = {}
        self.last: int | None = None
        self.is_over = False
        self.looked, self.wake = asyncio.Event(), asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def join(self, listener: Listener, jobs: Jobs | None) -> None:
        """Have a listener get what there is, and from then on what is new. TimeoutError: nothing is known."""
        self.present.add(listener)
        channel = None
        if jobs is not None and listener.wanted is not None:
            first = [listener.wanted.job_id] if listener.wanted.job_id is not None else []
            channel = self.channels.setdefault(listener.wanted, Channel(jobs, first))
        self._go_on()
        await asyncio.wait_for((channel or self).looked.wait(), JOIN_SECONDS)
        if not self.state or (channel and channel.since is None):
            raise TimeoutError
        await self._catch_up(listener, channel)
        listener.put(frame("state", self.state), frame("progress", {"steps": list(self.steps.values())}))
        if channel:
            listener.put(channel.following_frame(), *channel.everything(listener.place.at))
        self.listeners.add(listener)
        if self.is_over:
            self._send_away(listener)

    def leave(self, listener: Listener) -> None:
        """Forget a listener, and outputs that nobody reads any more."""
        self.listeners.discard(listener)
        self.present.discard(listener)
        wanted = {one.wanted for one in self.present}
        self.channels = {one: channel for one, channel in self.channels.items() if one in wanted}

    def _go_on(self) -> None:
        if self.task is None:
            self.task = asyncio.create_task(self._run())
            self.hub.looking.add(self.task)
            self.task.add_done_callback(self.hub.looking.discard)
        self.wake.set()

    async def _catch_up(self, listener: Listener, channel: Channel | None) -> None:
        """What has happened since the listener went away; meanwhile more may happen."""
        place = listener.place
        if channel and place.at:
            listener.put(*await self._in_thread(partial(channel.ended_since, self.workflow_id, place.at)))
        after = place.event_id
        if not after:
            after = await self._in_thread(partial(_event_before, self.workflow_id))
        while self.last is not None and after < self.last and not listener.is_slow:
            told = await self._in_thread(partial(_events, self.followed, after, self.last))
            if not told:
                return
            listener.put(*(frame("event", one, event_id=one["event_id"]) for one in told))
            after = told[-1]["event_id"]

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self.present:
                began, self.is_over = loop.time(), await self._look()
                self.wake.clear()
                if self._is_awaited():
                    continue
                if self.is_over:
                    break
                await _first(self.wake, min(max(SECONDS, SHARE * (loop.time() - began)), RAREST))
        except DiracXError as error:
            log.info("%s", error)
        finally:
            _TOPICS.pop((self.hub, self.followed), None)
            for one in self.listeners:
                if self.is_over:
                    self._send_away(one)
                else:
                    one.dismiss()
            for waited in (self.looked, *(one.looked for one in self.channels.values())):
                waited.set()

    def _is_awaited(self) -> bool:
        return any(not one.looked.is_set() for one in self.channels.values())

    async def _look(self) -> bool:
        """Look and tell; whether the workflow has ended. A database that is away is waited for."""
        channels = dict(self.channels)
        try:
            found, outputs = await self._in_thread(partial(_look, self.followed, self.last, channels))
        except SQLAlchemyError as error:
            log.warning("workflow %d could not be looked at: %s", self.workflow_id, error)
            await asyncio.sleep(RAREST / 2)
            return False
        frames = self._note(found)
        by_filter = {one: channel.note(outputs[one]) for one, channel in channels.items()}
        for listener in self.listeners:
            listener.put(*frames, *(by_filter.get(listener.wanted, ()) if listener.wanted else ()))
        return found.is_over and len(found.events) < live.PAGE

    def _note(self, found: Look) -> list[Frame]:
        frames = [frame("event", one, event_id=one["event_id"]) for one in found.events]
        if found.state != self.state:
            frames.append(frame("state", found.state))
        changed = [one for one in found.steps if self.steps.get(one["path"]) != one]
        if changed:
            frames.append(frame("progress", {"steps": changed}))
        self.state, self.steps = found.state, {one["path"]: one for one in found.steps}
        self.last = found.last
        self.looked.set()
        return frames

    def _send_away(self, listener: Listener) -> None:
        listener.put(frame("end", {"status": self.state["status"], "reason": self.state["reason"]}))
        listener.dismiss()

    async def _in_thread(self, read: Callable[[], T]) -> T:
        # Whoever is cancelled does not wait for the database.
        return await to_thread.run_sync(read, limiter=self.hub.limiter, abandon_on_cancel=True)


_TOPICS: dict[tuple[Hub, Followed], Topic] = {}


async def messages(
    followed: Followed, jobs: Jobs | None, listener: Listener, seconds: float, *, to: User
) -> AsyncIterator[bytes]:
    """The stream of a workflow for one listener; `jobs` are those of the filter that he has stated."""
    mine = hub()
    topic = _TOPICS.setdefault((mine, followed), Topic(mine, followed))
    mine.add(listener, to)
    try:
        await topic.join(listener, jobs)
        async for message in listener.stream(seconds):
            yield message
    except TimeoutError:
        return
    finally:
        topic.leave(listener)
        mine.remove(listener, to)


async def _first(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


def _look(
    followed: Followed, after: int | None, channels: Mapping[Filter, Channel]
) -> tuple[Look, dict[Filter, Outputs]]:
    # The workflow first: when it has ended, so have its jobs, and their last words are found.
    with reading() as db:
        found = live.look(db, followed.workflow_id, after, sees_jobs=followed.sees_jobs)
    return found, {one: channel.look(followed.workflow_id) for one, channel in channels.items()}


def _events(followed: Followed, after: int, last: int) -> list[dict[str, Any]]:
    with reading() as db:
        return live.events_between(db, followed.workflow_id, after, last, sees_jobs=followed.sees_jobs)


def _event_before(workflow_id: int) -> int:
    with reading() as db:
        return live.event_before(db, workflow_id, PAST_EVENTS)
