"""What a pilot finds out about its machine."""

from pathlib import Path
from typing import Any

import pytest

from diracx_api.models.slots import Slot
from diracx_tasks.node import offer

V2 = offer.LEVELS[0].split()
V3 = V2 + offer.LEVELS[1].split()
V4 = V3 + offer.LEVELS[2].split()


def test_what_is_found_is_what_a_match_request_takes(tmp_path: Path) -> None:
    found = {**offer.machine(), "scratch_mb": offer.free_space(tmp_path)}
    slot = Slot(stamp="s", site="A", cores=1, ram_mb=2000, **found)
    node = slot.node()
    assert set(found) <= set(Slot.model_fields)
    assert (node.system, node.name) == ("Linux", found["name"])
    assert 2000 <= (node.glibc or 0) < 3000
    assert (node.scratch_mb or 0) > 0


@pytest.mark.parametrize(
    ("flags", "level"), [([], 1), (V2, 2), (V2[1:], 1), (V3, 3), (V3[:-1], 2), (V4, 4), (V4[1:], 1)]
)
def test_the_level_is_the_highest_of_which_every_feature_is_there(flags: list[str], level: int) -> None:
    assert offer.level({*flags, "fpu"}) == level


@pytest.mark.parametrize(
    ("listed", "fields"),
    [
        ("", {}),
        ("NVIDIA-SMI has failed\n", {}),
        ("81559, 9.0\n", {"gpus": 1, "gpu_ram_mb": 81_559, "compute_capability": "9.0"}),
        ("40960, 10.0\n16384, 8.6\n", {"gpus": 2, "gpu_ram_mb": 16_384, "compute_capability": "8.6"}),
    ],
)
def test_gpus_are_counted_and_of_several_the_least_is_said(listed: str, fields: dict[str, Any]) -> None:
    assert offer.gpus(listed) == ({**fields, "gpu_vendor": "nvidia"} if fields else {})


def test_a_machine_with_gpus_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '24576, 8.9'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert offer.machine()["gpus"] == 1


def test_a_machine_without_the_tools_has_neither_gpus_nor_namespaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = offer.machine()
    assert "gpus" not in found and "user_namespaces" not in found


def test_a_slot_offers_what_a_job_may_use(tmp_path: Path) -> None:
    def offered(**stated: Any) -> dict[str, Any]:
        return offer.Slot("s", "A", "", 1, 2000, ("mine",), tmp_path, machine={}, **stated).offer()

    found = offered(disk_mb=7, wall_seconds=3600)
    assert (found["scratch_mb"], found["wall_time"]) == (7, 3600)
    assert found["tags"] == ["mine", "payload:jdl"]
    assert "wall_time" not in offered() and offered()["scratch_mb"] > 7
    assert Slot(**found).node().wall_time == 3600
