"""Requirements as typed alternatives: what they mean, their normal form, and what is wrong with them."""

import random
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.matching import grid
from diracx_tasks.matching.node import Node, node_of
from diracx_tasks.matching.specification import (
    InvalidRequirements,
    Specification,
    from_json,
    needs_json,
    specifications,
)
from tests.unit.matching.asked import nodes, plain_records, plainly_fits, records
from tests.unit.matching.offered import fits, unmet

DIMENSIONS = [
    "ram",
    "ram_per_core",
    "gpu_ram",
    "scratch",
    "lan",
    "wall_time",
    "cpu_time",
    "cpu_work",
    "cores",
]


def one(**record: Any) -> Specification:
    """The only alternative of a record."""
    (found,) = specifications(record)
    return found


def some(prefix: str, count: int) -> list[str]:
    """So many different names."""
    return [f"{prefix}{number}" for number in range(count)]


def a_node(**values: Any) -> Node:
    return node_of(**{"site": "LCG.CERN.ch", "cores": 8, "ram_mb": 16000, **values})


@given(plain_records, nodes)
def test_a_node_fits_when_every_condition_of_the_record_holds(record: dict[str, Any], node: Node) -> None:
    assert fits(one(**record), node) == plainly_fits(record, node)


@given(records, nodes)
def test_any_alternative_laid_over_the_record_will_do(record: dict[str, Any], node: Node) -> None:
    others = record.get("alternatives", [{}])
    found = any(fits(spec, node) for spec in specifications(record))
    assert found == any(plainly_fits({**record, **other}, node) for other in others)


@given(records)
def test_what_is_stored_of_requirements_is_read_back_the_same(record: dict[str, Any]) -> None:
    specs = specifications(record)
    text = needs_json(specs)
    assert from_json(text) == specs
    assert needs_json(reversed(specs)) == text == needs_json(from_json(text))
    assert 1 <= len(specs) <= 8


@given(records, st.randoms())
def test_the_order_of_lists_and_fields_makes_no_difference(
    record: dict[str, Any], luck: random.Random
) -> None:
    def mixed(value: Any) -> Any:
        if isinstance(value, dict):
            return dict(luck.sample([(name, mixed(inner)) for name, inner in value.items()], len(value)))
        return (
            luck.sample([mixed(inner) for inner in value], len(value)) if isinstance(value, list) else value
        )

    assert needs_json(specifications(mixed(record))) == needs_json(specifications(record))


