"""The warm process from the pilot's side."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psutil
import pytest

from diracx_tasks.node.zygote import Zygote, ZygoteDied
from tests.unit.node.conftest import Payloads, sleeping
from tests.unit.node.documents import a_sleep, a_tool
from tests.unit.node.server import wait_for


@pytest.fixture
def payloads(tmp_path: Path) -> Iterator[Payloads]:
    """Payloads below a warm process of their own."""
    zygote = Zygote()
    yield Payloads(zygote, tmp_path, count())
    zygote.close()


def warm_process() -> psutil.Process:
    """The child that runs the warm process."""
    (found,) = (one for one in psutil.Process().children() if "diracx_tasks.node.zygote" in one.cmdline())
    return found


def test_the_death_of_the_warm_process_ends_its_payload_and_is_noticed(payloads: Payloads) -> None:
    payloads.start(a_sleep(8651.5))
    wait_for(lambda: len(sleeping(8651.5)) == 2)
    payloads.zygote.wait(0)
    warm_process().kill()
    with pytest.raises(ZygoteDied, match="-9"):
        payloads.zygote.wait(10)
    assert sleeping(8651.5) == []
    assert payloads.zygote.is_spent
    with pytest.raises(ZygoteDied):
        payloads.run(a_tool("true"))


def test_closing_ends_the_running_payload(payloads: Payloads) -> None:
    payloads.start(a_sleep(8652.5))
    wait_for(lambda: len(sleeping(8652.5)) == 2)
    payloads.zygote.wait(0)
    payloads.zygote.close()
    assert sleeping(8652.5) == []


def test_a_stray_sigterm_does_not_end_it(payloads: Payloads) -> None:
    payloads.run(a_tool("true"))
    warm_process().send_signal(signal.SIGTERM)
    warm_process().send_signal(signal.SIGINT)
    assert payloads.run(a_tool("true")).outputs == {}


def test_a_payload_may_end_before_the_pilot_looks(payloads: Payloads) -> None:
    folder = payloads.start(a_tool("exit 3"))
    wait_for((folder / "result.json").exists)
    wait_for(lambda: not warm_process().children())
    assert payloads.end(folder).reason == "exit code 3"
    assert not payloads.zygote.is_busy


def test_it_sees_no_secret_of_the_pilot(monkeypatch: pytest.MonkeyPatch, payloads: Payloads) -> None:
    monkeypatch.setenv("DIRACX_TOKEN", "secret")
    zygote = Zygote()
    try:
        for one in psutil.Process().children():
            assert "DIRACX_TOKEN" not in one.environ()
    finally:
        zygote.close()


def test_it_does_not_outlive_a_pilot_that_ends_before_it_is_ready() -> None:
    code = (
        "import os, psutil\nfrom diracx_tasks.node.zygote import Zygote\nzygote = Zygote()\n"
        "print(psutil.Process().children()[0].pid, flush=True)\nos._exit(0)"
    )
    started = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    wait_for(lambda: has_ended(int(started.stdout)))


def has_ended(pid: int) -> bool:
    """Whether it does not run, though perhaps nobody has asked yet how it ended."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_it_runs_in_a_session_of_its_own(payloads: Payloads) -> None:
    assert os.getsid(warm_process().pid) != os.getsid(0)
