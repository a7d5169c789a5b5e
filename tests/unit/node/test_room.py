"""What jobs have of a pilot beside each other, and which one goes when it is too much."""

from diracx_tasks.node.room import Room


def a_job(cores: int = 1, ram_mb: int = 0, **more: int) -> dict[str, int]:
    """What the server says of a job."""
    return {"cores": cores, "ram_mb": ram_mb, **more}


def test_what_was_taken_is_left_again_once_it_is_given_back() -> None:
    room = Room(4, 4000, ["a", "b"], 100)
    first = room.take([a_job(3, 1000, gpus=1, scratch_mb=40)])
    assert room.left() == (1, 3000, 1, 60, False)
    second = room.take([a_job(1, 3000, gpus=1, scratch_mb=60)])
    assert room.left() == (0, 0, 0, 0, False)
    assert {*first.gpus, *second.gpus} == {"a", "b"}
    room.give_back(first)
    room.give_back(second)
    assert room.left() == (4, 4000, 2, 100, True)


def test_jobs_that_run_in_turn_have_the_most_that_one_of_them_needs() -> None:
    share = Room(4, 4000, ["a"]).take([a_job(1, 500), a_job(2, 100, gpus=1)])
    assert (share.cores, share.ram_mb, share.gpus) == (2, 500, ("a",))


def test_more_than_there_is_leaves_nothing() -> None:
    room = Room(1, 100)
    room.take([a_job(2, 500)])
    assert room.left() == (0, 0, 0, 0, False)


def test_a_job_may_use_its_cores_part_of_the_memory_or_what_it_asked_for() -> None:
    room = Room(4, 4000)
    assert [room.take([a_job(1, asked)]).most_ram_mb for asked in (10, 2000)] == [1000, 2000]


def test_when_memory_is_short_the_job_that_is_furthest_above_what_it_asked_for_goes() -> None:
    room = Room(4, 1000)
    modest, greedy, large = (room.take([a_job(1, asked)]) for asked in (200, 100, 600))
    assert large.crowding(590) == "" and modest.crowding(210) == ""
    # Together it is as much as there is.
    assert greedy.crowding(200) == ""
    words = "it used 240.0 MB of memory and has asked for 100; all jobs of the pilot used 1040.0, 1000 may"
    assert greedy.crowding(240) == f"{words} be used"
    assert modest.crowding(210) == "" and large.crowding(590) == ""
    room.give_back(greedy)
    assert modest.crowding(390) == ""


def test_cores_without_a_job_are_idle() -> None:
    room = Room(2, 100)
    share = room.take([a_job(2)])
    idle = room.idle_seconds()
    for _ in range(1000):
        assert room.idle_seconds() <= idle + 1e-6
    room.give_back(share)
    after = room.idle_seconds()
    while room.idle_seconds() == after:
        pass
    assert room.idle_seconds() > after
