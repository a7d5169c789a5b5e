"""Requirements and nodes of every kind for hypothesis, and in a few lines of Python whether they fit."""

from typing import Any

from hypothesis import strategies as st

from diracx_tasks.matching import grid
from diracx_tasks.matching.node import Node, node_of
from diracx_tasks.matching.tags import holds, parse

SITES = ["LCG.CERN.ch", "LCG.RAL.uk", "DIRAC.Local.here"]
CES = ["ce01", "ce02"]
PLATFORMS = ["x86_64-el9", "x86_64-el8", "arm"]
TAGS = ["cvmfs:lhcb", "GPU", "os:el9", "payload:jdl", "MultiProcessor", "WholeNode"]
EXPRESSIONS = [*TAGS, "~GPU", "GPU | os:el9", "cvmfs:lhcb & ~(GPU | os:el9)", "2Processors", "8Processors"]
NUMBERS = st.sampled_from([1, 2, 8, 100, 500, 512, 999, 2000, 2048, 3600, 16000, 86400, 100_001, 1_000_000])
VERSIONS = st.sampled_from(["2.17", "2.28", "2.34"])
CAPABILITIES = st.sampled_from(["7.0", "8.6", 9])


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A value, or None, more often than not."""
    return st.one_of(st.none(), st.none(), values)


def some(names: list[str], most: int = 2) -> st.SearchStrategy[list[str]]:
    """A few names, or none."""
    return st.lists(st.sampled_from(names), max_size=most)


def between(low: st.SearchStrategy[Any], high: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Limits of which either may be missing."""
    return st.fixed_dictionaries({}, optional={"min": low, "max": high})


GPUS = {
    "count": between(st.integers(0, 2), st.integers(2, 4)),
    "ram_mb": NUMBERS,
    "vendor": st.sampled_from(["nvidia", "AMD"]),
    "compute_capability": between(st.just("8.6"), st.sampled_from(["8.6", 9])),
}
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "cores": st.sampled_from([1, 2, 4, 8]),
    "max_cores": st.sampled_from([8, 16]),
    "ram_mb": NUMBERS,
    "ram_per_core_mb": st.sampled_from([100, 1000, 2000]),
    "sites": some(SITES),
    "banned_sites": some(SITES[2:], 1),
    "grid_ces": some(CES),
    "platforms": some(PLATFORMS),
    "tags": some(EXPRESSIONS, 3),
    "wall_time": NUMBERS,
    "cpu_time": NUMBERS,
    "cpu_work": NUMBERS,
    "system": st.fixed_dictionaries(
        {}, optional={"name": st.just("Linux"), "glibc": VERSIONS, "user_namespaces": st.booleans()}
    ),
    "architecture": st.fixed_dictionaries(
        {}, optional={"name": st.just("x86_64"), "level": between(st.integers(1, 2), st.integers(2, 4))}
    ),
    "gpu": st.fixed_dictionaries({}, optional=GPUS),
    "io": st.fixed_dictionaries({}, optional={"scratch_mb": NUMBERS, "lan_mbits": NUMBERS}),
}
PRIVATE = {"sites": st.sampled_from([[SITES[0]], SITES[:2]])}
plain_records = st.fixed_dictionaries({}, optional={**FIELDS, **PRIVATE})
records = st.one_of(
    plain_records,
    st.builds(
        lambda record, others: {**record, "alternatives": others},
        plain_records,
        st.lists(plain_records, min_size=1, max_size=3),
    ),
)
nodes = st.builds(
    node_of,
    site=st.sampled_from(SITES),
    ce=st.sampled_from(["", *CES]),
    cores=st.sampled_from([1, 2, 8, 16]),
    ram_mb=st.sampled_from([256, 2000, 4095, 16000, 64000, None]),
    platform=maybe(st.sampled_from(PLATFORMS)),
    system=maybe(st.just("Linux")),
    glibc=maybe(st.sampled_from([2017, 2034])),
    user_namespaces=st.booleans(),
    wall_time=maybe(NUMBERS),
    cpu_time=maybe(NUMBERS),
    cpu_work=maybe(NUMBERS),
    architecture=maybe(st.just("x86_64")),
    level=maybe(st.integers(1, 4)),
    gpus=st.integers(0, 2),
    gpu_ram_mb=maybe(NUMBERS),
    gpu_vendor=maybe(st.sampled_from(["nvidia", "amd"])),
    capability=maybe(st.sampled_from([700, 806, 900])),
    scratch_mb=maybe(NUMBERS),
    lan_mbits=maybe(NUMBERS),
    tags=some(TAGS, 4),
)


