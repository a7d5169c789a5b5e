"""The schedule: every due entry is enqueued once, whoever looks and whatever operators do meanwhile."""

from datetime import timedelta

import pytest
from celery import current_app

from diracx_tasks.core import database
from diracx_tasks.core.errors import BadRequest, NotFound
from diracx_tasks.engine import history, outbox, schedules
from diracx_tasks.engine.schedules import CODE, CONFIGURATION, DRY_RUN, ON, PAUSED
from diracx_tasks.engine.timing import NEVER, Timing
from tests.unit.engine.scheduled import (
    ALONE,
    PER_VO,
    Write,
    asked,
    change,
    entry,
    make_due,
    now,
    run_due,
    synchronize,
)
from tests.unit.engine.work import declared


def test_decorators_make_entries_and_a_task_per_vo_has_one_for_each(configure: Write) -> None:
    with database.reading() as db:
        found = {row.name: row for row in schedules.entries(db)}
    assert found.keys() == {ALONE, f"{PER_VO}@lhcb", f"{PER_VO}@atlas"}
    assert found[f"{PER_VO}@lhcb"].arguments == {"vo": "lhcb"}
    assert found[f"{PER_VO}@lhcb"].timing == {"cron": "0 3 * * *"}
    assert {row.origin for row in found.values()} == {CODE} and {row.state for row in found.values()} == {ON}


def test_an_interval_is_due_at_once_and_a_time_of_day_when_it_comes(configure: Write) -> None:
    assert run_due() == 1
    assert asked() == {ALONE: 1}
    assert entry(f"{PER_VO}@lhcb").next_at.hour == 3
    assert run_due() == 0


def test_a_due_entry_is_enqueued_with_its_arguments_under_its_name(configure: Write) -> None:
    make_due(f"{PER_VO}@lhcb")
    due = entry(f"{PER_VO}@lhcb").next_at
    run_due()
    with database.reading() as db:
        row = outbox.find(db, f"{PER_VO}@lhcb")
    assert row and (row.task, row.arguments) == (PER_VO, {"vo": "lhcb"})
    found = entry(f"{PER_VO}@lhcb")
    assert found.last_due_at == due and found.next_at > now()


def test_missed_times_run_once(configure: Write) -> None:
    run_due()
    make_due(ALONE, seconds=100_000)
    assert run_due() == 1 and run_due() == 0
    assert asked() == {ALONE: 2}
    assert entry(ALONE).next_at > now()


def test_an_interval_does_not_grow_by_the_time_that_it_takes_to_look(configure: Write) -> None:
    run_due()
    make_due(ALONE, seconds=7)
    due = entry(ALONE).next_at
    run_due()
    assert entry(ALONE).next_at == due + timedelta(seconds=60)


def test_synchronizing_again_changes_nothing(configure: Write) -> None:
    before = entry(ALONE).next_at
    assert synchronize() == 0
    assert entry(ALONE).next_at == before


def test_the_configuration_changes_times_and_its_removal_gives_them_back(configure: Write) -> None:
    run_due()
    configure(f"Defaults: {{Tasks: {{{ALONE}: {{rrule: FREQ=HOURLY}}}}}}")
    assert entry(ALONE).timing == {"rrule": "FREQ=HOURLY"} and entry(ALONE).origin == CONFIGURATION
    assert (entry(ALONE).next_at.minute, entry(ALONE).next_at.second) == (0, 0)
    configure("")
    assert entry(ALONE).timing == {"every": 60} and entry(ALONE).origin == CODE
    assert entry(ALONE).next_at <= now() + timedelta(seconds=60)


def test_a_vo_may_have_other_times_or_none(configure: Write) -> None:
    configure(
        f"lhcb: {{Tasks: {{{PER_VO}: {{every: 5}}}}}}, atlas: {{Tasks: {{{PER_VO}: {{enabled: false}}}}}}"
    )
    assert entry(f"{PER_VO}@lhcb").timing == {"every": 5}
    with pytest.raises(NotFound, match=r"no entry 'subject\.check@atlas'"):
        entry(f"{PER_VO}@atlas")
    configure("")
    assert entry(f"{PER_VO}@atlas").timing == {"cron": "0 3 * * *"}


