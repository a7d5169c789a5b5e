"""Locks and limits under any order of taking, giving back, dying, waiting: a machine on a real Redis."""

from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from diracx_tasks.core.redis import redis
from diracx_tasks.engine import locks
from diracx_tasks.engine.locks import PREFIX, WAITS, Admission, admission
from diracx_tasks.engine.policies import Concurrent, Limit, Lock, Rate, Read, Want, Write
from tests.builders import Installation

NAMES = ("1", "2")
PLACES = 2
STARTS = 3
Held = tuple[ExitStack, Admission, tuple[Want, ...]]


def wants(kind: str, name: str) -> Want:
    """What a run may want of an object."""
    made: dict[str, Lock | Limit] = {
        "write": Write("job:{n}"),
        "read": Read("job:{n}"),
        "place": Concurrent(PLACES, per="se:{n}"),
        "start": Rate(STARTS, 1000, per="se:{n}"),
    }
    return made[kind].want({"n": name})


class Machine(RuleBasedStateMachine):
    """Runs that take and give back; the model knows who must hold what."""

    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        redis().flushall()
        redis().set("diracx:engine:since", 0)
        self.living: list[Held] = []
        self.dead: list[tuple[Want, ...]] = []
        self.starts = dict.fromkeys(NAMES, 0)
        self.fence = 0

    def count(self, way: str, name: str) -> int:
        """How many hold an object in a way, the dead included until their leases have run out."""
        held = [wanted for _, _, wanted in self.living] + self.dead
        key = wants({"write": "write", "read": "read", "concurrent": "place"}[way], name).key
        return sum(want.way == way and want.key == key for wanted in held for want in wanted)

    @rule(
        target=runs,
        chosen=st.sets(
            st.tuples(st.sampled_from(("write", "read", "place", "start")), st.sampled_from(NAMES)),
            min_size=1,
        ),
    )
    def ask(self, chosen: set[tuple[str, str]]) -> Any:
        """A run asks for any set of things: it gets all of them exactly when all are free."""
        ways = {name: {kind for kind, of in chosen if of == name} for name in NAMES}
        wanted = tuple(
            wants(kind, name)
            for kind, name in sorted(chosen)
            if not (kind == "read" and "write" in ways[name])
        )
        stack = ExitStack()
        found = stack.enter_context(admission(wanted))
        if found.refused is None:
            for want in wanted:
                self._must_be_free(want)
            assert found.fence is not None and found.fence > self.fence
            self.fence = found.fence
            for want in wanted:
                if want.way == "rate":
                    self.starts[want.key[-1]] += 1
            self.living.append((stack, found, wanted))
            return self.living[-1]
        assert not self._is_free(found.refused)
        stack.close()
        return None

    def _is_free(self, want: Want) -> bool:
        name = want.key[-1]
        if want.way == "rate":
            return self.starts[name] < STARTS
        if want.way == "concurrent":
            return self.count("concurrent", name) < PLACES
        if want.way == "write":
            return self.count("write", name) + self.count("read", name) == 0
        # A writer that was refused keeps new readers out for a while: both answers are right then.
        waits = bool(redis().exists(f"{WAITS}{PREFIX}{want.key}"))
        return self.count("write", name) == 0 and not waits

    def _must_be_free(self, want: Want) -> None:
        name = want.key[-1]
        if want.way == "read":
            assert self.count("write", name) == 0
        else:
            assert self._is_free(want)

    @rule(run=consumes(runs))
    def give_back(self, run: Held | None) -> None:
        """A run ends."""
        if run in self.living:
            self.living.remove(run)
            run[0].close()

    @rule(run=consumes(runs))
    def die(self, run: Held | None) -> None:
        """A run is killed: nobody renews or gives back what it has."""
        if run in self.living:
            self.living.remove(run)
            locks._RENEWAL.remove(run[1])
            self.dead.append(run[2])

    @rule()
    def let_leases_of_the_dead_run_out(self) -> None:
        """Time passes: what the dead held is free, what the living hold is renewed."""
        for key in redis().scan_iter(f"{WAITS}*"):
            redis().delete(key)
        for key in redis().scan_iter(f"{PREFIX}lock:*"):
            self._age(str(key))
        for key in redis().scan_iter(f"{PREFIX}limit:concurrent:*"):
            self._age(str(key))
        self.dead.clear()
        for _, found, _ in self.living:
            locks._renew(found, locks.SECONDS)
            assert found.lost == []

    def _age(self, key: str) -> None:
        alive = {found.owner for _, found, _ in self.living}
        for member in redis().zrange(key, 0, -1):
            if str(member)[1:] not in alive:
                redis().zadd(key, {str(member): 1})

    @invariant()
    def nobody_has_too_much(self) -> None:
        """What Redis says is what the model says: never two writers, never more than the limit."""
        for name in NAMES:
            lock = [str(one)[0] for one in redis().zrange(PREFIX + wants("write", name).key, 0, -1)]
            assert lock in (["w"], ["r"] * len(lock))
            assert redis().zcard(PREFIX + wants("place", name).key) <= PLACES
            assert redis().zcard(PREFIX + wants("start", name).key) <= STARTS
            for _, _, wanted in self.living:
                for want in wanted:
                    assert want.way == "rate" or redis().zcard(PREFIX + want.key) > 0

    def teardown(self) -> None:
        """All end: nothing is held any more."""
        self.let_leases_of_the_dead_run_out()
        for stack, _, _ in self.living:
            stack.close()
        self.living.clear()
        for name in NAMES:
            for kind in ("write", "place"):
                with admission([wants(kind, name)]) as found:
                    assert found.refused is None


@pytest.mark.usefixtures("installation")
def test_never_two_holders_never_more_than_the_limit_always_released(installation: Installation) -> None:
    quiet = settings(
        max_examples=100,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    run_state_machine_as_test(Machine, settings=quiet)
