"""Who listens to which workflow in this process, how many at most, and their way out at a shutdown."""

import asyncio
import signal
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import orjson
from anyio import CapacityLimiter

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.errors import DiracXError, Unavailable
from diracx_tasks.core.settings import settings
from diracx_tasks.workflows.live import Filter

MOST_OF_ONE = 20
# Frames that wait for one who reads slowly; then he is sent away, and may come back for the rest.
MOST_WAITING = 2000
PING_SECONDS = 15.0
PING = b": nothing new\n\n"
# Database look-ups at a time: the requests of others need connections as well.
THREADS = 4


class TooManyListeners(DiracXError):
    """Somebody listens to so many workflows that he must not listen to one more."""

    http_status = 429


class Place(NamedTuple):
    """How far somebody has read: the last event, and the newest output in microseconds since 1970."""

    event_id: int = 0
    at: int = 0

    def __str__(self) -> str:
        """As it stands in a Last-Event-ID."""
        return f"{self.event_id}-{self.at}"

    @classmethod
    def read(cls, given: str) -> "Place | None":
        """The place that a Last-Event-ID stands for; None when it is none of ours."""
        event_id, dash, at = given.partition("-")
        is_ours = dash and all(one.isascii() and one.isdigit() and len(one) < 19 for one in (event_id, at))
        return cls(int(event_id), int(at)) if is_ours else None


class Frame(NamedTuple):
    """One message, ready to be sent but for its id; what it moves the reader's place to."""

    body: bytes
    event_id: int = 0
    at: int = 0


def frame(kind: str, content: Any, *, event_id: int = 0, at: int = 0) -> Frame:
    """A message of some kind; JSON has no line ends."""
    return Frame(b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(content)), event_id, at)


@dataclass(eq=False)
class Listener:
    """Somebody who listens; `wanted` says to whose output, None to none at all."""

    wanted: Filter | None
    place: Place
    queue: asyncio.Queue[Frame | None] = field(default_factory=lambda: asyncio.Queue(MOST_WAITING))
    is_slow: bool = False

    def put(self, *frames: Frame) -> None:
        """Have these sent, unless they are too many."""
        for one in frames:
            if self.is_slow or self.queue.full():
                self.is_slow = True
                return
            self.queue.put_nowait(one)

    def dismiss(self) -> None:
        """End the stream after what waits already."""
        if self.queue.full():
            self.is_slow = True
        else:
            self.queue.put_nowait(None)

    async def stream(self, seconds: float) -> AsyncIterator[bytes]:
        """What is to be sent, until it ends or so many seconds are over."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            if self.queue.empty() and (self.is_slow or loop.time() >= until):
                return
            found = await self._next(min(PING_SECONDS, until - loop.time()))
            if found is None:
                return
            yield found

    async def _next(self, seconds: float) -> bytes | None:
        try:
            # Without time nothing would be taken, not even what is there.
            found = await asyncio.wait_for(self.queue.get(), max(0.05, seconds))
        except TimeoutError:
            return PING
        if found is None:
            return None
        self.place = Place(max(self.place.event_id, found.event_id), max(self.place.at, found.at))
        return b"id: %s\n%s" % (str(self.place).encode(), found.body)


class Hub:
    """All listeners of this process; it lives in one event loop."""

    def __init__(self) -> None:
        self.limiter = CapacityLimiter(THREADS)
        self.is_closing = False
        self.by_user: Counter[tuple[str, str]] = Counter()
        self.listeners: set[Listener] = set()
        self.looking: set[asyncio.Task[None]] = set()

    def must_take(self, user: User) -> None:
        """Raise TooManyListeners or Unavailable unless there is room for one more."""
        if self.is_closing:
            raise Unavailable("the server is about to stop: try again")
        if self.by_user[user.vo, user.name] >= MOST_OF_ONE:
            words = f"{user.name} follows {MOST_OF_ONE} workflows already, which are the most at a time"
            raise TooManyListeners(f"{words}: end one of them")
        # What is left is for those who do not stay.
        if len(self.listeners) >= settings().requests_at_once // 2:
            raise Unavailable("the server has too many who listen: try again")

    def add(self, listener: Listener, user: User) -> None:
        """Count one in."""
        self.listeners.add(listener)
        self.by_user[user.vo, user.name] += 1

    def remove(self, listener: Listener, user: User) -> None:
        """Count one out; somebody without listeners is forgotten."""
        self.listeners.discard(listener)
        self.by_user[user.vo, user.name] -= 1
        self.by_user += Counter()

    def close(self) -> None:
        """Send all listeners away: they come back to another server, or to this one when it runs again."""
        self.is_closing = True
        for one in self.listeners:
            one.dismiss()
        for task in self.looking:
            task.cancel()


_HUBS: "WeakKeyDictionary[asyncio.AbstractEventLoop, Hub]" = WeakKeyDictionary()


def hub() -> Hub:
    """The hub of the event loop that runs now."""
    loop = asyncio.get_running_loop()
    if loop not in _HUBS:
        _HUBS[loop] = Hub()
        _close_at_signals(loop, _HUBS[loop].close)
    return _HUBS[loop]


def _close_at_signals(loop: asyncio.AbstractEventLoop, close: Callable[[], None]) -> None:
    """Have streams end when the server is told to stop: it waits for them before it says so to anybody."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)
        if callable(before):
            signal.signal(number, _both(loop, close, before))


def _both(loop: asyncio.AbstractEventLoop, close: Callable[[], None], before: Callable[..., Any]) -> Any:
    def handle(number: int, place: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(close)
        before(number, place)

    return handle
