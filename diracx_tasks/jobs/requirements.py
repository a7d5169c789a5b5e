"""What a job description asks of the machine that runs it, as the matcher's record."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from diracx_tasks.cwl.record import LARGEST, InvalidRequirements
from diracx_tasks.jobs.ad import Ad, InvalidJdl
from diracx_tasks.matching.grid import SEGMENTS, segment
from diracx_tasks.matching.specification import specifications

MAX_PROCESSORS = 1024
DEFAULT_RAM_MB = 256
MAX_SITE = 100
# Pilots that run descriptions of this kind offer it.
PAYLOAD_TAG = "payload:jdl"
# What a field of the record is called here.
ATTRIBUTES = {
    "sites": "Site",
    "banned_sites": "BannedSites",
    "grid_ces": "GridCE",
    "platform": "Platform",
    "platforms": "Platform",
    "tags": "Tags",
}

_numbered = re.compile(r"[0-9]+|[a-z]+").findall


@dataclass(frozen=True)
class Requirements:
    """`record` is what `matching/specification` reads; `site` is the column of that name."""

    site: str
    platforms: list[str]
    record: dict[str, Any]


def requirements(
    ad: Ad,
    priority: int,
    table: Mapping[str, Collection[str]],
    *,
    cpu_seconds: int,
    segments: Sequence[int] = SEGMENTS,
) -> Requirements:
    """What the matcher needs; `table` is the CS's OSCompatibility, `segments` its CPU times.

    `cpu_seconds` is the CPU time that is in force. Raises InvalidJdl.
    """
    site, sites, banned = _sites(ad)
    found = _platforms(ad, table)
    least, most = _processors(ad)
    record = {
        "cores": least,
        "ram_mb": _ram_mb(ad),
        "sites": sites,
        "banned_sites": banned,
        "platform": None,
        "tags": _tags(ad, least, most),
        "priority": priority,
        "cpu_time": segment(cpu_seconds, segments),
    }
    if found:
        asked = [name for name in ad.strings("Platform") if name in found]
        record |= {"platform": (asked or found)[0], "platforms": found}
    if most is not None and most != least:
        record["max_cores"] = most
    if "MaxRAM" in ad:
        record["max_ram_mb"] = ad.integer("MaxRAM")
    if "GridCE" in ad:
        record["grid_ces"] = ad.strings("GridCE")
    _refuse_unreadable(record)
    return Requirements(site, found, record)


@lru_cache(maxsize=64)
def segments_of(stated: tuple[Any, ...]) -> tuple[int, ...]:
    """The CPU times of the CS's taskQueueCPUTimeIntervals; DIRAC's own unless they are numbers that grow."""
    try:
        found = tuple(int(one) for one in stated)
    except ValueError:
        return SEGMENTS
    grows = all(low < high for low, high in zip((0, *found), found, strict=False))
    return found if found and grows else SEGMENTS


def _sites(ad: Ad) -> tuple[str, list[str], list[str]]:
    """The column Site, the sites that may run the job (none: all), and those that may not."""
    stated = ad.strings("Site")
    banned = sorted(set(ad.strings("BannedSites"))) if "BannedSites" in ad else []
    for name in (*stated, *banned):
        if len(name) > MAX_SITE:
            raise InvalidJdl(f"Site: {len(name)} characters, {MAX_SITE} at most are kept: {name[:40]}...")
    if not stated or any(name.upper() == "ANY" for name in stated):
        return "ANY", [], banned
    left = sorted(set(stated).difference(banned))
    if not left:
        raise InvalidJdl(f"Site and BannedSites leave no site: {', '.join(stated)[:200]}")
    return (left[0] if len(left) == 1 else "Multiple"), left, []


def _platforms(ad: Ad, table: Mapping[str, Collection[str]]) -> list[str]:
    """The platforms that can run what was asked for, the newest first; none: any."""
    asked = [name for name in ad.strings("Platform") if name.upper() != "ANY"] if "Platform" in ad else []
    if not asked or not table:
        return asked
    found = [one for one, runs in table.items() if one in asked or any(name in runs for name in asked)]
    if not found:
        known = ", ".join(sorted(table))[:200]
        raise InvalidJdl(f"Platform: none is compatible with {', '.join(asked)[:80]}; there are {known}")
    return sorted(found, key=_version, reverse=True)


def _version(platform: str) -> list[str]:
    return [part.zfill(8) for part in _numbered(platform.lower())]


def _processors(ad: Ad) -> tuple[int, int | None]:
    """How many processors the job needs, and how many it can use; None: not said."""
    least = most = _count(ad, "NumberOfProcessors")
    if most is None:
        least, most = _count(ad, "MinNumberOfProcessors"), _count(ad, "MaxNumberOfProcessors")
    if most is not None and most < (least or 1):
        raise InvalidJdl(f"MaxNumberOfProcessors: {most} is less than MinNumberOfProcessors, {least}")
    return least or 1, most


def _count(ad: Ad, name: str) -> int | None:
    number = ad.integer(name)
    if number is not None and not 1 <= number <= MAX_PROCESSORS:
        raise InvalidJdl(f"{name}: {number} is not between 1 and {MAX_PROCESSORS}")
    return number


def _ram_mb(ad: Ad) -> int:
    least, most = ad.integer("MinRAM"), ad.integer("MaxRAM")
    if least is not None and not 1 <= least <= LARGEST:
        raise InvalidJdl(f"MinRAM: {least} is no number of MB")
    if most is not None and most < (least or 1):
        raise InvalidJdl(f"MaxRAM: {most} MB is less than MinRAM, {least or 1}")
    return DEFAULT_RAM_MB if least is None else least


def _tags(ad: Ad, least: int, most: int | None) -> list[str]:
    found = {PAYLOAD_TAG}
    for name in ("Tags", "Tag"):
        if name in ad:
            found.update(ad.strings(name))
    is_whole = "WholeNode" in ad and ad.boolean("WholeNode")
    if is_whole:
        found.add("WholeNode")
    if least > 1 or is_whole:
        found.add("MultiProcessor")
    if least == most and least > 1:
        found.add(f"{least}Processors")
    return sorted(found)


def _refuse_unreadable(record: Mapping[str, Any]) -> None:
    """The record is read as the matcher will read it."""
    try:
        specifications(record)
    except InvalidRequirements as error:
        field, _, words = str(error).partition(": ")
        raise InvalidJdl(f"{ATTRIBUTES.get(field, field)}: {words}") from None
