"""Worker nodes at LHCb's sites: many like each other, and a long tail of others; always the same."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.bench.lhcb import SEED, Totals
from tests.bench.mixes import DATA, NETWORKS, SOFTWARE, SYSTEMS

V = TypeVar("V")
NODES = 20_000
HOUR = 3600
# What jobs leave of a pilot's time: DIRAC's segments, the longest mostly.
CPU_TIMES = {43200: 1, 86400: 1, 172800: 2, 259200: 4, 345600: 4, 518400: 3, 864000: 2, 1_080_000: 6}
PLATFORMS = {
    "x86_64_v4-any": 4,
    "skylake_avx512-any": 4,
    "haswell-any": 2,
    "broadwell-any": 2,
    "x86_64_v3-any": 3,
    "x86_64_v4-el9": 2,
    "ivybridge-any": 1,
}
ARM = "armv8.2_a-any"
RAM_OF_A_CORE_MB = (2000, 2048, 3000, 4000)
CORES = {1: 6, 2: 1, 4: 1, 8: 8, 16: 1, 64: 1}
MODELS_OF_A_SITE = 4
# Of a hundred nodes so many are ARM, and so many are none of the usual.
ARM_PERCENT = 4
ODD_PERCENT = 2


@dataclass(frozen=True)
class Model:
    """Nodes that a site bought at once."""

    site: str
    ce: str
    cores: int
    ram_of_a_core_mb: int
    platform: str
    tags: tuple[str, ...]


def nodes(count: int = NODES) -> list[dict[str, Any]]:
    """What so many pilots say of their nodes: fields of the matcher's `Node`."""
    chance = random.Random(SEED)
    totals = Totals().sites
    by_site = {site: [_model(chance, site, number) for number in range(MODELS_OF_A_SITE)] for site in totals}
    sites = chance.choices(list(totals), [one.jobs for one in totals.values()], k=count)
    return [_node(chance, chance.choice(by_site[site]), number) for number, site in enumerate(sites)]


def slot(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node as the match route takes it."""
    found = dict(node)
    if capability := found.pop("capability", None):
        found["compute_capability"] = f"{capability // 100}.{capability % 100}"
    return found


def description(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node as DIRAC's pilots describe theirs, which the match route takes as well."""
    return {
        "Site": node["site"],
        "GridCE": node["ce"],
        "CPUTime": node["cpu_time"],
        "NumberOfProcessors": node["cores"],
        "MaxRAM": node["ram_mb"],
        "Platform": node["platform"],
        "Tag": list(node["tags"]),
    }


def _model(chance: random.Random, site: str, number: int) -> Model:
    is_arm = chance.random() < ARM_PERCENT / 100 or (site == "LCG.CERN.cern" and number == 0)
    system = chance.choices(SYSTEMS, (1, 6, 3, 1, 1))[0]
    tags = [f"os:{system}", f"diracx:site:{site}"]
    tags += ["cvmfs:lhcb"] * (chance.random() < 0.98)
    tags += [name for name in NETWORKS if chance.random() < 0.8]
    tags += [name for name in SOFTWARE if chance.random() < 0.4]
    tags += chance.sample(DATA, 6)
    return Model(
        site,
        f"ce{number % 2 + 1:02}.{site.partition('.')[2].lower()}",
        _weighted(chance, CORES),
        chance.choice(RAM_OF_A_CORE_MB),
        ARM if is_arm else _weighted(chance, PLATFORMS),
        tuple(sorted(tags)),
    )


def _node(chance: random.Random, model: Model, number: int) -> dict[str, Any]:
    """A pilot on a node of the model: it offers what its other jobs have left."""
    free = model.cores if chance.random() < 0.7 else chance.randint(1, model.cores)
    left = _weighted(chance, CPU_TIMES)
    node = {
        "site": model.site,
        "ce": model.ce,
        "name": f"wn{number:05}",
        "cores": free,
        "ram_mb": free * model.ram_of_a_core_mb,
        "platform": model.platform,
        "cpu_time": left,
        "wall_time": left,
        "scratch_mb": 20480 * free,
        "tags": model.tags,
    }
    return node | (_odd(chance, model) if chance.random() < ODD_PERCENT / 100 else {})


def _odd(chance: random.Random, model: Model) -> dict[str, Any]:
    """One of the tail: a graphics processor, a large memory, little time, or a tag that nobody else has."""
    return chance.choice(
        (
            {"gpus": chance.choice((1, 4)), "gpu_ram_mb": 40960, "gpu_vendor": "nvidia", "capability": 806},
            {"ram_mb": chance.randint(64, 512) * 1024},
            {"cpu_time": chance.randint(1, 11) * HOUR, "wall_time": 12 * HOUR},
            {"tags": (*model.tags, f"niche:{chance.randrange(200)}")},
            {"scratch_mb": chance.randint(1, 60) * 10240},
        )
    )


def _weighted(chance: random.Random, weights: Mapping[V, int]) -> V:
    return chance.choices(list(weights), list(weights.values()))[0]