def test_a_disabled_tasks_entry_goes(configure: Write) -> None:
    configure(f"Defaults: {{Tasks: {{{ALONE}: {{enabled: false}}}}}}")
    with pytest.raises(NotFound):
        entry(ALONE)
    assert run_due() == 0


def test_a_task_without_times_gets_them_from_the_configuration(configure: Write) -> None:
    def other() -> str:
        return "done"

    with declared(other) as name:
        configure(f"Defaults: {{Tasks: {{{name}: {{every: 5}}}}}}")
        assert entry(name).origin == CONFIGURATION


def test_a_dry_run_notes_what_would_be_enqueued(configure: Write) -> None:
    configure(f"Defaults: {{Tasks: {{{PER_VO}: {{dry_run: true}}}}}}")
    make_due(f"{PER_VO}@lhcb", ALONE)
    assert run_due() == 2
    assert asked() == {ALONE: 1}
    found = entry(f"{PER_VO}@lhcb")
    assert (found.state, found.last_outcome) == (DRY_RUN, DRY_RUN)
    assert found.last_words == "would enqueue subject.check {'vo': 'lhcb'}"


def test_dry_run_is_switched_on_and_off_also_beside_configured_times(configure: Write) -> None:
    for stated, expected in (("true", DRY_RUN), ("false", ON), ("true", DRY_RUN), ("null", ON)):
        configure(f"Defaults: {{Tasks: {{{ALONE}: {{every: 5, dry_run: {stated}}}}}}}")
        assert entry(ALONE).state == expected
    configure(f"Defaults: {{Tasks: {{{ALONE}: {{dry_run: true}}}}}}")
    before = entry(ALONE).next_at
    configure("")
    assert entry(ALONE).state == ON and entry(ALONE).next_at == before


def test_what_an_operator_has_set_survives_until_the_configuration_says_something_new(
    configure: Write,
) -> None:
    change(schedules.set_state, ALONE, DRY_RUN)
    configure(f"Defaults: {{Tasks: {{{ALONE}: {{every: 5}}}}}}")
    assert entry(ALONE).state == DRY_RUN
    change(schedules.set_state, ALONE, PAUSED)
    configure(f"Defaults: {{Tasks: {{{ALONE}: {{every: 5, dry_run: true}}}}}}")
    assert entry(ALONE).state == PAUSED
    change(schedules.set_state, ALONE, ON)
    synchronize()
    assert entry(ALONE).state == ON


def test_a_paused_entry_does_not_run_and_goes_on_at_its_next_time(configure: Write) -> None:
    change(schedules.set_state, ALONE, PAUSED)
    make_due(ALONE, seconds=1000)
    assert run_due() == 0
    synchronize()
    assert change(schedules.set_state, ALONE, ON).next_at > now()
    assert run_due() == 0
    with pytest.raises(BadRequest, match="On, Paused or DryRun, not 'Off'"):
        change(schedules.set_state, ALONE, "Off")


def test_an_operators_times_go_over_all_others_until_default(configure: Write) -> None:
    change(schedules.set_timing, ALONE, Timing(rrule="FREQ=HOURLY;INTERVAL=6"))
    configure(f"Defaults: {{Tasks: {{{ALONE}: {{every: 5}}}}}}")
    found = entry(ALONE)
    assert found.own_timing == {"rrule": "FREQ=HOURLY;INTERVAL=6"} and found.timing == {"every": 5}
    assert found.next_at.hour % 6 == found.next_at.minute == 0
    found = change(schedules.set_timing, ALONE, None)
    assert found.own_timing is None and found.next_at <= now() + timedelta(seconds=5)


