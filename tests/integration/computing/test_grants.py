"""What a pilot finds out about the part of a node that real batch systems have given it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from diracx_tasks.node import batch_system
from diracx_tasks.pilots.elements import ComputingElement, State, element
from tests.integration.computing.pilots import all_until, pilot, until
from tests.servers import Condor, Slurm, Sshd
from tests.servers.sshd import options as over

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch system runs the test itself."""
    for name in os.environ:
        if name.startswith(("SLURM_", "_CONDOR_")):
            monkeypatch.delenv(name)


@pytest.fixture
def hpc(slurm: Slurm, tmp_path: Path) -> Iterator[ComputingElement]:
    """Slurm, with more than this machine may have."""
    known = {"Preamble": f"export SLURM_CONF={slurm.settings}", "SharedArea": str(tmp_path)}
    yield element(
        "hpc01", {"CEType": "Slurm", "SubmitOptions": "--time=7 --mem=300 --cpus-per-task=1", **known}
    )
    slurm.client("scancel", "--user=root")


def test_slurm_says_what_a_pilot_has(hpc: ComputingElement, monkeypatch: pytest.MonkeyPatch) -> None:
    one = pilot("env | grep ^SLURM_")
    (reference,) = hpc.submit("short", [one]).values()
    assert until(hpc, reference).state is State.DONE
    for line in hpc.output(reference)[0].splitlines():
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)
    assert (batch_system.cores(), batch_system.ram_mb()) == (1, 300)


def test_slurm_tells_how_long_a_pilot_may_run_when_it_is_asked(
    hpc: ComputingElement, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    (reference,) = hpc.submit("short", [pilot("sleep 100")]).values()
    all_until(hpc, [reference], {State.RUNNING})
    monkeypatch.setenv("SLURM_CONF", str(slurm.settings))
    monkeypatch.setenv("SLURM_JOB_ID", reference.rsplit("/", 1)[-1])
    assert 0 < batch_system.wall_seconds() <= 420


def test_htcondor_says_what_a_pilot_has(
    condor: Condor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "request_cpus = 1\nrequest_memory = 128\nallowed_job_duration = 1200"
    with Sshd(tmp_path / "host", condor.shell) as host:
        host.trusted(monkeypatch)
        about = {
            "CEType": "SSH",
            "BatchSystem": "HTCondor",
            "SharedArea": "grants",
            "ExtraSubmitString": lines,
        }
        pool = element("pool", {**about, **over(host)})
        one = pilot("cat $_CONDOR_MACHINE_AD; echo ---; cat $_CONDOR_JOB_AD")
        (reference,) = pool.submit("any", [one]).values()
        assert until(pool, reference).state is State.DONE
        machine, _, job = pool.output(reference)[0].partition("---\n")
    for name, text in (("_CONDOR_MACHINE_AD", machine), ("_CONDOR_JOB_AD", job)):
        (tmp_path / name).write_text(text)
        monkeypatch.setenv(name, str(tmp_path / name))
    assert batch_system.cores() == 1
    assert 128 <= batch_system.ram_mb() < 1000
    assert 0 < batch_system.wall_seconds() <= 1200
