"""What a task states is checked at import, and decides its queue, pauses and arguments."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import current_app
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from diracx_tasks.app import route
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.engine.declared import REGISTRY, InvalidArguments
from diracx_tasks.engine.policies import KINDS, Concurrent, Mutex, Rate, Read, Write, lock_kind
from diracx_tasks.engine.queues import ALLOWANCES, DEFAULT, LONGEST, PRIORITIES, QUEUES, SIZES, queue_of
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.task import task


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test declares is forgotten after it."""
    before = dict(REGISTRY)
    yield
    for name in REGISTRY.keys() - before.keys():
        current_app.tasks.pop(name, None)
    REGISTRY.clear()
    REGISTRY.update(before)


class File(BaseModel):
    """An argument with a structure."""

    lfn: str
    size: int = 0


def copy(se: str, file: File, tries: int = 3) -> str:
    """Copy a file.

    And more words.
    """
    return se


@pytest.mark.parametrize(
    "stated, words",
    [
        ({"lock": "bucket:{se}"}, "kind"),
        ({"lock": "se"}, "kind:key"),
        ({"lock": "se:{site}"}, r"\['site'\]"),
        ({"lock": ("se:{se}", Read("vo:{vo}"))}, r"\['vo'\]"),
        ({"limit": Concurrent(0)}, "lets nothing pass"),
        ({"limit": Rate(1, 0)}, "lets nothing pass"),
        ({"limit": Concurrent(1, per="se:{site}")}, r"\['site'\]"),
        ({"subject": "job-{job_id}"}, "job_id"),
        ({"timeout": LONGEST + 1}, "cut it"),
        ({"timeout": -1}, "cut it"),
        ({"priority": "urgent"}, "priority is one of"),
        ({"size": "huge"}, "huge"),
        ({"per_vo": True, "every": 60}, "argument vo"),
        ({"batch": 10}, "one list"),
        ({"every": 0}, "half a second"),
        ({"every": 60, "cron": "* * * * *"}, "exactly one"),
        ({"cron": "61 * * * *"}, "cannot be read"),
        ({"rrule": "FREQ=OFTEN"}, "cannot be read"),
        ({"name": "jobs.optimize"}, "override=True"),
    ],
)
def test_what_makes_no_sense_is_an_error_at_import(stated: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, KeyError, BadRequest), match=words):
        task(**stated)(copy)


def test_an_argument_without_a_type_is_an_error_at_import() -> None:
    def silent(number) -> str:  # type: ignore[no-untyped-def]
        return ""

    def greedy(**anything: int) -> str:
        return ""

    for function in (silent, greedy):
        with pytest.raises(TypeError, match="type"):
            task()(function)


@pytest.mark.parametrize("numbers", [{"first": 0}, {"cap": -1}, {"times": -1}, {"times": 1001}], ids=str)
def test_a_backoff_that_makes_no_sense_is_an_error(numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="backoff"):
        Backoff(**numbers)


def test_a_task_states_everything_in_its_decorator() -> None:
    task(
        size="large",
        priority="background",
        lock=("se:{se}", Read("vo:lhcb")),
        limit=(Concurrent(5, per="file:{file.lfn}"), Rate(100, 60)),
        retry=Backoff(first=1, times=2),
        timeout=600,
        memory=512,
        dead_letter=False,
        subject="copy-{se}",
    )(copy)
    found = REGISTRY["test_declare.copy"]
    assert (found.queue, found.timeout, found.memory, found.about) == (
        "background.large",
        600,
        512,
        "Copy a file.",
    )
    checked = found.check({"se": "CERN", "file": {"lfn": "/lhcb/x", "size": "7"}})
    assert checked["file"] == File(lfn="/lhcb/x", size=7) and checked["tries"] == 3
    assert found.subject_of(checked) == "copy-CERN"
    keys = [want.key for want in found.wants(checked)]
    assert keys == [
        "lock:se:CERN",
        "lock:vo:lhcb",
        "limit:concurrent:file:/lhcb/x",
        "limit:rate:60:test_declare.copy",
    ]
    assert [want.key for want in found.wants(checked, by_hand=True)] == keys[:2]


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"se": "CERN"}, "file: Field required"),
        ({"se": "CERN", "file": {"size": 1}}, "file.lfn"),
        ({"se": "CERN", "file": {"lfn": "x"}, "tries": "many"}, "tries"),
        ({"se": "CERN", "file": {"lfn": "x"}, "speed": 3}, "speed"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], words: str) -> None:
    task()(copy)
    with pytest.raises(InvalidArguments, match=f"test_declare.copy: .*{words}"):
        REGISTRY["test_declare.copy"].check(arguments)


