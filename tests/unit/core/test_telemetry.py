"""Spans with and without a collector, and what stands in log lines."""

import asyncio
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from diracx_api.metrics import REQUESTS, TRACEPARENT, Measured, checked_trace
from diracx_tasks.core import telemetry
from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.origin import Origin, originating
from tests.builders import environment
from tests.collector import Collector
from tests.servers import free_port

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from diracx_tasks.core import telemetry
from diracx_tasks.core.errors import SettingsError
for act in (telemetry.set_up_logs, lambda: telemetry.span("verb", None).__enter__()):
    try:
        act()
    except SettingsError as error:
        print(error)
"""


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    found = logging.getLogger()
    handlers, level = found.handlers, found.level
    yield found
    found.handlers = handlers
    found.setLevel(level)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that spans are sent to."""
    with Collector() as found, environment(DIRACX_OTEL_ENDPOINT=found.url):
        yield found
        telemetry._provider(found.url).shutdown()


def line(root: logging.Logger, *arguments: Any, name: str = "diracx.test", **options: Any) -> dict[str, Any]:
    """A warning as our handler writes it in JSON; nothing when it does not."""
    with environment(DIRACX_LOG_FORMAT="json"):
        telemetry.set_up_logs()
    (handler,) = [one for one in root.handlers if one.name == "diracx"]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(out := io.StringIO())
    logging.getLogger(name).warning(*arguments, **options)
    found: dict[str, Any] = json.loads(out.getvalue() or "{}")
    return found


def test_without_a_collector_the_traceparent_is_passed_on_as_it_came() -> None:
    with environment():
        for trace in (PARENT, None, "whatever"):
            with telemetry.span("verb", trace, subject="job-1") as inner:
                telemetry.rename("other")
                assert inner == trace
        telemetry.flush()


def test_a_span_belongs_to_the_trace_that_it_is_given(collector: Collector) -> None:
    with telemetry.span("outer", PARENT, subject="job-1", nothing=None) as outer:
        with telemetry.span("inner", outer):
            pass
        telemetry.rename("better", status=200)
    telemetry.flush()
    inner, better = collector.spans
    assert (inner.name, better.name, better.subject) == ("inner", "better", "job-1")
    assert {inner.trace, better.trace} == {TRACE}
    assert (inner.parent, better.parent) == (better.number, PARENT.split("-")[2])
    assert outer == f"00-{TRACE}-{better.number}-01"


@pytest.mark.parametrize("trace", [None, "", "no-trace", f"00-{'0' * 32}-{'0' * 16}-01", PARENT + "-"])
def test_a_span_below_nothing_begins_a_trace(trace: str | None, collector: Collector) -> None:
    with telemetry.span("verb", trace) as inner:
        assert checked_trace(inner)
    telemetry.flush()
    assert [(span.parent, span.trace in (inner or "")) for span in collector.spans] == [("", True)]


def test_what_is_not_to_be_recorded_is_not_but_goes_on(collector: Collector) -> None:
    unsampled = PARENT.removesuffix("01") + "00"
    with telemetry.span("verb", unsampled) as inner:
        assert inner
        assert inner.startswith(f"00-{TRACE}-")
        assert inner.endswith("-00")
    telemetry.flush()
    assert collector.spans == []


def test_a_collector_that_refuses_is_left_alone_for_a_while(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collector(status=400) as collector, environment(DIRACX_OTEL_ENDPOINT=collector.url):
        for _ in range(3):
            a_sent_span()
        assert collector.requests == 1
        monkeypatch.setattr("diracx_tasks.core.collector.PAUSE", -1.0)
        telemetry._provider.cache_clear()
        telemetry._tracer.cache_clear()
        a_sent_span()
        a_sent_span()
        assert collector.requests == 3
        collector.status = 200
        a_sent_span()
        a_sent_span()
        assert len(collector.spans) == 2
        telemetry._provider(collector.url).shutdown()
    said = [record.message for record in caplog.records if record.name.startswith("diracx")]
    url = f"{collector.url}/v1/traces"
    no = f"{url} takes no spans: they are dropped until it does"
    assert said == [no, no, f"{url} takes spans again"]


def a_sent_span() -> None:
    with telemetry.span("verb", None):
        pass
    telemetry.flush()


def test_nobody_notices_a_collector_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with environment(DIRACX_OTEL_ENDPOINT=url):
        with telemetry.span("verb", PARENT) as inner:
            assert (inner or "").startswith(f"00-{TRACE}-")
        telemetry.flush()
        telemetry._provider(url).shutdown()
    quiet = telemetry.Rarely()
    passed = [record for record in caplog.records if quiet.filter(record)]
    assert len([record for record in passed if record.name.startswith("opentelemetry")]) == 1
    assert len([record for record in passed if "takes no spans" in record.message]) == 1


def test_without_the_packages_the_setting_says_what_to_install() -> None:
    with environment(DIRACX_OTEL_ENDPOINT="http://collector:4318"):
        done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True)
    assert (
        done.stdout.splitlines()
        == ["DIRACX_OTEL_ENDPOINT needs OpenTelemetry: pip install 'diracx-celery[telemetry]'"] * 2
    )