def plainly_fits(record: dict[str, Any], node: Node) -> bool:
    """What a record without alternatives means, read from the record and the node as they were stated."""
    return _numbers(record, node) and _names(record, node) and _machine(record, node) and _gpu(record, node)


def _enough(asked: int | None, offered: int | None, dimension: str) -> bool:
    if not asked:
        return True
    return offered is not None and grid.up(dimension, asked) <= grid.down(dimension, offered)


def _numbers(record: dict[str, Any], node: Node) -> bool:
    cores = max(record.get("cores", 1), _cores_of_tags(record.get("tags", [])))
    per_core = grid.up("ram_per_core", record.get("ram_per_core_mb", 0))
    ram = grid.up("ram", record.get("ram_mb", 0 if per_core else 256)) + per_core * cores
    io = record.get("io", {})
    times = ("wall_time", "cpu_time", "cpu_work")
    return (
        cores <= node.cores
        and (node.ram_mb is None or _enough(ram, node.ram_mb, "ram"))
        and all(getattr(node, x) is None or _enough(record.get(x), getattr(node, x), x) for x in times)
        and _enough(io.get("scratch_mb"), node.scratch_mb, "scratch")
        and _enough(io.get("lan_mbits"), node.lan_mbits, "lan")
    )


def _cores_of_tags(tags: list[str]) -> int:
    known = {"MultiProcessor": 2, "2Processors": 2, "8Processors": 8}
    return max([known.get(tag, 1) for tag in tags], default=1)


def _names(record: dict[str, Any], node: Node) -> bool:
    counted = {f"{n}Processors" for n in range(1, node.cores + 1)}
    offered = {*node.tags, *counted, *(["MultiProcessor"] if node.cores > 1 else [])}
    left = [site for site in record.get("sites", []) if site not in record.get("banned_sites", [])]
    return (
        (not left or node.site in left)
        and node.site not in record.get("banned_sites", [])
        and (not record.get("grid_ces") or node.ce in record["grid_ces"])
        and (not record.get("platforms") or node.platform in record["platforms"])
        and all(holds(parse(tag), offered) for tag in record.get("tags", []))
    )


def _machine(record: dict[str, Any], node: Node) -> bool:
    system, architecture = record.get("system", {}), record.get("architecture", {})
    return (
        system.get("name") in (None, node.system)
        and ("glibc" not in system or (node.glibc or 0) >= _number(system["glibc"], 1000))
        and (not system.get("user_namespaces") or node.user_namespaces)
        and architecture.get("name") in (None, node.architecture)
        and _inside(architecture.get("level", {}), node.level)
    )


def _gpu(record: dict[str, Any], node: Node) -> bool:
    gpu = record.get("gpu") or {"count": {"min": 0}}
    least = gpu.get("count", {}).get("min", 1)
    capability = {name: _number(value, 100) for name, value in gpu.get("compute_capability", {}).items()}
    return least == 0 or (
        least <= node.gpus
        and _enough(gpu.get("ram_mb"), node.gpu_ram_mb, "gpu_ram")
        and ("vendor" not in gpu or gpu["vendor"].lower() == node.gpu_vendor)
        and _inside(capability, node.capability)
    )


def _number(version: Any, unit: int) -> int:
    whole, _, rest = str(version).partition(".")
    return int(whole) * unit + int(rest or 0)


def _inside(limits: dict[str, int], value: int | None) -> bool:
    if not limits:
        return True
    return value is not None and limits.get("min", 0) <= value <= limits.get("max", 10**9)
