"""What a pilot finds out about its part of a node: from Slurm, HTCondor, cgroups, machine features."""

import os
import time
from collections.abc import Callable
from math import inf
from pathlib import Path

import psutil
import pytest

from diracx_tasks.node import batch_system

NAMES = (
    "SLURM_JOB_ID SLURM_JOB_END_TIME SLURM_CPUS_ON_NODE SLURM_MEM_PER_NODE "
    "SLURM_MEM_PER_CPU _CONDOR_JOB_AD _CONDOR_MACHINE_AD JOBFEATURES MACHINEFEATURES"
)
HERE = len(os.sched_getaffinity(0))
ALL_MB = psutil.virtual_memory().total // 2**20


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A node without a batch system and without cgroups."""
    for name in NAMES.split():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(batch_system, "CGROUPS", tmp_path / "none")


@pytest.fixture
def ads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Has HTCondor say something of the job and of the machine."""

    def say(job: str, machine: str) -> None:
        for name, text in (("_CONDOR_JOB_AD", job), ("_CONDOR_MACHINE_AD", machine)):
            (tmp_path / name).write_text(text)
            monkeypatch.setenv(name, str(tmp_path / name))

    return say


def test_a_bare_node_gives_all_it_has_for_any_time() -> None:
    assert (batch_system.cores(), batch_system.ram_mb()) == (HERE, ALL_MB)
    assert (batch_system.wall_seconds(), batch_system.cpu_seconds()) == (inf, inf)


def test_an_affinity_is_a_limit() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert batch_system.cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_slurm_says_what_it_has_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "1")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "700")
    assert (batch_system.cores(), batch_system.ram_mb()) == (1, 700)
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "600")
    assert batch_system.ram_mb() == 600
    # Slurm's way to say all of it.
    monkeypatch.delenv("SLURM_MEM_PER_CPU")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")
    assert batch_system.ram_mb() == ALL_MB


def test_slurm_says_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 3600))
    assert 3500 < batch_system.wall_seconds() <= 3601


def test_an_older_slurm_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "squeue"
    tool.write_text('#!/bin/sh\n[ "$*" = "--noheader --jobs 17 --format=%L" ] && echo 1-02:03:04\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert batch_system.wall_seconds() == 93_784
    tool.write_text("#!/bin/sh\nexit 1\n")
    assert batch_system.wall_seconds() == inf


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("59:59\n", 3599),
        ("0:05", 5),
        ("10:00:00", 36_000),
        ("7-00:00:00", 604_800),
        ("UNLIMITED\n", inf),
        ("NOT_SET", inf),
        ("INVALID", inf),
        ("", inf),
    ],
)
def test_durations_of_slurm_are_read(text: str, seconds: float) -> None:
    assert batch_system.duration(text) == seconds


def test_htcondor_says_what_it_has_given(ads: Callable[[str, str], None]) -> None:
    ads("", 'Name = "slot1_1@wn"\nCpus = 1\nMemory = 512\nTotalSlotMemory=9000\n')
    assert (batch_system.cores(), batch_system.ram_mb()) == (1, 512)
    assert batch_system.wall_seconds() == inf


@pytest.mark.parametrize(
    ("job", "machine", "seconds"),
    [
        ("AllowedJobDuration = 7200", "", 7200),
        ("AllowedExecuteDuration = 3600\nAllowedJobDuration = 7200", "", 3600),
        ("MaxWallTime = 120", "", 7200),
        ("BatchRuntime = 7200\nJobCurrentStartDate = {before}", "", 6200),
        ("AllowedJobDuration = 7200", "TimeToLive = 600", 600),
        ("AllowedJobDuration = ifThenElse(true, 1, 2)", "TimeToLive = undefined", inf),
        ("", "TimeToLive = 2147483647", 2_147_483_647),
    ],
)
def test_htcondor_says_how_long_a_job_may_run(
    ads: Callable[[str, str], None], job: str, machine: str, seconds: float
) -> None:
    ads(job.format(before=int(time.time()) - 1000), machine)
    found = batch_system.wall_seconds()
    assert found == seconds or seconds - 60 < found <= seconds + 1


def test_machine_and_job_features_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    about = {
        "allocated_cpu": "1",
        "max_rss_bytes": str(300 << 20),
        "wall_limit_secs": "5000",
        "jobstart_secs": str(int(time.time()) - 1000),
        "cpu_limit_secs": "9000",
    }
    for name, text in about.items():
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setenv("JOBFEATURES", str(tmp_path))
    assert (batch_system.cores(), batch_system.ram_mb(), batch_system.cpu_seconds()) == (1, 300, 9000)
    assert 3900 < batch_system.wall_seconds() <= 4001
    (tmp_path / "shutdowntime").write_text(str(int(time.time()) + 100))
    monkeypatch.setenv("MACHINEFEATURES", str(tmp_path))
    assert batch_system.wall_seconds() <= 100


@pytest.mark.parametrize("version", [1, 2])
def test_the_narrowest_cgroup_above_the_pilot_is_a_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: int
) -> None:
    root = tmp_path / "cgroup"
    files = {
        1: {
            "cpu/slurm/cpu.cfs_quota_us": "150000",
            "cpu/slurm/cpu.cfs_period_us": "100000",
            "cpu/slurm/job/cpu.cfs_quota_us": "-1",
            "cpu/slurm/job/cpu.cfs_period_us": "100000",
            "memory/slurm/memory.limit_in_bytes": str(200 << 20),
            "memory/slurm/job/memory.limit_in_bytes": "9223372036854771712",
        },
        2: {
            "slurm/cpu.max": "150000 100000",
            "slurm/job/cpu.max": "max 100000",
            "slurm/memory.max": str(200 << 20),
            "slurm/job/memory.max": "max",
        },
    }
    for name, text in files[version].items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    listed = tmp_path / "listed"
    lines = {
        1: "4:memory:/slurm/job\n2:cpu,cpuacct:/slurm/job\n1:name=systemd:/else\n0::/else\n",
        2: "0::/slurm/job\n",
    }
    listed.write_text(lines[version])
    monkeypatch.setattr(batch_system, "CGROUPS", root)
    monkeypatch.setattr(batch_system, "MINE", listed)
    assert (batch_system.cores(), batch_system.ram_mb()) == (1, 200)
