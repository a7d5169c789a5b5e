"""What a pilot may say of the slot that it asks for, in our words and in DIRAC's."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from diracx_api.models.slots import Asking, Description, Slot
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.matching.grid import UNLIMITED
from diracx_tasks.matching.node import Node

asking: TypeAdapter[Slot | Description] = TypeAdapter(Asking)
SLOT = {"stamp": "s1", "site": "LCG.CERN.ch", "cores": 8, "ram_mb": 16_000}
# What a slot and a node say in the same words.
SAME: dict[str, Any] = {
    "ce": "ce1",
    "platform": "p",
    "system": "Linux",
    "user_namespaces": True,
    "wall_time": 1,
    "cpu_time": 2,
    "cpu_work": 3,
    "architecture": "x86_64",
    "level": 3,
    "gpus": 1,
    "gpu_ram_mb": 4,
    "scratch_mb": 5,
    "lan_mbits": 6,
    "owner": "alice",
}
LISTS: dict[str, Any] = {"tags": ["b", "a"], "required_tags": ["b"], "job_types": ["Test"], "groups": ["g"]}
# With one more they are longer than the names of a slot may be.
LONG = [f"{number:03}{'x' * 252}" for number in range(64)]
DIRAC = {"Site": "LCG.CERN.ch", "CPUTime": 100_000, "NumberOfProcessors": 8, "MaxRAM": 16_000}


def node(**body: Any) -> Node:
    return asking.validate_python(body).node()


def test_a_slot_that_says_little_is_a_node_of_which_little_is_known() -> None:
    assert node(**SLOT) == Node("LCG.CERN.ch", cores=8, ram_mb=16_000)


def test_everything_that_a_slot_says_is_known_of_the_node() -> None:
    lists: dict[str, Any] = {name: tuple(sorted(value)) for name, value in LISTS.items()}
    special: dict[str, Any] = {"glibc": 2034, "capability": 806, "gpu_vendor": "nvidia"}
    assert node(**SLOT, **SAME, **LISTS, glibc="2.34", compute_capability="8.6", gpu_vendor="NVIDIA") == Node(
        "LCG.CERN.ch", cores=8, ram_mb=16_000, **SAME, **lists, **special
    )


def test_the_host_and_the_queue_are_known_of_the_node() -> None:
    found = node(**SLOT, name="wn1", queue="long")
    assert (found.name, found.queue) == ("wn1", "long")


def test_what_a_dirac_pilot_sends_is_understood_whatever_its_computing_element_says_besides() -> None:
    sent = {**DIRAC, "Tag": "GPU,Big", "WholeNode": True, "JobType": "Test", "NumberOfGPUs": 2}
    found = node(**sent, CEType="HTCondorCE", WaitingToRunningRatio=0.5, PilotBenchmark=14.2, LocalSE=["x"])
    assert found == Node(
        "LCG.CERN.ch",
        cores=8,
        ram_mb=16_000,
        cpu_time=100_000,
        gpus=2,
        tags=("Big", "GPU", "WholeNode"),
        job_types=("Test",),
    )
    assert found.terms()["has"]["wall_time"] == UNLIMITED


def test_numbers_of_a_dirac_pilot_may_be_texts() -> None:
    assert node(Site="A", CPUTime="100", NumberOfProcessors="2", MaxRAM="2000").cores == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {**SLOT, "glibc": "new"},
        {**SLOT, "compute_capability": 8.6},
        {**SLOT, "wall_time": -1},
        {**SLOT, "gpus": None},
        {**SLOT, "tags": ["x" * 256]},
        {**SLOT, "groups": "g"},
        {**SLOT, "cpu_work": 2**53},
        {"stamp": "s1", "cores": 1, "ram_mb": 1},
        {"Site": "A"},
        {**DIRAC, "CPUTime": "long"},
        {**DIRAC, "Site": ""},
        {**DIRAC, "Tag": {"a": 1}},
        {**DIRAC, "Tag": ["x"] * 1001},
        {**SLOT, "site": ""},
        {**SLOT, "site": "\ud800"},
        {**SLOT, "tags": ["\ud800"]},
        {**SLOT, "tags": LONG, "required_tags": LONG[:1]},
        {**SLOT, "tags": ["é" * 255] * 33},
        {**SLOT, "job_types": LONG, "groups": LONG[:1]},
        {**DIRAC, "Tag": LONG, "RequiredTag": LONG[:1]},
        {**DIRAC, "Tag": LONG, "RequiredTag": LONG[0]},
        {**DIRAC, "JobType": LONG, "OwnerGroup": LONG[:1]},
        [],
        None,
        "Site",
    ],
    ids=range(25),
)
def test_a_malformed_slot_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        asking.validate_python(wrong)


def test_names_of_a_slot_are_16_kb_at_most_and_fewer_are_told_apart() -> None:
    assert len(node(**SLOT, tags=LONG).tags) == len(node(**DIRAC, Tag=LONG).tags) == 64
    with pytest.raises(ValidationError, match="have 16575 bytes, 16384 are the most"):
        asking.validate_python({**SLOT, "tags": LONG, "required_tags": LONG[:1]})


def test_a_complaint_is_about_the_body_that_was_meant() -> None:
    with pytest.raises(ValidationError) as caught:
        asking.validate_python({**SLOT, "cores": 0})
    assert [error["loc"] for error in caught.value.errors()] == [("slot", "cores")]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({**SLOT, "required_tags": ["GPU"]}, "requires tags that it does not offer: GPU"),
        ({**DIRAC, "RequiredTag": "GPU"}, "requires tags that it does not offer: GPU"),
        ({**DIRAC, "JobID": 17}, "JobID: a pilot gets the job whose turn it is"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_in_words(body: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        node(**body)
