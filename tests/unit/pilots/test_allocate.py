"""Waiting jobs are spread over queues once, whatever the number of queues that fit them."""

from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.pilots.allocate import Room, Want, fair
from diracx_tasks.pilots.allocate import allocate as allocation


def allocate(wants: list[Want], rooms: list[Room]) -> list[int]:
    return allocation(wants, rooms).new


def free(*rooms: int) -> list[Room]:
    return [Room(0, room, 300.0) for room in rooms]


def everywhere(jobs: int, queues: int, *, group: str = "user", at_once: int = 1) -> Want:
    return Want(group, float(jobs), dict.fromkeys(range(queues), at_once))


def test_ten_jobs_that_fit_a_hundred_queues_get_ten_pilots() -> None:
    assert sum(allocate([everywhere(10, 100)], free(*[100] * 100))) == 10


def test_jobs_for_which_pilots_are_to_come_get_no_others() -> None:
    rooms = [Room(4, 100, 300.0), Room(3, 100, 300.0)]
    assert allocate([everywhere(10, 2)], rooms) == [3, 0]
    assert allocate([everywhere(7, 2)], rooms) == [0, 0]


def test_jobs_that_running_pilots_take_in_turn_get_no_others() -> None:
    rooms = [Room(0, 100, 300.0, turns=0.5, slots=8)]
    assert allocate([everywhere(4, 1, at_once=8)], rooms) == [0]
    assert allocate([everywhere(5, 1, at_once=8)], rooms) == [1]


def test_a_job_that_needs_a_whole_pilot_does_not_count_on_slots_that_come_free_one_by_one() -> None:
    wide = Want("user", 1.0, {0: 1})
    rooms = [Room(0, 100, 300.0, turns=37.5, slots=8)]
    assert allocate([wide, everywhere(300, 1, at_once=8)], rooms) == [1]
    assert allocate([wide], [Room(1, 100, 300.0, turns=37.5, slots=8)]) == [0]


def test_a_queue_that_starts_pilots_fast_is_taken_first() -> None:
    rooms = [Room(0, 5, 900.0), Room(0, 5, 30.0), Room(0, 5, 300.0)]
    assert allocate([everywhere(7, 3)], rooms) == [0, 5, 2]


def test_eight_jobs_of_one_core_share_a_pilot_with_eight() -> None:
    assert allocate([everywhere(9, 1, at_once=8)], free(10)) == [2]


def test_classes_of_several_kinds_fill_one_pilot() -> None:
    wants = [Want("user", 4.0, {0: 8}), Want("user", 1.0, {0: 2})]
    assert allocate(wants, free(10)) == [1]


def test_who_can_go_to_one_queue_only_gets_its_room() -> None:
    wants = [everywhere(10, 2), Want("user", 5.0, {0: 1})]
    assert allocate(wants, free(5, 20)) == [5, 10]


def test_groups_share_what_is_not_enough_for_all_by_their_weights() -> None:
    wants = [Want("many", 1000.0, {0: 1}), Want("few", 1000.0, {1: 1})]
    alone = [Want("many", 1000.0, {0: 1}), Want("few", 4.0, {1: 1})]
    assert allocate(wants, [Room(0, 100, 1.0), Room(0, 100, 2.0)]) == [100, 100]
    assert fair({"many": 1000, "few": 1000}, 100, {"few": 3.0}) == {"many": 25.0, "few": 75.0}
    assert fair({"many": 1000, "few": 4}, 100, {}) == {"many": 96.0, "few": 4}
    assert allocate(alone, free(100, 100)) == [100, 4]


def test_a_group_with_few_jobs_is_not_crowded_out_of_a_queue_that_all_want() -> None:
    wants = [everywhere(1000, 1, group="many"), *(everywhere(2, 1, group="few") for _ in range(5))]
    assert allocate(wants, free(20)) == [20]


def test_no_more_pilots_are_sent_than_limits_let_jobs_run() -> None:
    limited = Want("user", 100.0, {0: 1, 1: 8}, {0: ["site"], 1: ["site"]})
    free_elsewhere = Want("user", 10.0, {0: 1}, {})
    assert allocation([limited], free(50, 50), {}, {"site": 3.0}).new == [3, 0]
    assert allocation([limited, limited], free(50, 50), {}, {"site": 3.0}).new == [3, 0]
    assert allocation([limited, free_elsewhere], free(50, 50), {}, {"site": 0.0}).new == [10, 0]
    waiting = [Room(2, 50, 300.0), Room(0, 50, 300.0)]
    assert allocation([limited], waiting, {}, {"site": 3.0}).new == [1, 0]


def test_pilots_that_nobody_needs_are_named() -> None:
    rooms = [Room(4, 9, 100.0), Room(3, 9, 300.0)]
    found = allocation([everywhere(5, 2)], rooms)
    assert (found.new, found.unneeded, found.is_met) == ([0, 0], [0.0, 2.0], True)
    assert allocation([everywhere(8, 2)], rooms).is_met is False


def test_what_fits_nowhere_gets_nothing() -> None:
    assert allocate([Want("user", 10.0, {})], free(5)) == [0]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 200), st.dictionaries(st.integers(0, 5), st.integers(1, 8)), st.sampled_from("ab")
        ),
        max_size=8,
    ),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30), st.integers(1, 999)), min_size=6, max_size=6),
)
def test_no_queue_gets_more_than_it_takes_and_none_more_than_jobs_want(
    asked: list[tuple[int, dict[int, int], str]], given_rooms: list[tuple[int, int, int]]
) -> None:
    wants = [Want(group, float(jobs), at) for jobs, at, group in asked]
    rooms = [Room(coming, free, float(cost)) for coming, free, cost in given_rooms]
    new = allocate(wants, rooms)
    assert all(0 <= count <= room.free for count, room in zip(new, rooms, strict=True))
    # At most a begun pilot a queue above what the jobs fill.
    used = sum(count > 0 for count in new)
    assert sum(new) <= sum(want.jobs / min(want.at.values()) for want in wants if want.at) + used


@given(st.integers(0, 300), st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_every_job_gets_a_pilot_while_there_is_room(jobs: int, rooms: list[int]) -> None:
    assert sum(allocate([everywhere(jobs, len(rooms))], free(*rooms))) == min(jobs, sum(rooms))