def test_without_an_endpoint_the_packages_are_not_needed() -> None:
    with environment():
        done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True)
    assert done.stdout == ""


@given(st.from_regex(r"[0-9a-e][0-9a-f]-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True))
def test_a_traceparent_is_taken_as_it_came(trace: str) -> None:
    is_nothing = re.search(r"-0{32}-|-0{16}-", trace)
    assert checked_trace(trace) == (None if is_nothing else trace)


@given(st.text() | st.from_regex(r"[0-9a-fA-F]{0,3}-[0-9a-f]{30,34}-[0-9a-f]{15,17}-[0-9a-f\n]{1,3}"))
@example(PARENT + "\n")
@example(PARENT.upper())
@example(PARENT + "-00")
@example("ff" + PARENT[2:])
@example(f"00-{'0' * 32}-b7ad6b7169203331-01")
@example(f"00-{TRACE}-{'0' * 16}-01")
@example(PARENT.replace("0", "\N{ARABIC-INDIC DIGIT ZERO}"))
def test_what_is_no_traceparent_is_ignored(text: str) -> None:
    if not TRACEPARENT.fullmatch(text):
        assert checked_trace(text) is None
    found = checked_trace(text)
    assert found is None or (found == text and [len(part) for part in found.split("-")] == [2, 32, 16, 2])
    assert found is None or not set(found) - set("0123456789abcdef-")


def test_a_line_says_what_is_at_work(root: logging.Logger) -> None:
    labels = {"task": "workflows.advance", "subject": "workflow-42"}
    with originating(Origin("alice@lhcb", "workflow-42.advance", PARENT, labels)):
        found = line(root, "step %s is %s", "fit", "Done")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", found.pop("time"))
    assert found == {
        "level": "WARNING",
        "logger": "diracx.test",
        "message": "step fit is Done",
        "task_id": "workflow-42.advance",
        "task": "workflows.advance",
        "subject": "workflow-42",
        "by": "alice@lhcb",
        "trace_id": TRACE,
    }
    assert line(root, "idle").keys() == {"time", "level", "logger", "message"}


def test_an_exception_is_one_line_of_json(root: logging.Logger) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        found = line(root, "no\nluck", exc_info=True)
    assert found["message"] == "no\nluck"
    assert "ValueError: first\nsecond" in found["exc_info"]


@given(trace=st.none() | st.text())
def test_no_traceparent_hinders_a_line(trace: str | None) -> None:
    record = logging.LogRecord("diracx", logging.INFO, "", 1, "words", (), None)
    with originating(Origin(trace=trace)):
        assert telemetry.Ids().filter(record)


def test_logs_are_set_up_once_and_leave_others_alone(root: logging.Logger) -> None:
    other = logging.NullHandler()
    root.addHandler(other)
    server, silenced = logging.getLogger("uvicorn"), logging.getLogger("uvicorn.access")
    server.addHandler(logging.StreamHandler())
    server.propagate = silenced.propagate = False
    with environment():
        telemetry.set_up_logs()
        telemetry.set_up_logs()
    assert [one.name for one in root.handlers].count("diracx") == 1
    assert other in root.handlers
    assert (server.handlers, server.propagate) == ([], True)
    assert not silenced.propagate
    silenced.propagate = True


def test_a_level_that_is_stated_counts_before_the_commands(root: logging.Logger) -> None:
    for stated, given_level, expected in (
        ({}, None, logging.INFO),
        ({}, logging.WARNING, logging.WARNING),
        ({"DIRACX_LOG_LEVEL": "debug"}, logging.WARNING, logging.DEBUG),
        ({"DIRACX_LOG_LEVEL": "INFO"}, "WARNING", logging.INFO),
    ):
        with environment(**stated):
            telemetry.set_up_logs(given_level)
        assert root.level == expected
    with environment(DIRACX_LOG_LEVEL="LOUD"), pytest.raises(SettingsError, match=r"DIRACX_LOG_LEVEL.*LOUD"):
        telemetry.set_up_logs()


def test_what_nobody_expected_is_counted_as_500() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("nobody expected this")

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"traceparent", b"\xff")]}
    before = REQUESTS.labels("GET", "unknown", 500)._value.get()
    with environment(), pytest.raises(RuntimeError, match="nobody"):
        asyncio.run(Measured(app)(scope, receive, send))
    assert REQUESTS.labels("GET", "unknown", 500)._value.get() == before + 1
