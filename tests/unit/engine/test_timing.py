"""Times: intervals, cron and rules; any text is one or is refused, at once."""

from datetime import datetime, timedelta

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from diracx_tasks.core.errors import BadRequest
from diracx_tasks.engine.timing import BYS, NEVER, START, Timing, timing_of

NOON = datetime(2026, 11, 23, 12, 0, 30, 5)  # a Monday
MOMENTS = st.datetimes(datetime(2024, 1, 2), datetime(2090, 1, 1))
FIELDS = st.sampled_from(["*", "*/2", "5", "1-4", "0,3", "6-2", "mon", "29", "*/0", "31", "1-5!", "7", "-1"])
CRONS = st.lists(FIELDS, min_size=4, max_size=6).map(" ".join)
NUMBERS = st.lists(st.integers(-60, 60), min_size=1, max_size=4).map(lambda found: ",".join(map(str, found)))
DAYS = st.lists(st.sampled_from(["MO", "-1FR", "6SU", "TU", "XX"]), min_size=1, max_size=3).map(",".join)
FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY", "SOON")
PARTS = st.one_of(
    st.sampled_from(BYS.split()).flatmap(lambda name: NUMBERS.map(lambda value: f"{name}={value}")),
    DAYS.map(lambda value: f"BYDAY={value}"),
    st.integers(-1, 100_000).map(lambda value: f"INTERVAL={value}"),
    st.integers(-1, 20_000).map(lambda value: f"COUNT={value}"),
    st.sampled_from(["UNTIL=20250101", "UNTIL=20300101T000000Z", "WKST=SU", "WKST=XX", "BYEASTER=0"]),
)
RULES = st.tuples(
    st.sampled_from(["", "", "RRULE:", "DTSTART:20250131T101500Z\n", "DTSTART:20240229 RRULE:"]),
    st.sampled_from(FREQUENCIES),
    st.lists(PARTS, max_size=4),
).map(lambda found: f"{found[0]}{';'.join([f'FREQ={found[1]}', *found[2]])}")
SLOW = [
    "FREQ=SECONDLY",
    "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=MINUTELY;BYHOUR=3;BYYEARDAY=366",
    "FREQ=MINUTELY;INTERVAL=70;BYHOUR=3;BYDAY=TU",
    "FREQ=HOURLY;INTERVAL=7;BYHOUR=3;BYDAY=TU",
    "FREQ=YEARLY;INTERVAL=0",
    "FREQ=DAILY;INTERVAL=-1",
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=DAILY;BYSETPOS=2",
    "FREQ=WEEKLY;BYMONTH=2;BYMONTHDAY=30;BYSETPOS=1,2,3",
    "FREQ=YEARLY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11;BYMINUTE=0,1,2,3,4,5,6,7,8,9,10,11",
    "FREQ=MINUTELY;COUNT=100000000",
    "DTSTART:00010101T000000Z FREQ=MINUTELY",
    "FREQ=HOURLY;INTERVAL=100000000000000000000000",
    "FREQ=YEARLY;BYEASTER=0",
    "FREQ=DAILY;BYHOUR=" + "1," * 100_000 + "1",
]


def read(**stated: object) -> Timing | None:
    """The timing, or None when it is refused."""
    try:
        return timing_of(stated)
    except BadRequest:
        return None


def check(timing: Timing | None, moment: datetime) -> None:
    """Every timing that is accepted keeps its promises."""
    if timing is None:
        return
    after = timing.after(moment)
    assert after > moment
    if not timing.every and after != NEVER:
        assert timing.after(after - timedelta(microseconds=1)) == after
    assert timing_of(timing.stored()) == timing
    (kind,) = timing.stored()
    assert str(timing).startswith(f"{kind} ")


@given(text=st.text() | st.text("*/,-0159 monMON", max_size=30) | CRONS, moment=MOMENTS)
def test_any_text_as_cron_is_a_timing_or_a_bad_request(text: str, moment: datetime) -> None:
    check(read(cron=text), moment)


@settings(max_examples=400, deadline=None)
@given(text=st.text() | RULES | RULES.map(str.lower), moment=MOMENTS)
def test_any_text_as_rrule_is_a_timing_or_a_bad_request(text: str, moment: datetime) -> None:
    check(read(rrule=text), moment)


@given(seconds=st.floats() | st.integers(-5, 10**9), moment=MOMENTS)
def test_any_number_as_interval_is_a_timing_or_a_bad_request(seconds: float, moment: datetime) -> None:
    found = read(every=seconds)
    check(found, moment)
    assert (found is not None) == (0.5 <= seconds <= 366 * 86400)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", SLOW, ids=lambda text: text[:40])
def test_a_rule_that_would_take_long_to_find_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="rrule"):
        Timing(rrule=text)


def as_dateutil_says(text: str, moment: datetime) -> datetime | None:
    return rrulestr(text.replace("Z", ""), dtstart=START).after(moment)


