"""What a pilot finds out about its machine."""

from pathlib import Path
from typing import Any

import pytest

from diracx_api.models.slots import Slot
from diracx_tasks.node import offer
from diracx_tasks.node.gpus import Card

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


def test_a_slot_offers_what_a_job_may_use(tmp_path: Path) -> None:
    def offered(**stated: Any) -> dict[str, Any]:
        slot = offer.Slot("s", "A", "", 1, 2000, ("mine",), tmp_path, machine={}, **stated)
        return slot.offer(slot.room().left())

    found = offered(disk_mb=7, wall_seconds=3600)
    assert (found["scratch_mb"], found["wall_time"]) == (7, 3600)
    assert found["tags"] == ["mine", "payload:jdl"]
    assert "wall_time" not in offered() and offered()["scratch_mb"] > 7
    assert Slot(**found).node().wall_time == 3600


def test_what_is_left_is_offered_beside_running_jobs(tmp_path: Path) -> None:
    cards = [Card("0", "GPU-a", 40_960, "8.0"), Card("1", "GPU-b", 24_576, "8.6")]
    slot = offer.Slot("s", "A", "", 8, 16_000, ("WholeNode", "mine"), tmp_path, machine={}, cards=cards)
    room = slot.room()
    assert "WholeNode" in slot.offer(room.left())["tags"] and slot.offer(room.left())["gpus"] == 2
    share = room.take([{"cores": 3, "ram_mb": 5000, "gpus": 1, "scratch_mb": 1}])
    left = slot.offer(room.left())
    assert (left["cores"], left["ram_mb"], left["gpus"]) == (5, 11_000, 1)
    # Nobody can have the node for himself now.
    assert "WholeNode" not in left["tags"]
    room.take([{"cores": 5, "ram_mb": 5000, "gpus": 1, "scratch_mb": 1}])
    assert slot.offer(room.left()) == {}
    room.give_back(share)
    assert slot.offer(room.left())["gpus"] == 1
    assert Slot(**slot.offer(room.left())).node().cores == 3


def test_a_node_without_free_gpus_says_nothing_of_them(tmp_path: Path) -> None:
    slot = offer.Slot("s", "A", "", 2, 2000, (), tmp_path, machine={}, cards=[Card("0", "GPU-a", 1, "8.0")])
    room = slot.room()
    room.take([{"cores": 1, "ram_mb": 1, "gpus": 1}])
    assert not [name for name in slot.offer(room.left()) if "gpu" in name or "capability" in name]


def test_a_node_for_whole_jobs_only_offers_nothing_beside_one(tmp_path: Path) -> None:
    whole = ("WholeNode",)
    slot = offer.Slot("s", "A", "", 2, 2000, whole, tmp_path, machine={}, required_tags=whole)
    room = slot.room()
    assert slot.offer(room.left())["required_tags"] == ["WholeNode"]
    room.take([{"cores": 1, "ram_mb": 1}])
    assert slot.offer(room.left()) == {}


def test_a_job_has_its_part_of_the_pilot(tmp_path: Path) -> None:
    slot = offer.Slot("s", "A", "", 4, 4000, (), tmp_path, machine={}, disk_mb=400)
    room = slot.room()
    small = slot.of_job(room.take([{"cores": 1, "ram_mb": 10}]), tmp_path / "1")
    large = slot.of_job(room.take([{"cores": 1, "ram_mb": 2000, "scratch_mb": 300}]), tmp_path / "2")
    assert (small.cores, small.ram_mb, small.disk_mb, small.gpus) == (1, 1000, 100, None)
    assert (large.cores, large.ram_mb, large.disk_mb) == (1, 2000, 300)
    assert small.work == tmp_path / "1"


def test_of_jobs_that_run_in_turn_each_sees_as_many_gpus_as_it_asked_for(tmp_path: Path) -> None:
    cards = [Card("0", "GPU-a", 4096, "8.6")]
    slot = offer.Slot("s", "A", "", 1, 1000, (), tmp_path, machine={}, cards=cards)
    jobs = [{"cores": 1, "ram_mb": 10, "gpus": gpus} for gpus in (1, 0)]
    share = slot.room().take(jobs)
    assert [slot.of_job(share, tmp_path, one["gpus"]).gpus for one in jobs] == [("GPU-a",), ()]


def test_times_are_the_shorter_ones_and_work_is_time_on_these_cores(tmp_path: Path) -> None:
    def times(wall: float | None, cpu: float | None, **stated: Any) -> dict[str, Any]:
        slot = offer.Slot("s", "A", "", 1, 2000, (), tmp_path, machine={}, **stated)
        found = slot.offer(slot.room().left(), offer.Times(wall, cpu))
        return {name: found[name] for name in ("wall_time", "cpu_time", "cpu_work") if name in found}

    assert times(None, None, cpu_power=10.0) == {}
    assert times(100, None) == {"wall_time": 100, "cpu_time": 100}
    assert times(100, 50, cpu_power=10.0) == {"wall_time": 100, "cpu_time": 50, "cpu_work": 500}
    assert times(100, 500, wall_seconds=60) == {"wall_time": 60, "cpu_time": 60}
    assert times(0, None) == {"wall_time": 0, "cpu_time": 0}