@given(st.sampled_from(DIMENSIONS), st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_number_of_the_grid_is_met_by_what_offers_as_much(dimension: str, asked: int, offered: int) -> None:
    up, down = grid.up(dimension, asked), grid.down(dimension, offered)
    assert up >= asked and down <= offered
    assert grid.up(dimension, up) == up == grid.down(dimension, up)
    assert grid.down(dimension, down) == down == grid.up(dimension, down)
    assert (up <= down) == (up <= offered)


@given(st.sampled_from(DIMENSIONS), st.integers(1, 10**7))
def test_little_is_lost_on_the_grid(dimension: str, asked: int) -> None:
    assert grid.up(dimension, asked) - asked < max(256, asked / 6)


@pytest.mark.parametrize("seconds", [*grid.SEGMENTS, 129_600, 604_800, 36_000, 5400])
def test_usual_times_and_sizes_are_on_the_grid(seconds: int) -> None:
    assert grid.up("cpu_time", seconds) == grid.up("wall_time", seconds) == seconds
    for size in (2000, 2048, 3000, 4096, 16_384, 32_000, 512_000):
        assert grid.up("ram", size) == size
    assert grid.up("scratch", 20_480) == grid.down("scratch", 20_480) == 20_480


@pytest.mark.parametrize(
    ("seconds", "segment"), [(1, 360), (360, 360), (361, 1800), (86_400, 86_400), (9_999_999, 1_080_000)]
)
def test_cpu_time_goes_up_to_a_segment_and_down_to_the_last(seconds: int, segment: int) -> None:
    assert grid.segment(seconds) == segment
    assert grid.segment(seconds, [500, 100]) == (100 if seconds <= 100 else 500)


def test_memory_is_the_constant_part_and_that_of_the_cores() -> None:
    spec = one(cores=4, max_cores=16, ram_mb=1000, ram_per_core_mb=2000)
    assert spec.terms()["least"] == {"cores": 4, "ram": 9000}
    assert one(cores=4, ram_per_core_mb=2000).ram == 8000


@pytest.mark.parametrize(
    "tags", [["4Processors"], ["MultiProcessor", "4Processors"], "4Processors & a | a & 4Processors"]
)
def test_tags_of_processors_are_cores(tags: Any) -> None:
    spec = one(tags=tags)
    assert spec.cores == 4
    assert not fits(spec, a_node(cores=2, tags=["4Processors", "a"]))
    assert fits(spec, a_node(cores=4, tags=["a"]))
    assert {"4Processors", "MultiProcessor"} <= set(spec.terms()["demands"])


def test_equal_requirements_are_equal_however_they_are_stated() -> None:
    assert specifications({"cores": 4, "ram_mb": 1990}) == specifications(
        {"cores": 1, "tags": ["4Processors", "MultiProcessor"], "ram_mb": 2000, "priority": 9, "max_cores": 4}
    )
    assert specifications({"sites": ["B", "A", "C"], "banned_sites": ["C", "D"]}) == specifications(
        {"sites": "A, B"}
    )
    assert specifications({"sites": ["ANY", "B"]}) == specifications({}) == (Specification(),)
    assert (
        specifications({"tags": "a & b"})
        == specifications({"tags": ["b", "a"]})
        == specifications({"tags": "a,b"})
    )
    assert specifications({"platform": "p"}) == specifications({"platforms": ["p", "p"], "platform": "q"})
    assert specifications({"alternatives": [{"cores": 2}, {"cores": 2, "ram_mb": 200}]}) == specifications(
        {"cores": 2}
    )


@pytest.mark.parametrize(
    ("limits", "fitting"),
    [({"min": "8.6"}, ["8.6", "9.0", "12.0"]), ({"max": 9}, ["7.5", "8.6", "9.0"]), ("9.0", ["9.0", "12.0"])],
)
def test_capabilities_lie_between_their_limits(limits: Any, fitting: list[str]) -> None:
    spec = one(gpu={"compute_capability": limits})
    numbers = {"7.5": 705, "8.6": 806, "9.0": 900, "12.0": 1200}
    found = [text for text, number in numbers.items() if fits(spec, a_node(gpus=1, capability=number))]
    assert found == fitting
    assert not fits(spec, a_node(gpus=1)) and not fits(spec, a_node(capability=900))


def test_every_miss_is_named_with_what_is_wanted_and_what_is_offered() -> None:
    spec = one(
        cores=16,
        sites=["B", "A"],
        cpu_time=90_000,
        tags="x & ~GPU",
        architecture={"level": {"min": 2, "max": 2}},
        io={"scratch_mb": 5000},
    )
    node = a_node(cpu_time=3600, tags=["GPU"], level=3, required_tags=["GPU"])
    assert unmet(spec, node) == [
        ("site", ["A", "B"], "LCG.CERN.ch"),
        ("cores", 16, 8),
        ("cpu_time", 90_000, 3600),
        ("level_max", -2, -3),
        ("scratch", 5000, None),
        ("tags", "x", ["GPU", "MultiProcessor"]),
        ("tags", "~GPU", ["GPU", "MultiProcessor"]),
        ("required_tags", ["16Processors", "MultiProcessor", "x"], ["GPU"]),
    ]
    assert unmet(one(banned_sites=["LCG.CERN.ch"]), a_node()) == [
        ("banned_site", ["LCG.CERN.ch"], "LCG.CERN.ch")
    ]
    assert unmet(one(), a_node(owner="bob")) == [
        ("only", ["type User", "group lhcb_user", "owner alice"], ["owner bob"])
    ]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"cores": "4"}, "cores: '4' is no whole number between 1 and 1000000"),
        ({"cores": 0}, "cores: '0' is no whole number"),
        ({"cores": True}, "cores: 'True' is no whole number"),
        ({"cores": 4, "max_cores": 2}, "max_cores: 2 is less than cores, 4"),
        ({"ram_mb": -1}, "ram_mb: '-1' is no whole number between 0 and 1000000000000"),
        ({"wall_time": 1.5}, "wall_time: '1.5' is no whole number"),
        ({"sites": ["A"], "banned_sites": ["A"]}, "sites: banned_sites leave none of A"),
        ({"sites": [1]}, "sites: this is not a list of names"),
        ({"sites": ["x"] * 1001}, "sites: 100 names are the most, not 1001"),
        ({"sites": some("s", 101)}, "sites: 100 names are the most, not 101"),
        ({"banned_sites": ",".join(some("s", 101))}, "banned_sites: 100 names are the most, not 101"),
        ({"grid_ces": some("ce", 101)}, "grid_ces: 100 names are the most, not 101"),
        ({"platforms": some("p", 201)}, "platforms: 200 names are the most, not 201"),
        ({"alternatives": [{}, {"sites": some("s", 101)}]}, "sites: 100 names are the most, not 101"),
        ({"tags": [f"a | b{n}" for n in range(65)]}, "tags: 64 expressions are the most, not 65"),
        ({"sites": ["A\x07"]}, r"sites: 'A\x07' has the character '\x07', which no name has"),
        ({"platform": "el9\x85"}, r"platform: 'el9\x85' has the character '\x85', which no name has"),
        ({"gpu": {"vendor": "a\nb"}}, r"gpu.vendor: 'a\nb' has the character '\n', which no name has"),
        ({"platform": 7}, "platform: this is not a name"),
        ({"tags": ["a", "b &"]}, "tags: column 4: the end instead of a tag"),
        ({"tags": "a | 4Processors"}, "tags: 4Processors | a: state a choice between cores in alternatives"),
        ({"tags": [f"t{n}" for n in range(257)]}, "tags: 256 tags are the most, not 257"),
        ({"system": "Linux"}, "system: 'Linux' is no mapping"),
        ({"system": {"glibc": 2.3}}, "system.glibc: 2.3 is a number: write the version in quotes"),
        ({"system": {"glibc": "new"}}, "system.glibc: 'new' is no version such as 2.34"),
        ({"system": {"user_namespaces": "yes"}}, "system.user_namespaces: 'yes' is neither true nor false"),
        ({"architecture": {"level": {"min": 3, "max": 2}}}, "architecture.level: max is less than min"),
        ({"gpu": {"count": {"min": "one"}}}, "gpu.count.min: 'one' is no whole number"),
        ({"gpu": {"compute_capability": {"min": "x"}}}, "gpu.compute_capability.min: 'x' is no version"),
        ({"gpu": {"vendor": ["a"]}}, "gpu.vendor: "),
        ({"alternatives": {}}, None),
        ({"alternatives": "x"}, "alternatives: this is not a list of requirements"),
        ({"alternatives": [{}] * 9}, "alternatives: 9, 8 are the most"),
        ({"alternatives": [{"cores": 0}]}, "cores: '0' is no whole number"),
        ({"ram_mb": 2**70}, "the requirements are no JSON"),
        ({"sites": ["\ud800"]}, "the requirements are no JSON"),
        ({"cores": 10**6 + 1}, "cores: '1000001' is no whole number between 1 and 1000000"),
        ({"max_cores": 10**6 + 1}, "max_cores: '1000001' is no whole number between 1 and 1000000"),
        ({"gpu": {"count": 10**6 + 1}}, "gpu.count: '1000001' is no whole number between 0 and 1000000"),
        ({"gpu": {"count": {"max": 10**7}}}, "gpu.count.max: '10000000' is no whole number between 0 and"),
        ({"cpu_work": 10**13}, "cpu_work: '10000000000000' is no whole number between 0 and 1000000000000"),
        (
            {"cores": 10**6, "ram_per_core_mb": 10**12},
            "ram_per_core_mb: 1000000000000000000 MB for 1000000 cores, 1000000000000 are the most",
        ),
        (
            {"tags": "8Processors", "ram_mb": 1, "ram_per_core_mb": 125 * 10**9},
            "ram_per_core_mb: 1000000000001 MB for 8 cores, 1000000000000 are the most",
        ),
    ],
)
def test_a_malformed_record_is_refused_by_its_field(record: dict[str, Any], words: str | None) -> None:
    if words is None:
        assert specifications(record) == (Specification(),)
        return
    with pytest.raises(InvalidRequirements, match=re.escape(words)):
        specifications(record)


