"""Load on one server of DiracX's API: connections that send the next request when one is answered.

HTTP/1.1 by hand: the generator shares the machine with what it measures, and a real client costs more than
many an answer.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson
import uvloop

# The bytes of one request.
Maker = Callable[[], bytes]
LONGEST = 120.0
# An answer's head may be so long.
HEAD = 1 << 20
SHOWN = 300


@dataclass(frozen=True)
class Target:
    """A server's address, and who asks it."""

    url: str
    token: str

    def request(self, method: str, path: str, body: object = None, **headers: str) -> bytes:
        """The bytes of a request as the official client states it; a header's `_` stands for `-`."""
        content = b"" if body is None else orjson.dumps(body)
        stated = {
            "Host": urlsplit(self.url).netloc,
            "Accept": "application/json",
            "DiracX_Client_Version": "0.7.0",
            "Authorization": f"Bearer {self.token}",
            **headers,
        }
        if body is not None:
            stated |= {"Content_Type": "application/json", "Content_Length": str(len(content))}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in stated.items() if value)
        return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + content


@dataclass(frozen=True)
class Answer:
    """What a server said; a status of 0 is no answer, the content then says why."""

    status: int
    content: bytes
    headers: bytes = b""

    def header(self, name: str) -> str:
        """A header's value, empty when it is not there."""
        for line in self.headers.split(b"\r\n"):
            key, _, value = line.partition(b":")
            if key.lower() == name.lower().encode():
                return value.strip().decode()
        return ""

    def __str__(self) -> str:
        text = self.content.decode(errors="replace")
        return f"{self.status or 'no answer'}: {text[:SHOWN]}{'...' if len(text) > SHOWN else ''}"


@dataclass
class Load:
    """What was sent, and what came of it."""

    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: str = ""
    seconds: float = 0.0
    generator_cpu: float = 0.0

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, percent: float) -> float:
        """So many percent of the good answers came within this time, in milliseconds."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


class Connection:
    """A connection that is kept alive, and made anew when the server closes it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._context = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._context else 80)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> Answer:
        """The answer to a request."""
        try:
            if self._streams is None:
                made = asyncio.open_connection(self._host, self._port, ssl=self._context, limit=HEAD)
                self._streams = await made
            reader, writer = self._streams
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            answer = await _answer(head, reader)
        except (OSError, EOFError) as error:
            self.close()
            # A server that is away is not asked without pause.
            await asyncio.sleep(0.05)
            return Answer(0, f"{type(error).__name__} {error}".encode())
        if b"connection: close" in head.lower():
            self.close()
        return answer

    def close(self) -> None:
        """Forget the connection; the next request makes another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def ask(target: Target, request: bytes) -> Answer:
    """The answer to a single request."""

    async def once() -> Answer:
        connection = Connection(target.url)
        try:
            return await asyncio.wait_for(connection.ask(request), LONGEST)
        finally:
            connection.close()

    return uvloop.run(once())


def press(
    target: Target, make: Maker, *, wrong: Callable[[Answer], str], connections: int, seconds: float
) -> Load:
    """Send requests on so many connections for so long, and wait for what is still out.

    At least one request a connection is sent. The time is that until the last answer. `wrong` says what is
    wrong with an answer, nothing when it is good.
    """
    load = Load()
    cpu, began = time.process_time(), time.perf_counter()
    until = began + seconds

    async def one() -> None:
        connection = Connection(target.url)
        try:
            while True:
                await _once(connection, make(), wrong, load)
                if time.perf_counter() >= until:
                    return
        finally:
            connection.close()

    async def every() -> None:
        async with asyncio.timeout(seconds + LONGEST):
            await asyncio.gather(*(one() for _ in range(connections)))

    try:
        uvloop.run(every())
    except TimeoutError:
        load.errors += 1
        load.first_error = load.first_error or f"no answer in {LONGEST:.0f} s"
    load.seconds = time.perf_counter() - began
    load.generator_cpu = time.process_time() - cpu
    return load


async def _once(connection: Connection, request: bytes, wrong: Callable[[Answer], str], load: Load) -> None:
    began = time.perf_counter()
    answer = await connection.ask(request)
    took = time.perf_counter() - began
    if complaint := wrong(answer):
        load.errors += 1
        load.first_error = load.first_error or complaint
    else:
        load.latencies.append(took)


async def _answer(head: bytes, reader: asyncio.StreamReader) -> Answer:
    status, lower = int(head[9:12]), head.lower()
    _, found, rest = lower.partition(b"\r\ncontent-length:")
    if found:
        return Answer(status, await reader.readexactly(int(rest.split(b"\r\n", 1)[0])), head)
    if b"\r\ntransfer-encoding: chunked" in lower:
        return Answer(status, await _chunks(reader), head)
    return Answer(status, b"", head)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    content = b""
    while size := int((await reader.readline()).split(b";", 1)[0], 16):
        content += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return content
