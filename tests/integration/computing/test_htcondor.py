"""Pilots in a real HTCondor, on a host that ssh reaches: it runs no jobs of root, and tests are root's."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from diracx_tasks.core.errors import Unavailable
from diracx_tasks.pilots.elements import ComputingElement, Refused, State, Told, element
from tests.integration.computing.pilots import all_until, pilot, pilots, until
from tests.servers import Condor, Sshd
from tests.servers.sshd import options as over

pytestmark = pytest.mark.integration

RUNNING = {State.RUNNING}


@pytest.fixture(scope="module")
def host(condor: Condor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """The host, on which we are the pool's user."""
    with Sshd(tmp_path_factory.mktemp("condor-host"), condor.shell) as server:
        yield server


@pytest.fixture
def options(host: Sshd, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The section of the computing element; each test has a folder of its own."""
    host.trusted(monkeypatch)
    area = f"pilots-{uuid4().hex}"
    return {"CEType": "SSH", "BatchSystem": "HTCondor", "SharedArea": area, **over(host)}


@pytest.fixture
def pool(options: dict[str, object]) -> ComputingElement:
    """The pool."""
    return element("pool", options)


def test_a_pilot_is_submitted_found_asked_and_its_output_read(pool: ComputingElement) -> None:
    good, bad = pilot("echo hello; echo oh >&2"), pilot("exit 7")
    taken = pool.submit("any", [good, bad])
    assert set(taken) == {good.stamp, bad.stamp}
    assert pool.find([good.stamp, "absent", bad.stamp]) == taken
    told = all_until(pool, taken.values())
    assert told[taken[good.stamp]] == Told(State.DONE)
    assert told[taken[bad.stamp]] == Told(State.FAILED, "exit code 7")
    assert pool.find([good.stamp, bad.stamp, "absent"]) == taken
    assert pool.output(taken[good.stamp]) == ("hello\n", "oh\n")


def test_a_pilot_is_killed_and_killing_it_again_is_harmless(pool: ComputingElement) -> None:
    taken = pool.submit("any", pilots(2, "echo runs; sleep 100"))
    all_until(pool, taken.values(), RUNNING)
    for _ in range(2):
        pool.kill([*taken.values(), "htcondor://pool/99999.0"])
        told = all_until(pool, taken.values())
        assert {one.state for one in told.values()} == {State.ABORTED}
    assert "via condor_rm" in next(iter(told.values())).reason


def test_what_htcondor_says_to_a_submission_that_it_refuses_is_in_the_error(
    options: dict[str, object],
) -> None:
    wrong = {"Queues": {"any": {"ExtraSubmitString": "request_memory = much and more"}}}
    with pytest.raises(Refused, match=r"HTCondor of pool: .*much and more"):
        element("pool", {**options, **wrong}).submit("any", [pilot()])


def test_a_queue_says_what_its_pilots_ask_for(
    options: dict[str, object], condor: Condor, pool: ComputingElement
) -> None:
    extra = 'request_disk = 77777\\n+Experiment = "LHCb"'
    queue = {"NumberOfProcessors": 3, "MaxRAM": 99_000, "Account": "group_lhcb", "ExtraSubmitString": extra}
    (reference,) = element("pool", {**options, "Queues": {"big": queue}}).submit("big", [pilot()]).values()
    names = ("RequestCpus", "RequestMemory", "RequestDisk", "Experiment", "AcctGroup")
    number = reference.rpartition("/")[2]
    shown = condor.run(*condor.become, "env", "condor_q", number, "-af", *names)
    assert shown.split() == ["3", "99000", "77777", "LHCb", "group_lhcb"]
    assert pool.status([reference]) == {reference: Told(State.WAITING)}
    pool.kill([reference])
    assert until(pool, reference).state is State.ABORTED


def test_a_pilot_that_cannot_start_is_aborted_with_the_reason_and_leaves_the_queue(
    options: dict[str, object], condor: Condor
) -> None:
    held = element("pool", {**options, "ExtraSubmitString": "transfer_input_files = /no/such/file"})
    (reference,) = held.submit("any", [pilot()]).values()
    told = until(held, reference)
    assert told.state is State.ABORTED and "/no/such/file" in told.reason
    until(held, reference)


def test_a_submission_whose_answer_was_lost_is_found_by_its_stamp(options: dict[str, object]) -> None:
    late = 'condor_submit() { command condor_submit "$@" > answer; sleep 60; }'
    some = pilots(2, "sleep 100")
    with pytest.raises(Unavailable, match="pool does not answer: no answer within 3 s"):
        element("pool", {**options, "Timeout": 3, "Preamble": late}).submit("any", some)
    pool = element("pool", options)
    found = pool.find([*(one.stamp for one in some), pilot().stamp])
    assert set(found) == {one.stamp for one in some}
    all_until(pool, found.values(), RUNNING)
    pool.kill(found.values())


def test_only_we_may_read_a_pilots_secret(pool: ComputingElement, condor: Condor) -> None:
    secret = uuid4().hex
    one = pilot(f"secret={secret}", "sleep 100")
    taken = pool.submit("any", [one])
    (script,) = Path(condor.folder, "home").rglob(f"{one.stamp}.pilot")
    assert script.stat().st_mode & 0o077 == 0 and script.parent.stat().st_mode & 0o077 == 0
    assert secret not in condor.run(*condor.become, "env", "condor_q", "-long")
    pool.kill(taken.values())


def test_thousands_of_references_are_asked_with_few_commands(
    options: dict[str, object], condor: Condor
) -> None:
    file = condor.folder / "home" / f"asked-{uuid4().hex}"
    counted = "".join(
        f'{name}() {{ echo {name} >> {file}; command {name} "$@"; }}\n'
        for name in ("condor_q", "condor_history")
    )
    pool = element("pool", {**options, "Preamble": counted})
    taken = pool.submit("any", pilots(3, "sleep 100"))
    told = pool.status([*taken.values(), *(f"htcondor://pool/{90_000 + one}.0" for one in range(3000))])
    assert len(told) == 3003 and sum(one.state is State.UNKNOWN for one in told.values()) == 3000
    asked = file.read_text().split()
    assert (asked.count("condor_q"), asked.count("condor_history")) == (1, 6)
    pool.kill(taken.values())


def test_a_pool_that_is_not_there_is_away(options: dict[str, object]) -> None:
    files = ("SCHEDD_ADDRESS_FILE", "SCHEDD_DAEMON_AD_FILE")
    absent = "\n".join(f"export _CONDOR_{name}=/no/file" for name in files)
    nowhere = element("pool", {**options, "Preamble": absent})
    with pytest.raises(Unavailable, match=r"pool does not answer: .*Can't find address of local schedd"):
        nowhere.submit("any", [pilot()])
    with pytest.raises(Unavailable, match="pool does not answer"):
        nowhere.status(["htcondor://pool/1.0"])
    with pytest.raises(Unavailable, match="pool does not answer"):
        nowhere.kill(["htcondor://pool/1.0"])
