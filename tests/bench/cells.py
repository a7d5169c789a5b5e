"""One cell of the table of `python -m tests.bench api`: an operation, a number of connections, a server."""

import time
from dataclasses import dataclass, field

import psutil

from tests.bench.load import Load, press
from tests.bench.operations import Contents, Operation, Prepared, Refused

WARM_UP = 1.0
SETTLE = 5.0
IDLE = 10.0


@dataclass
class Subject:
    """A server that is measured, and the processes that it costs; none are known of one elsewhere."""

    title: str
    contents: Contents
    processes: dict[str, int] = field(default_factory=dict)
    prepared: dict[str, Prepared] = field(default_factory=dict)

    def prepare(self, operation: Operation) -> Prepared:
        """What makes the requests of an operation; made once."""
        if operation.name not in self.prepared:
            self.prepared[operation.name] = operation.prepare(self.contents)
        return self.prepared[operation.name]


@dataclass
class Cell:
    """What was measured; CPU of API and database in ms a call, of others in cores."""

    operation: str
    connections: int
    server: str
    seconds: float = 0.0
    calls: int = 0
    calls_per_s: float = 0.0
    items_per_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    errors: int = 0
    first_error: str = ""
    api_ms: float | None = None
    db_ms: float | None = None
    generator_cores: float = 0.0
    others_cores: float | None = None


def measure(
    subject: Subject, subjects: list[Subject], operation: Operation, connections: int, seconds: float
) -> Cell:
    """Measure one; an operation that cannot be prepared is an error.

    Others are all processes of this machine but those of the subjects and the load generator.
    """
    found = Cell(operation.name, connections, subject.title)
    try:
        prepared = subject.prepare(operation)
    except Refused as error:
        found.errors, found.first_error = 1, str(error)
        return found
    warm = _warm_up(subject, operation, prepared, connections, seconds)
    known = sorted({pid for one in subjects for pid in one.processes.values()})
    spent = {name: _cpu(pid) for name, pid in subject.processes.items()}
    busy, expected = _machine(), sum(map(_cpu, known))
    load = press(
        subject.contents.target,
        prepared.make,
        wrong=operation.wrong,
        connections=connections,
        seconds=seconds,
    )
    others = _machine() - busy - (sum(map(_cpu, known)) - expected) - load.generator_cpu
    calls = max(1, len(load.latencies) + load.errors)
    costs = {name: 1000 * (_cpu(pid) - spent[name]) / calls for name, pid in subject.processes.items()}
    found.seconds, found.calls, found.calls_per_s = load.seconds, len(load.latencies), load.per_second
    found.items_per_s = load.per_second * prepared.items
    found.p50_ms, found.p99_ms = load.percentile(50), load.percentile(99)
    found.errors, found.first_error = load.errors + warm.errors, load.first_error or warm.first_error
    found.api_ms, found.db_ms = costs.get("API"), costs.get("DB")
    found.generator_cores = load.generator_cpu / load.seconds
    found.others_cores = max(0.0, others / load.seconds) if known else None
    return found


def idle(subjects: list[Subject]) -> dict[str, tuple[float, float]]:
    """Cores that each process uses while nobody asks, and its memory in MB."""
    named = _named(subjects)
    if named:
        time.sleep(SETTLE)
    before = {name: _cpu(pid) for name, pid in named.items()}
    if named:
        time.sleep(IDLE)
    sizes = memory(subjects)
    return {name: ((_cpu(pid) - before[name]) / IDLE, sizes[name]) for name, pid in named.items()}


def memory(subjects: list[Subject]) -> dict[str, float]:
    """Resident memory of each process in MB."""
    return {
        name: sum(one.memory_info().rss for one in _tree(pid)) / 1e6 for name, pid in _named(subjects).items()
    }


def _named(subjects: list[Subject]) -> dict[str, int]:
    found = {f"API, {subject.title}": subject.processes["API"] for subject in subjects if subject.processes}
    databases = [subject.processes["DB"] for subject in subjects if subject.processes]
    return found | {"DB": pid for pid in databases[:1]}  # noqa: B035 (there is one for all)


def _warm_up(
    subject: Subject, operation: Operation, prepared: Prepared, connections: int, seconds: float
) -> Load:
    """Answers that are looked at closely and not counted; a call of many jobs is made by one connection."""
    return press(
        subject.contents.target,
        prepared.make,
        wrong=lambda answer: operation.wrong_within(answer, prepared.items),
        connections=connections if prepared.items == 1 else 1,
        seconds=min(WARM_UP, seconds),
    )


def _cpu(pid: int) -> float:
    """CPU seconds of a process and those below it."""
    return sum(sum(one.cpu_times()[:2]) for one in _tree(pid))


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _machine() -> float:
    """CPU seconds that everything on this machine has used."""
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice + times.irq + times.softirq)
