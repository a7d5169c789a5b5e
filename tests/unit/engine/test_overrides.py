"""What operators state of a task goes over its decorator, and is followed where the task is sent and run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import current_app
from pydantic import ValidationError

from diracx_tasks.app import route
from diracx_tasks.core import config
from diracx_tasks.engine import task
from diracx_tasks.engine.declared import REGISTRY, Declared
from diracx_tasks.engine.overrides import Override, effective, override_of
from diracx_tasks.engine.policies import Concurrent, Rate
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.timing import Timing
from tests.builders import Installation, environment

NAME = "subject.verb"


@pytest.fixture
def declared(installation: Installation) -> Iterator[Declared]:
    def verb(vo: str = "") -> str:
        return "done"

    verb.__module__ = "tests.subject.tasks"
    task.task(every=60, retry=Backoff(first=1, times=2, never=(KeyError,)), limit=Rate(10, 5))(verb)
    yield REGISTRY[NAME]
    REGISTRY.pop(NAME)
    current_app.tasks.pop(NAME, None)


@pytest.fixture
def file(declared: Declared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(config, "CHECK_SECONDS", 0.0)
    found = tmp_path / "configuration.yml"
    found.write_text("{}")
    with environment(DIRACX_DATA=str(tmp_path), DIRACX_CONFIG_BACKEND_URL=str(found)):
        yield found


def state(file: Path, defaults: str, lhcb: str = "{}") -> None:
    """Have the configuration say something of the task."""
    of = "{{Tasks: {{{name}: {stated}}}}}"
    text = ", ".join(
        f"{vo}: {of.format(name=NAME, stated=stated)}"
        for vo, stated in (("Defaults", defaults), ("lhcb", lhcb))
    )
    file.write_text(f"Operations: {{{text}}}")
    assert config.problem() == ""


def test_what_nobody_states_stays_as_declared(declared: Declared, file: Path) -> None:
    assert effective(declared) is declared
    state(file, "{priority: realtime}")
    found = effective(declared)
    assert found.priority == "realtime"
    assert (found.size, found.timeout, found.memory, found.timing) == ("small", 60, 1024, Timing(60))
    assert (found.retry, found.limits, found.locks) == (declared.retry, declared.limits, declared.locks)


def test_everything_can_be_stated(declared: Declared, file: Path) -> None:
    state(
        file,
        "{enabled: false, priority: background, size: large, timeout: 100, memory: 512, rate: 3,"
        " rate_seconds: 60, concurrent: 4, retry: {first: 9, times: 7, cap: 50}, cron: 0 3 * * *}",
    )
    found = effective(declared)
    assert (found.queue, found.timeout, found.memory) == ("background.large", 100, 512)
    assert not found.is_enabled
    assert found.limits == (Rate(3, 60), Concurrent(4))
    assert (found.retry.first, found.retry.times, found.retry.cap) == (9, 7, 50)
    assert found.retry.never == (KeyError,)
    assert found.timing == Timing(cron="0 3 * * *")


def test_a_limits_other_numbers_stay(declared: Declared, file: Path) -> None:
    state(file, "{rate_seconds: 60}")
    assert effective(declared).limits == (Rate(10, 60),)
    state(file, "{rate: 20}")
    assert effective(declared).limits == (Rate(20, 5),)


def test_a_vo_has_its_own_and_the_task_is_told_apart_by_its_argument(declared: Declared, file: Path) -> None:
    state(file, "{priority: realtime, timeout: 10}", "{priority: background}")
    assert (effective(declared, "lhcb").priority, effective(declared, "lhcb").timeout) == ("background", 10)
    assert effective(declared, "atlas").priority == effective(declared).priority == "realtime"
    assert effective(declared, 17).priority == "realtime"
    assert route(NAME, (), {"vo": "lhcb"}, {}) == {"queue": "background.small"}
    assert route(NAME, (), {}, {}) == {"queue": "realtime.small"}


def test_a_change_holds_for_the_next_message(declared: Declared, file: Path) -> None:
    for priority in ("realtime", "background", "realtime"):
        state(file, f"{{priority: {priority}}}")
        assert route(NAME, (), {}, {}) == {"queue": f"{priority}.small"}
    file.write_text("{}")
    assert route(NAME, (), {}, {}) == {"queue": "normal.small"}


def test_a_broken_change_leaves_the_last_one_in_force(declared: Declared, file: Path) -> None:
    state(file, "{priority: realtime}")
    file.write_text("Operations: {Defaults: {Tasks: {subject.verb: {priority: urgent}}}}")
    assert effective(declared).priority == "realtime"
    assert "Operations.Defaults.Tasks.subject.verb.priority" in config.problem()


def test_a_vo_can_give_a_task_its_declared_times_back(declared: Declared, file: Path) -> None:
    state(file, "{cron: 0 3 * * *, dry_run: true}", "{cron: null, dry_run: false}")
    assert override_of(NAME, "lhcb").timing() is None and override_of(NAME, "lhcb").dry_run is False
    assert override_of(NAME, "atlas").timing() == Timing(cron="0 3 * * *")


@pytest.mark.parametrize(
    "stated",
    [
        {"evry": 1},
        {"enabled": "perhaps"},
        {"priority": "urgent"},
        {"size": "huge"},
        {"timeout": 0},
        {"timeout": 3001},
        {"timeout": float("nan")},
        {"memory": 1},
        {"concurrent": 0},
        {"rate": 0},
        {"rate_seconds": float("inf")},
        {"retry": {"times": 1001}},
        {"retry": {"first": 0}},
        {"retry": {"never": []}},
        {"every": 10**400},
        {"every": 5, "rrule": "FREQ=DAILY"},
        {"cron": 5},
        {"rrule": "FREQ=SECONDLY"},
    ],
    ids=str,
)
def test_wrong_values_are_refused(stated: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Override.model_validate(stated)
