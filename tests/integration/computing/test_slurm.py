"""Pilots in a real Slurm, whose commands run here and over ssh."""

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from diracx_tasks.core.errors import BadRequest, SettingsError, Unavailable
from diracx_tasks.pilots.elements import ComputingElement, PilotScript, Refused, State, Told, element
from tests.integration.computing.pilots import all_until, pilot, pilots, until
from tests.servers import Slurm, Sshd
from tests.servers.sshd import options as over

pytestmark = pytest.mark.integration

WAITING, RUNNING = {State.WAITING}, {State.RUNNING}


def options(slurm: Slurm, folder: Path, **more: object) -> dict[str, object]:
    known = {"Preamble": f"export SLURM_CONF={slurm.settings}", "SharedArea": str(folder)}
    return {"CEType": "Slurm", **known, **more}


@pytest.fixture(params=["here", "over ssh"])
def cluster(
    request: pytest.FixtureRequest, slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ComputingElement:
    """The same Slurm by its commands on this machine, and on a host."""
    if request.param == "here":
        return element("hpc01", options(slurm, tmp_path))
    sshd: Sshd = request.getfixturevalue("sshd")
    sshd.trusted(monkeypatch)
    return element("hpc01", options(slurm, tmp_path, CEType="SSH", BatchSystem="SLURM", **over(sshd)))


@pytest.fixture
def hpc(slurm: Slurm, tmp_path: Path) -> Iterator[ComputingElement]:
    """The Slurm by its commands on this machine; what is left in it goes."""
    yield element("hpc01", options(slurm, tmp_path))
    slurm.client("scancel", "--user=root", "--state=PENDING")


def test_a_pilot_is_submitted_found_asked_and_its_output_read(cluster: ComputingElement) -> None:
    good = pilot('echo "in $SLURM_JOB_PARTITION as $SLURM_JOB_NAME"', "echo oh >&2", "exec true")
    bad = pilot("exit 7")
    taken = cluster.submit("long", [good, bad])
    assert set(taken) == {good.stamp, bad.stamp}
    assert cluster.find([good.stamp, "absent", bad.stamp]) == taken
    told = all_until(cluster, taken.values())
    assert told[taken[good.stamp]] == Told(State.DONE)
    assert told[taken[bad.stamp]] == Told(State.FAILED, "FAILED NonZeroExitCode")
    assert cluster.output(taken[good.stamp]) == (f"in long as {good.stamp}\n", "oh\n")


def test_a_pilot_is_killed_and_killing_it_again_is_harmless(cluster: ComputingElement) -> None:
    taken = cluster.submit("short", pilots(2, "sleep 100"))
    all_until(cluster, taken.values(), RUNNING)
    for _ in range(2):
        cluster.kill([*taken.values(), "slurm://hpc01/999999"])
        told = all_until(cluster, taken.values())
        assert {one.state for one in told.values()} == {State.ABORTED}


def test_no_secret_is_in_a_command_line_or_in_an_error(slurm: Slurm, tmp_path: Path) -> None:
    secret, seen = uuid4().hex, tmp_path / "seen"
    stated = options(slurm, tmp_path)
    look = f'sbatch() {{ cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >> {seen}; command sbatch "$@"; }}'
    stated["Preamble"] = f"{stated['Preamble']}\n{look}"
    one = pilot(f"secret={secret}")
    hpc = element("hpc01", stated)
    with pytest.raises(Refused) as refused:
        hpc.submit("nowhere", [one])
    (reference,) = hpc.submit("short", [one]).values()
    until(hpc, reference)
    assert b"pytest" in seen.read_bytes() and secret.encode() not in seen.read_bytes()
    assert secret not in str(refused.value)


def test_what_slurm_says_to_a_submission_that_it_refuses_is_in_the_error(
    cluster: ComputingElement, slurm: Slurm, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match=r"Slurm of hpc01: .*invalid partition specified: nowhere"):
        cluster.submit("nowhere", [pilot()])
    greedy = element("hpc01", options(slurm, tmp_path, Queues={"short": {"maxWallClockTime": 61}}))
    with pytest.raises(Refused, match="Requested time limit is invalid"):
        greedy.submit("short", [pilot()])


def test_those_before_the_first_that_is_refused_are_taken(hpc: ComputingElement) -> None:
    good, too_long, never = pilot(), pilot("#" * 5_000_000), pilot()
    assert set(hpc.submit("short", [good, too_long, never])) == {good.stamp}


def test_a_queue_says_what_its_pilots_ask_for(slurm: Slurm, tmp_path: Path) -> None:
    queue = {"NumberOfProcessors": 3, "MaxRAM": 700, "maxWallClockTime": 25, "SubmitOptions": "--nice=4 -c 2"}
    hpc = element("hpc01", options(slurm, tmp_path, NumberOfProcessors=8, Queues={"short": queue}))
    (reference,) = hpc.submit("short", [pilot()]).values()
    shown = slurm.client("scontrol", "--oneliner", "show", "job", reference.rpartition("/")[2])
    for part in ("NumCPUs=2", "MinMemoryNode=700M", "TimeLimit=00:25:00", "Nice=4", "Requeue=0"):
        assert part in shown
    with pytest.raises(SettingsError, match="computing element hpc01 has no queue lang: short"):
        hpc.submit("lang", [pilot()])
    with pytest.raises(SettingsError, match="computing element hpc01, option MaxRAM: "):
        element("hpc01", options(slurm, tmp_path, MaxRAM="much"))


def test_a_submission_whose_answer_was_lost_is_found_by_its_stamp(slurm: Slurm, tmp_path: Path) -> None:
    lost, never = pilot("sleep 100"), pilot()
    # The answer comes after the time is over, as when a connection breaks.
    late = 'sbatch() { command sbatch "$@"; sleep 60; }'
    slow = options(slurm, tmp_path, Timeout=3)
    slow["Preamble"] = f"{slow['Preamble']}\n{late}"
    with pytest.raises(Unavailable, match="hpc01 does not answer: no answer within 3 s"):
        element("hpc01", slow).submit("short", [lost, never])
    hpc = element("hpc01", options(slurm, tmp_path))
    found = hpc.find([lost.stamp, never.stamp])
    assert set(found) == {lost.stamp}
    until(hpc, found[lost.stamp], RUNNING)
    hpc.kill(found.values())


def test_pilots_wait_for_a_drained_node_and_say_why(hpc: ComputingElement, slurm: Slurm) -> None:
    slurm.client("scontrol", "update", "nodename=node1", "state=DRAIN", "reason=maintenance")
    try:
        (reference,) = hpc.submit("short", [pilot()]).values()
        waits = until(hpc, reference, WAITING)
        while "DRAINED" not in waits.reason:
            waits = until(hpc, reference, WAITING)
    finally:
        slurm.client("scontrol", "update", "nodename=node1", "state=RESUME")
    assert until(hpc, reference) == Told(State.DONE)


def test_a_controller_that_was_killed_is_away_and_knows_all_when_it_is_back(
    hpc: ComputingElement, slurm: Slurm
) -> None:
    runs = hpc.submit("short", [pilot("sleep 8", "echo end")])
    all_until(hpc, runs.values(), RUNNING)
    # Slurm writes down every few seconds what it has promised.
    while next(iter(runs)).encode() not in (slurm.folder / "state" / "job_state").read_bytes():
        time.sleep(0.1)
    slurm.kill()
    one = pilot()
    try:
        with pytest.raises(Unavailable, match=r"hpc01 does not answer: .*Unable to contact slurm controller"):
            hpc.submit("short", [one])
        with pytest.raises(Unavailable, match="Unable to contact slurm controller"):
            hpc.status(runs.values())
    finally:
        slurm.start()
    assert hpc.find([one.stamp, *runs]) == runs
    (told,) = all_until(hpc, runs.values()).values()
    assert told == Told(State.DONE)


def test_what_the_controller_has_forgotten_is_known_with_accounting_and_without(
    slurm: Slurm, tmp_path: Path
) -> None:
    without = tmp_path / "slurm.conf"
    lines = slurm.settings.read_text().splitlines(keepends=True)
    without.write_text("".join(line for line in lines if not line.startswith("Accounting")))
    preambles = (f"export SLURM_CONF={file}" for file in (slurm.settings, without))
    both = [element("hpc01", options(slurm, tmp_path, Preamble=preamble)) for preamble in preambles]
    good, bad = pilot(), pilot("exit 7")
    taken = both[0].submit("short", [good, bad])
    all_until(both[0], taken.values())
    names = f"--name={good.stamp},{bad.stamp}"
    while sorted(slurm.client("sacct", "-XnP", "--format=State", names).split()) != ["COMPLETED", "FAILED"]:
        time.sleep(0.1)
    slurm.forget_jobs()
    for hpc in both:
        assert hpc.find([good.stamp, bad.stamp, "absent"]) == taken
        told = hpc.status([*taken.values(), "slurm://hpc01/999999"])
        assert told[taken[good.stamp]] == Told(State.DONE)
        assert told[taken[bad.stamp]].reason.endswith("exit code 7")
        assert told[taken[bad.stamp]].state is State.FAILED
        assert told["slurm://hpc01/999999"] == Told(State.UNKNOWN, "hpc01 knows no such job")


def test_thousands_of_references_are_asked_with_few_commands(slurm: Slurm, tmp_path: Path) -> None:
    stated = options(slurm, tmp_path)
    counted = "".join(
        f'{name}() {{ echo {name} >> {tmp_path}/asked; command {name} "$@"; }}\n'
        for name in ("squeue", "sacct")
    )
    stated["Preamble"] = f"{stated['Preamble']}\n{counted}"
    hpc = element("hpc01", stated)
    taken = hpc.submit("short", pilots(3))
    told = hpc.status([*taken.values(), *(f"slurm://hpc01/{900_000 + one}" for one in range(3000))])
    assert len(told) == 3003 and sum(one.state is State.UNKNOWN for one in told.values()) == 3000
    asked = (tmp_path / "asked").read_text().split()
    assert (asked.count("squeue"), asked.count("sacct")) == (1, 6)


def test_references_of_others_are_left_out_and_stamps_that_are_none_refused(hpc: ComputingElement) -> None:
    strange = ("slurm://hpc02/1", "local://hpc01/1", "slurm://hpc01/1;reboot", "slurm://hpc01/")
    (mine,) = hpc.submit("short", pilots(1)).values()
    hpc.kill(strange)
    assert hpc.status([*strange, mine]).keys() == {mine}
    for one in strange:
        with pytest.raises(BadRequest, match=r"is no reference of the computing element hpc01"):
            hpc.output(one)
    with pytest.raises(BadRequest, match="is no stamp of a pilot"):
        hpc.submit("short", [PilotScript("../a", "")])