@settings(max_examples=60, deadline=None)
@given(
    text=st.sampled_from(
        [
            "FREQ=DAILY;INTERVAL=3;BYHOUR=3,15;BYMINUTE=30",
            "FREQ=WEEKLY;BYDAY=MO,FR",
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO,WE;WKST=SU",
            "FREQ=WEEKLY;INTERVAL=3;BYDAY=MO,FR;BYSETPOS=-1",
            "DTSTART:20240104T101500Z\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TU,SA",
            "DTSTART:20240131T101500Z\nRRULE:FREQ=MONTHLY",
            "DTSTART:20240229T101500Z\nRRULE:FREQ=YEARLY",
            "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=6",
            "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
            "FREQ=HOURLY;INTERVAL=7;BYMINUTE=5",
            "FREQ=HOURLY;BYDAY=SA,SU;BYHOUR=8,9",
            "FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=500",
            "FREQ=DAILY;UNTIL=20270101T000000Z",
            "DTSTART:20250601T000000Z RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29",
        ]
    ),
    moment=st.datetimes(datetime(2023, 12, 1), datetime(2029, 1, 1)),
)
def test_a_rule_means_what_dateutil_says_although_we_start_later(text: str, moment: datetime) -> None:
    found = Timing(rrule=text).after(moment)
    assert (None if found == NEVER else found) == as_dateutil_says(text, moment)


@pytest.mark.parametrize(
    ("text", "following"),
    [
        ("FREQ=MINUTELY", datetime(2026, 11, 23, 12, 1)),
        ("FREQ=MINUTELY;INTERVAL=15;BYHOUR=8,9", datetime(2026, 11, 24, 8, 0)),
        ("freq=hourly;byminute=5", datetime(2026, 11, 23, 12, 5)),
        ("RRULE:FREQ=DAILY;BYHOUR=3", datetime(2026, 11, 24, 3, 0)),
        ("FREQ=WEEKLY", datetime(2026, 11, 30)),
        ("DTSTART:20260101T043000Z RRULE:FREQ=DAILY", datetime(2026, 11, 24, 4, 30)),
        ("DTSTART:20260101T043000\nFREQ=DAILY", datetime(2026, 11, 24, 4, 30)),
        ("DTSTART:20270101\nRRULE:FREQ=DAILY;BYHOUR=3;UNTIL=20270201T000000Z", datetime(2027, 1, 1, 3)),
        ("FREQ=DAILY;UNTIL=20261125T000000Z", datetime(2026, 11, 24)),
        ("FREQ=DAILY;UNTIL=20261123T235959Z", NEVER),
        ("FREQ=DAILY;COUNT=10", NEVER),
    ],
)
def test_the_next_time_of_a_rule(text: str, following: datetime) -> None:
    assert Timing(rrule=text).after(NOON) == following


@pytest.mark.parametrize(
    ("text", "following"),
    [
        ("* * * * *", datetime(2026, 11, 23, 12, 1)),
        ("0  3 * * *", datetime(2026, 11, 24, 3, 0)),
        ("*/15 8-18 * * mon-fri", datetime(2026, 11, 23, 12, 15)),
        ("0 0 29 2 *", datetime(2028, 2, 29)),
        ("30 6 * * sun", datetime(2026, 11, 29, 6, 30)),
        ("0 0 1 * 1", datetime(2027, 2, 1)),
    ],
)
def test_the_next_time_of_cron(text: str, following: datetime) -> None:
    assert Timing(cron=text).after(NOON) == following


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({}, "exactly one of every, cron and rrule"),
        ({"every": 5, "cron": "* * * * *"}, "exactly one"),
        ({"every": 0.1}, "every 0.1 s: it must be from half a second to a year"),
        ({"cron": "* * *"}, r"cron '\* \* \*' cannot be read: it has five fields"),
        ({"cron": "1-5! * * * *"}, "cannot be read: it has five fields"),
        ({"cron": "0 0 30 2 *"}, "never occurs"),
        ({"cron": "0 0 29 2 1"}, "cron 0 0 29 2 1 is never due"),
        ({"cron": "*," * 200 + "* * * * *"}, "must not be longer than 200"),
        ({"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "is never due"),
        ({"rrule": "DTSTART:20260101T000000Z RRULE:FREQ=DAILY;UNTIL=20250101T000000Z"}, "is never due"),
        ({"rrule": "DTSTART;TZID=Europe/Zurich:20260101T000000 RRULE:FREQ=DAILY"}, "FREQ=.* in UTC"),
        ({"rrule": "RRULE:FREQ=DAILY\nEXDATE:20260101T000000Z"}, "it is `FREQ="),
        ({"rrule": "FREQ=DAILY;FREQ=WEEKLY"}, "'FREQ=WEEKLY': it is"),
        ({"rrule": "FREQ=DAILY;BYHOUR=25"}, "hour must be in 0..23"),
        ({"rrule": ""}, "cannot be read"),
    ],
)
def test_a_refusal_says_why(stated: dict[str, object], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        timing_of(stated)


def test_a_timing_is_written_as_a_person_writes_it() -> None:
    assert str(Timing(30)) == "every 30 s" and str(Timing(0.5)) == "every 0.5 s"
    assert str(Timing(12345678)) == "every 12345678 s"
    assert str(Timing(cron="0 3 * * *")) == "cron 0 3 * * *"
    assert str(Timing(rrule="FREQ=DAILY")) == "rrule FREQ=DAILY"
