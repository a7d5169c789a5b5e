"""The configuration: from a file or git, taken over within seconds, and never a broken one."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.core import config
from diracx_tasks.core.config import parse
from diracx_tasks.core.errors import SettingsError
from diracx_tasks.engine.overrides import override_of
from tests.builders import environment
from tests.unit.core.configured import QUICK, SLOW, TASK, every, using

pytestmark = pytest.mark.usefixtures("looking_at_every_call")

BROKEN = {
    "Operations: {Defaults: {Tasks": "not YAML",
    "Operations: 5": "Operations: Input should be a valid dictionary",
    "[1, 2]": "a mapping is wanted, with DIRAC, Operations, Registry",
    "": "it is empty",
    "0": "a mapping is wanted",
    "Operations: {lhcb: 5}": r"Operations\.lhcb: Input should be a valid dictionary",
    "Operations: {Defaults: {Tasks: 5}}": r"Operations\.Defaults\.Tasks: Input should be a valid dictionary",
    "Operations: {lhcb: {Tasks: [x]}}": r"Operations\.lhcb\.Tasks: Input should be a valid dictionary",
    "Operations: {Defaults: {Tasks: {a.b: {evry: 5}}}}": r"Tasks\.a\.b\.evry: unknown key; is every",
    "Operations: {lhcb: {Tasks: {a.b: {every: 0}}}}": r"Tasks\.a\.b: .*every 0\.0 s: it must be",
    "Operations: {lhcb: {Tasks: {a.b: {every: many}}}}": r"a\.b\.every: Input should be a valid number",
    "Operations: {lhcb: {Tasks: {a.b: {every: 5, cron: '* * * * *'}}}}": r"a\.b: .*exactly one of",
    "Operations: {lhcb: {Tasks: {a.b: {rrule: FREQ=SOON}}}}": r"a\.b: .*rrule 'FREQ=SOON' cannot be read",
    "Operations: {lhcb: {Tasks: {a.b: {retry: {times: -1}}}}}": r"a\.b\.retry\.times: .*greater than",
    "Operations: {lhcb: {Tasks: {a.b: {priority: urgent}}}}": r"a\.b\.priority: Input should be 'realtime'",
}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    found = tmp_path / "configuration.yml"
    found.write_text(SLOW)
    with using(tmp_path, f"file://{found}"):
        assert every() == 60
        yield found


def test_without_a_source_nothing_is_configured_and_there_is_the_settings_vo(tmp_path: Path) -> None:
    with using(tmp_path, ""):
        assert every() is None and config.problem() == "" and config.version() == ""
        assert config.vos() == ["local"]


def test_a_changed_file_is_taken_over(file: Path) -> None:
    assert every() == 60
    before = config.version()
    file.write_text(QUICK)
    assert every() == 2
    assert config.version() != before


def test_a_path_without_a_scheme_is_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(QUICK)
    with using(tmp_path, str(tmp_path / "c.yml")):
        assert every() == 2


@pytest.mark.parametrize(("text", "words"), BROKEN.items())
def test_what_is_broken_is_refused_with_file_and_path_and_the_last_good_one_stays(
    file: Path, caplog: pytest.LogCaptureFixture, text: str, words: str
) -> None:
    good = config.version()
    with caplog.at_level(logging.ERROR):
        file.write_text(text)
        for _ in range(3):
            assert every() == 60
    assert config.version() == good
    with pytest.raises(SettingsError, match=words):
        raise SettingsError(config.problem())
    assert config.problem().startswith(f"{file}:")
    (record,) = caplog.records
    assert "the last good one stays in force" in record.message and config.problem() in record.message
    file.write_text(QUICK)
    assert every() == 2 and config.problem() == ""


def test_a_file_that_is_not_text_is_refused(file: Path) -> None:
    file.write_bytes(b"Registry: {\xff: {}}")
    assert every() == 60 and f"{file}: not YAML" in config.problem()


def test_a_file_that_is_gone_changes_nothing_and_is_read_again_when_it_is_back(file: Path) -> None:
    file.unlink()
    assert every() == 60 and str(file) in config.problem()
    file.write_text(QUICK)
    assert every() == 2 and config.problem() == ""


@pytest.mark.parametrize("text", [*BROKEN, None])
def test_a_server_does_not_start_with_a_broken_or_missing_configuration(
    tmp_path: Path, text: str | None
) -> None:
    source = tmp_path / "c.yml"
    if text is not None:
        source.write_text(text)
    with using(tmp_path, f"file://{source}"):
        words = r"no configuration: .*c\.yml.*; see DIRACX_CONFIG_BACKEND_URL"
        with pytest.raises(SettingsError, match=words):
            config.config()
        with pytest.raises(SettingsError, match=words):
            every()
        source.write_text(QUICK)
        assert every() == 2


def test_what_a_vo_states_goes_over_the_defaults(file: Path) -> None:
    defaults = f"{TASK}: {{every: 60, timeout: 10, retry: {{times: 3, first: 1}}}}"
    own = f"{TASK}: {{timeout: 20, retry: {{times: 5}}}}"
    file.write_text(
        f"Registry: {{lhcb: {{}}, atlas: {{}}}}\n"
        f"Operations: {{Defaults: {{Tasks: {{{defaults}}}}}, lhcb: {{Tasks: {{{own}}}}}}}"
    )
    lhcb, other = override_of(TASK, "lhcb"), override_of(TASK, "atlas")
    assert (lhcb.every, lhcb.timeout, lhcb.retry.times, lhcb.retry.first) == (60, 20, 5, 1)
    assert (other.every, other.timeout, other.retry.times) == (60, 10, 3)
    assert override_of(TASK) == other
    assert config.vos() == ["atlas", "lhcb"]


def test_a_vo_may_state_another_kind_of_timing_than_the_defaults(file: Path) -> None:
    own = f"lhcb: {{Tasks: {{{TASK}: {{cron: 0 3 * * *}}}}}}"
    file.write_text(SLOW.rstrip()[:-1] + f", {own}}}")
    assert config.problem() == ""
    assert str(override_of(TASK, "lhcb").timing()) == "cron 0 3 * * *"
    assert str(override_of(TASK, "atlas").timing()) == "every 60 s"


def test_a_mistake_in_the_defaults_is_not_laid_at_a_vos_door(file: Path) -> None:
    file.write_text("Operations: {a-vo: {}, Defaults: {Tasks: {a.b: {evry: 1}}}}")
    assert "Operations.Defaults.Tasks.a.b.evry" in config.problem()


def test_what_dirac_leaves_free_is_kept_as_it_is_and_merged(file: Path) -> None:
    file.write_text("Operations: {Defaults: {Pilot: {Version: 9, B: 2}}, lhcb: {Pilot: {A: 1, B: null}}}")
    assert config.problem() == ""
    assert config.config().section("Pilot", "lhcb") == {"Version": 9, "A": 1, "B": 2}
    assert config.config().section("Nothing") == {}


def test_a_vo_with_nothing_behind_it_states_nothing(file: Path) -> None:
    file.write_text(SLOW.rstrip()[:-1] + ", lhcb: , atlas: {}}")
    assert config.problem() == "" and every("lhcb") == every("atlas") == 60


def test_a_refused_text_is_not_read_again_and_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert every() == 60
    read: list[str] = []

    def reading(text: str, *names: str) -> config.Config:
        read.append(text)
        return parse(text, *names)

    monkeypatch.setattr(config, "parse", reading)
    file.write_text("Operations: 5")
    said = [config.problem() for _ in range(3)]
    assert said[0] and said == [said[0]] * 3 and read == ["Operations: 5"]


def test_a_rule_that_has_ended_keeps_no_server_from_starting(file: Path) -> None:
    file.write_text(
        "Operations: {Defaults: {Tasks: {a.b: {rrule: FREQ=DAILY;UNTIL=20250101T000000Z}}}}",
    )
    assert config.version() and config.problem() == ""


def test_going_back_gives_what_was_in_force_before(file: Path) -> None:
    for _ in range(3):
        for text, expected in ((QUICK, 2), (SLOW, 60)):
            file.write_text(text)
            assert every() == expected


def test_many_threads_see_one_configuration_or_the_other_while_it_changes(file: Path) -> None:
    is_over = threading.Event()

    def look(_: int) -> set[float | None]:
        seen = set()
        while not is_over.is_set():
            seen.add(every())
        return seen

    with ThreadPoolExecutor(4) as threads:
        found = threads.map(look, range(4))
        for number in range(40):
            other = file.with_suffix(".new")
            other.write_text(QUICK if number % 2 == 0 else SLOW)
            other.replace(file)
            time.sleep(0.002)
        is_over.set()
        assert set.union(*found) <= {2.0, 60.0}
    assert every() == 60 and config.problem() == ""


@given(st.text() | st.text("{}[]:,&*!|>'\"%@`#-? \n\tab01.", max_size=40))
def test_any_text_is_a_configuration_or_a_settings_error(text: str) -> None:
    try:
        assert isinstance(config.parse(text, "default.yml"), config.Config)
    except SettingsError as error:
        assert str(error).startswith("default.yml:")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["Tasks", "every", "a.b"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["Defaults", "lhcb"]), VALUES, max_size=2))
def test_any_content_of_operations_is_good_or_a_settings_error(operations: dict[str, object]) -> None:
    try:
        found = config.parse(json.dumps({"Operations": operations}), "default.yml")
    except SettingsError as error:
        assert str(error).startswith("default.yml:")
    else:
        assert isinstance(found.section("Tasks", "lhcb"), dict)


def test_a_bottomless_text_is_refused() -> None:
    with pytest.raises(SettingsError, match="not YAML"):
        config.parse("[" * 2000, "default.yml")


def test_a_process_that_starts_under_a_broken_configuration_goes_on_with_the_last_good_one(
    tmp_path: Path,
) -> None:
    file = tmp_path / "default.yml"
    stated = {"DIRACX_DATA": str(tmp_path), "DIRACX_CONFIG_BACKEND_URL": str(file)}
    file.write_text("Registry: {lhcb: {}}\n")
    with environment(**stated):
        assert config.vos() == ["lhcb"] and config.problem() == ""
    file.write_text("Registry: [\n")
    with environment(**stated):
        assert config.vos() == ["lhcb"]
        assert "not YAML" in config.problem()


def test_of_many_threads_that_start_one_reads_and_all_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.yml").write_text(QUICK)
    read: list[str] = []

    def slowly(text: str, *names: str) -> config.Config:
        read.append(text)
        time.sleep(0.2)
        return parse(text, *names)

    monkeypatch.setattr(config, "parse", slowly)
    with using(tmp_path, str(tmp_path / "c.yml")), ThreadPoolExecutor(8) as threads:
        versions = set(threads.map(lambda _: config.version(), range(8)))
    assert len(versions) == 1 and read == [QUICK]


def test_nobody_waits_for_a_look_but_who_looks(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert every() == 60
    is_reading, may_go_on = threading.Event(), threading.Event()

    def slowly(text: str, *names: str) -> config.Config:
        is_reading.set()
        assert may_go_on.wait(30)
        return parse(text, *names)

    monkeypatch.setattr(config, "parse", slowly)
    file.write_text(QUICK)
    with ThreadPoolExecutor(1) as threads:
        looking = threads.submit(every)
        assert is_reading.wait(30)
        assert every() == 60
        may_go_on.set()
        assert looking.result() == 2
