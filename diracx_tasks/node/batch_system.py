"""What the batch system and the kernel say of the part of a node that this pilot has."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import inf
from pathlib import Path

import psutil

from diracx_tasks.node.gpus import output

MEGABYTE = 2**20
CGROUPS = Path("/sys/fs/cgroup")
MINE = Path("/proc/self/cgroup")
# Where the controllers of cgroup v1 may be, beside the one hierarchy of v2.
CPU, MEMORY = ("cpu", "cpu,cpuacct"), ("memory",)
# Memory of v1 without a limit is a number that no machine has.
MOST_BYTES = 1 << 60

_line = re.compile(r"(\w+)\s*=\s*(.*?)\s*").fullmatch
_duration = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)").fullmatch


def cores() -> int:
    """Cores that this pilot may use: the least of what Slurm, HTCondor, cgroups and the affinity say."""
    found = [
        float(len(os.sched_getaffinity(0))),
        *_quotas(),
        _number(os.environ.get("SLURM_CPUS_ON_NODE")),
        _number(_classad("_CONDOR_MACHINE_AD").get("Cpus")),
        _number(_feature("JOBFEATURES", "allocated_cpu")),
    ]
    return max(1, int(min(found)))


def ram_mb() -> int:
    """Memory in MB that all of this pilot may use: the least of what is said, and there is."""
    asked = _number(os.environ.get("SLURM_CPUS_ON_NODE")) * _number(os.environ.get("SLURM_MEM_PER_CPU"))
    found = [
        psutil.virtual_memory().total / MEGABYTE,
        *(limit / MEGABYTE for limit in _limits()),
        # 0 is all that the node has.
        _number(os.environ.get("SLURM_MEM_PER_NODE")) or inf,
        asked or inf,
        _number(_classad("_CONDOR_MACHINE_AD").get("Memory")),
        _number(_feature("JOBFEATURES", "max_rss_bytes")) / MEGABYTE,
    ]
    return int(min(found))


def wall_seconds() -> float:
    """Seconds that the batch system lets this pilot run from now on; inf: it does not say."""
    return min(_slurm_seconds(), _condor_seconds(), _features_seconds())


def cpu_seconds() -> float:
    """Seconds of CPU time for all cores together; inf: nobody says."""
    return _number(_feature("JOBFEATURES", "cpu_limit_secs"))


def duration(text: str) -> float:
    """Seconds of Slurm's `[days-]hh:mm:ss` or `mm:ss`; inf for its words, as UNLIMITED."""
    if not (found := _duration(text.strip())):
        return inf
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds


def _slurm_seconds() -> float:
    if not (job := os.environ.get("SLURM_JOB_ID")):
        return inf
    # Older ones do not say it. Only those are asked, so that the controllers of the others are spared.
    if (ends_at := _number(os.environ.get("SLURM_JOB_END_TIME"))) < inf:
        return ends_at - time.time()
    return duration(output("squeue", "--noheader", "--jobs", job, "--format=%L"))


def _condor_seconds() -> float:
    """Of the job's ad what it allows from its start on, of the machine's how long it is there."""
    job, machine = _classad("_CONDOR_JOB_AD"), _classad("_CONDOR_MACHINE_AD")
    allowed = [
        _number(job.get(name)) for name in ("AllowedJobDuration", "AllowedExecuteDuration", "BatchRuntime")
    ]
    # HTCondor-CE's minutes.
    allowed.append(_number(job.get("MaxWallTime")) * 60)
    began = _number(job.get("JobCurrentStartDate"))
    ran = 0.0 if began == inf else max(0.0, time.time() - began)
    return min(min(allowed) - ran, _number(machine.get("TimeToLive")))


def _features_seconds() -> float:
    """Of the HEPiX machine and job features."""
    left = _number(_feature("JOBFEATURES", "wall_limit_secs"))
    began = _number(_feature("JOBFEATURES", "jobstart_secs"))
    shutdown = _number(_feature("MACHINEFEATURES", "shutdowntime")) or inf
    now = time.time()
    return min(left - (0.0 if began == inf else max(0.0, now - began)), shutdown - now)


def _quotas() -> Iterator[float]:
    for folder in _cgroups(*CPU):
        quota, period = [*_text(folder / "cpu.max").split(), "max", "max"][:2]
        if quota == "max":
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if 0 < _number(quota) < inf and 0 < _number(period) < inf:
            # A part of a core is one that others use as well.
            yield max(1.0, _number(quota) / _number(period))


def _limits() -> Iterator[float]:
    for folder in _cgroups(*MEMORY):
        for name in ("memory.max", "memory.limit_in_bytes"):
            if 0 < (found := _number(_text(folder / name))) < MOST_BYTES:
                yield found


def _cgroups(*controllers: str) -> Iterator[Path]:
    """Folders of this process's group and of those above it: of v2, and of some controllers of v1."""
    for line in _text(MINE).splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names and not set(names.split(",")).intersection(controllers):
            continue
        for root in [CGROUPS / one for one in (controllers if names else ("", "unified"))]:
            group = root / path.lstrip("/")
            yield from (one for one in (group, *group.parents) if one == root or root in one.parents)


def _classad(variable: str) -> Mapping[str, str]:
    """What a file of HTCondor says as numbers and strings; expressions are left as they are."""
    lines = _text(Path(os.environ.get(variable) or os.devnull)).splitlines()
    return {found[1]: found[2] for line in lines if (found := _line(line))}


def _feature(variable: str, name: str) -> str:
    folder = os.environ.get(variable)
    # They may be addresses of web servers as well, which no site has any more.
    return _text(Path(folder) / name) if folder else ""


def _text(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text().strip()
    return ""


def _number(text: str | None) -> float:
    """A number that is not negative; inf for what is none."""
    try:
        found = float(text or "")
    except ValueError:
        return inf
    return found if found >= 0 else inf