def test_as_many_names_and_as_large_numbers_as_are_allowed_are_read_and_exact_in_a_double() -> None:
    names: dict[str, Any] = {"sites": some("s", 100) * 2, "grid_ces": some("ce", 100)}
    names |= {"platforms": some("p", 200), "tags": [*some("t", 128), *(f"a{n} | b{n}" for n in range(64))]}
    most = {name: 10**12 for name in ("wall_time", "cpu_time", "cpu_work")}
    spec = one(
        **names,
        **most,
        cores=10**6,
        max_cores=10**6,
        ram_per_core_mb=10**6,
        gpu={"count": 10**6, "ram_mb": 10**12},
        io={"scratch_mb": 10**12, "lan_mbits": 10**12},
        architecture={"level": 10**12},
    )
    least = spec.terms()["least"]
    assert len(least) == 10 and all(10**6 <= value < 2**53 for value in least.values())
    assert len(spec.sites) == 100 and from_json(needs_json([spec])) == (spec,)
    assert len(one(banned_sites=some("s", 100)).banned_sites) == 100


anything = st.lists(st.one_of(st.text(), st.sampled_from(["a\ud800", "b\x7f"])), max_size=3)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("sites", "grid_ces", "platforms"), anything)))
def test_any_names_can_be_stored_and_shown_or_are_refused(record: dict[str, Any]) -> None:
    try:
        (spec,) = specifications(record)
    except InvalidRequirements as error:
        assert str(error).encode()
    else:
        text = "".join((*spec.sites, *spec.grid_ces, *spec.platforms))
        assert "Cc" not in map(unicodedata.category, text)
        assert from_json(needs_json([spec])) == (spec,)