def test_a_rule_that_has_ended_is_refused_from_an_operator(configure: Write) -> None:
    with pytest.raises(BadRequest, match="rrule FREQ=DAILY;UNTIL=20250101 is not due any more"):
        change(schedules.set_timing, ALONE, Timing(rrule="FREQ=DAILY;UNTIL=20250101"))
    assert entry(ALONE).own_timing is None


def test_a_rule_that_ends_holds_up_no_other_entry(configure: Write) -> None:
    start, end = now() - timedelta(hours=3), now() + timedelta(minutes=1)
    rule = f"DTSTART:{start:%Y%m%dT%H%M%S}Z RRULE:FREQ=HOURLY;UNTIL={end:%Y%m%dT%H%M%S}Z"
    configure(f"lhcb: {{Tasks: {{{PER_VO}: {{rrule: '{rule}'}}}}}}")
    make_due(f"{PER_VO}@lhcb", ALONE)
    for _ in range(2):
        run_due()
        make_due(ALONE)
    assert asked()[f"{PER_VO}@lhcb"] == 1 and asked()[ALONE] == 2
    found = entry(f"{PER_VO}@lhcb")
    assert found.next_at == NEVER and schedules.preview(found) == []
    assert run_due() == 1


def test_an_entry_whose_arguments_are_wrong_is_noted_and_holds_up_no_other(configure: Write) -> None:
    schedules.schedule("wrong", PER_VO, Timing(60), site="LCG.CERN.ch")
    synchronize()
    make_due("wrong", ALONE)
    assert run_due() == 2
    assert asked() == {ALONE: 1}
    found = entry("wrong")
    assert found.last_outcome == schedules.REFUSED and "site" in (found.last_words or "")
    assert found.next_at > now()


def test_run_now_leaves_the_next_time(configure: Write) -> None:
    before = entry(f"{PER_VO}@atlas").next_at
    assert change(schedules.run_now, f"{PER_VO}@atlas") == f"{PER_VO}@atlas"
    assert asked() == {f"{PER_VO}@atlas": 1} and entry(f"{PER_VO}@atlas").next_at == before
    with pytest.raises(NotFound, match="see `diracx tasks schedule`"):
        change(schedules.run_now, "nothing")


def test_the_next_times_are_shown(configure: Write) -> None:
    found = entry(f"{PER_VO}@lhcb")
    times = schedules.preview(found, 3)
    assert times == [found.next_at + timedelta(days=number) for number in range(3)]


def test_an_extension_adds_entries_with_arguments_and_replaces_them_by_name(configure: Write) -> None:
    schedules.schedule("nightly", PER_VO, Timing(cron="30 2 * * *"), vo="lhcb")
    schedules.schedule("unknown", "no.such_task", Timing(60))
    assert synchronize() == 1
    assert entry("nightly").arguments == {"vo": "lhcb"}
    schedules.schedule("nightly", PER_VO, Timing(60), vo="atlas")
    assert synchronize() == 1
    assert (entry("nightly").arguments, entry("nightly").timing) == ({"vo": "atlas"}, {"every": 60})
    schedules.EXTRA.clear()
    assert synchronize() == 1


def test_the_last_run_with_its_duration_and_outcome_is_kept(configure: Write) -> None:
    run_due()
    result = current_app.tasks[ALONE].apply(kwargs={}, task_id=ALONE, headers={"outbox": ALONE})
    assert result.result == "swept"
    found = entry(ALONE)
    assert (found.last_outcome, found.last_words) == (history.DONE, "swept")
    assert found.last_started_at and found.last_seconds is not None and found.last_due_at


def test_how_late_the_schedule_is(configure: Write) -> None:
    run_due()
    with database.reading() as db:
        assert schedules.lag(db) == 0
    make_due(ALONE, seconds=100)
    with database.reading() as db:
        assert 100 <= schedules.lag(db) < 200
    change(schedules.set_state, ALONE, PAUSED)
    with database.reading() as db:
        assert schedules.lag(db) == 0