def test_a_size_says_what_a_task_may_use() -> None:
    for size in SIZES:
        task(name=f"test.{size}", size=size)(copy)
        found = REGISTRY[f"test.{size}"]
        assert (found.timeout, found.memory) == ALLOWANCES[size]


def test_a_scheduled_task_runs_once_at_a_time_and_leaves_no_dead_letter() -> None:
    def tidy(vo: str) -> str:
        return ""

    task(every=60, per_vo=True)(tidy)
    found = REGISTRY["test_declare.tidy"]
    assert found.locks == (Mutex("task:test_declare.tidy@{vo}"),) and not found.dead_letter
    assert str(found.timing) == "every 60 s"


def test_an_extension_adds_kinds_of_locks() -> None:
    lock_kind("bucket", "a bucket")
    try:
        task(lock=Write("bucket:{se}"))(copy)
    finally:
        del KINDS["bucket"]
    with pytest.raises(ValueError):
        lock_kind("two words", "nothing")


def test_the_queues_are_priority_times_size_urgent_ones_first() -> None:
    assert len(QUEUES) == len(PRIORITIES) * len(SIZES) == 9
    assert QUEUES[0] == "realtime.small" and QUEUES[-1] == "background.large"
    assert queue_of("normal", "small") == DEFAULT


def test_every_task_goes_to_a_queue_that_exists_and_a_fan_outs_children_to_their_tasks() -> None:
    assert {declared.queue for declared in REGISTRY.values()} <= set(QUEUES)
    assert all("." in name for name in REGISTRY)
    assert route("workflows.advance", (), {"workflow_id": 1}, {}) == {"queue": "realtime.medium"}
    chunk = {"fan_id": 1, "first": 0, "count": 1, "task": "workflows.advance"}
    assert route("engine.run_children", (), chunk, {}) == {"queue": "realtime.medium"}
    assert route("somebody.elses", (), {}, {}) == {"queue": DEFAULT}


@given(first=st.floats(0.01, 100), times=st.integers(0, 50), cap=st.floats(1, 1000), tries=st.integers(1, 60))
def test_a_pause_is_never_longer_than_the_cap_and_ends(
    first: float, times: int, cap: float, tries: int
) -> None:
    pause = Backoff(first, times, cap).pause(tries)
    assert (pause is None) == (tries > times)
    if pause is not None:
        assert min(cap, first * 2.0 ** (tries - 1)) / 2 <= pause <= cap


def test_the_class_of_an_error_decides_how_it_is_tried_again() -> None:
    patient = Backoff(first=100, times=9, cap=1000)
    backoff = Backoff(
        first=1, times=2, never=(KeyError,), only=(OSError, LookupError), by_class={ConnectionError: patient}
    )
    pauses: list[tuple[Callable[[], BaseException], bool]] = [
        (OSError, True),
        (FileNotFoundError, True),
        (KeyError, False),
        (ValueError, False),
        (IndexError, True),
    ]
    assert [backoff.pause(1, make()) is not None for make, _ in pauses] == [wanted for _, wanted in pauses]
    assert backoff.pause(3, OSError()) is None
    assert 50 <= (backoff.pause(1, ConnectionResetError()) or 0) <= 100
    assert backoff.pause(9, BrokenPipeError()) is not None
