"""What nodes offer: their terms, their kind, and what is wrong with them."""

import json
from typing import Any

import pytest
from hypothesis import given

from diracx_tasks.core.errors import BadRequest
from diracx_tasks.matching.grid import UNLIMITED
from diracx_tasks.matching.node import Node, node_of
from tests.unit.matching.asked import nodes


def a_node(**values: Any) -> Node:
    return node_of(**{"site": "LCG.CERN.ch", "cores": 8, "ram_mb": 16_000, **values})


def test_what_is_not_known_of_a_node_is_not_among_its_terms() -> None:
    assert node_of(site="A", cores=1, ram_mb=2000).terms() == {
        "is": {"site": "A"},
        "has": {
            "cores": 1,
            "ram": 2000,
            "wall_time": UNLIMITED,
            "cpu_time": UNLIMITED,
            "cpu_work": UNLIMITED,
        },
        "tags": [],
        "requires": [],
        "only": {},
    }


def test_names_that_are_known_of_a_node_are_among_its_terms() -> None:
    node = a_node(ce="ce1", platform="p", system="Linux", architecture="x86_64", gpu_vendor="NVIDIA")
    assert node.terms()["is"] == {
        "site": "LCG.CERN.ch",
        "ce": "ce1",
        "platform": "p",
        "system": "Linux",
        "architecture": "x86_64",
        "gpu_vendor": "nvidia",
    }


def test_numbers_that_are_known_of_a_node_are_among_its_terms_down_on_the_grid() -> None:
    node = a_node(
        glibc=2034,
        user_namespaces=True,
        wall_time=86_401,
        cpu_time=100_000,
        cpu_work=123_456,
        level=3,
        gpus=2,
        gpu_ram_mb=81_559,
        capability=806,
        scratch_mb=20_999,
        lan_mbits=1234,
    )
    assert node.terms()["has"] == {
        "cores": 8,
        "ram": 16_000,
        "wall_time": 86_400,
        "cpu_time": 97_200,
        "cpu_work": 120_000,
        "glibc": 2034,
        "user_namespaces": 1,
        "level": 3,
        "level_max": -3,
        "capability": 806,
        "capability_max": -806,
        "gpus": 2,
        "gpu_ram": 81_500,
        "scratch": 20_480,
        "lan": 1200,
    }


def test_tags_and_whose_jobs_a_node_takes_are_among_its_terms() -> None:
    tags = ["b", "a", "b", "8Processors"]
    terms = a_node(tags=tags, required_tags=["b"], job_types=["Test"], groups=[], owner="alice").terms()
    assert terms["tags"] == ["MultiProcessor", "a", "b"]
    assert terms["requires"] == ["b"]
    assert terms["only"] == {"type": ["Test"], "group": [], "owner": ["alice"]}


@given(nodes, nodes)
def test_nodes_are_of_one_kind_when_they_offer_the_same(one: Node, other: Node) -> None:
    assert (one.kind() == other.kind()) == (one.terms() == other.terms())
    name, text = one.kind()
    assert json.loads(text) == one.terms()
    assert len(name) == 32


def test_hosts_and_queues_and_a_little_more_memory_make_no_other_kind() -> None:
    kind = a_node(name="wn1", queue="long").kind()
    assert a_node(name="wn2").kind() == kind
    assert a_node(ram_mb=16_100).kind() == kind != a_node(ram_mb=17_000).kind()


def test_a_node_may_require_only_tags_that_it_offers() -> None:
    a_node(required_tags=["MultiProcessor", "8Processors"])
    with pytest.raises(BadRequest, match="requires tags that it does not offer: 9Processors, x"):
        a_node(required_tags=["x", "9Processors"])
    with pytest.raises(BadRequest, match="does not offer: MultiProcessor"):
        a_node(cores=1, required_tags=["MultiProcessor"])
