"""MariaDB killed, frozen, its disk full; Redis and OpenSearch away: 503, nothing acknowledged is lost."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.builders import a_pilot, bearer
from tests.integration.faulty import GOOD, KINDS, POOL, Load, World, a_world, halves, lost
from tests.integration.parameters.journal import run
from tests.system import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
# The database's files, its logs, and what may be filled.
DISK_MB = 420


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server and its parts."""
    folder = tmp_path_factory.mktemp("faults")
    with a_small_disk(folder / "disk") as disk, a_world(folder, disk) as made:
        yield made


@contextmanager
def a_small_disk(folder: Path) -> Iterator[Path]:
    """A folder on a disk of its own, for who may mount one; a plain folder otherwise."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    may = os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield folder
    finally:
        if may:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def goes_on(load: Load, what: str) -> None:
    """Everything works again; says how long that took."""
    begin = time.monotonic()
    wait_for(lambda: load.all_go_on(begin), 30, lambda: f"{what}: {load.answers[-20:]}")
    print(f"{what}: everything works again after {time.monotonic() - begin:.2f} s; {load.statuses()}")


def nothing_is_wrong(load: Load, *, is_down: bool = True) -> None:
    """Only good answers and 503 with Retry-After; what was acknowledged is stored, nothing by halves."""
    assert set(load.statuses()) <= {*GOOD, 503}, load.statuses()
    refused = [one for one in load.answers if one.status == 503]
    assert bool(refused) == is_down
    assert all(one.retry_after and int(one.retry_after) > 0 for one in refused)
    assert load.submitted and load.told
    assert lost(load) == (set(), set())
    assert set(halves().values()) == {0}, halves()


def test_a_database_that_is_killed_and_comes_back(world: World) -> None:
    with Load(world) as load:
        goes_on(load, "before")
        world.mariadb.kill()
        time.sleep(1.5)
        world.mariadb.start()
        goes_on(load, "MariaDB killed")
    nothing_is_wrong(load)


def test_a_database_that_is_frozen_and_goes_on(world: World) -> None:
    with Load(world, users=4) as load:
        goes_on(load, "before")
        pid = world.mariadb.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        frozen = time.monotonic()
        try:
            time.sleep(10)
        finally:
            os.kill(pid, signal.SIGCONT)
        goes_on(load, "MariaDB frozen")
    nothing_is_wrong(load)
    # A statement may take three seconds: all who wait are told so while the database is frozen.
    told = [one for one in load.answers if one.status == 503 and one.at < frozen + 10]
    assert {one.kind for one in told} == set(KINDS) and len(told) >= len(KINDS) * 4
    print(f"the longest wait was {max(one.seconds for one in load.answers):.1f} s")


def test_a_full_disk(world: World) -> None:
    disk = world.mariadb.folder.parent
    if not os.path.ismount(disk):
        pytest.skip("a disk of its own needs the right to mount one")
    filler = disk / "filler"
    with Load(world, size=200_000) as load:
        goes_on(load, "before")
        with filler.open("wb") as file:
            while fill(file.fileno()):
                pass
        begin = time.monotonic()
        wait_for(
            lambda: any(one.status == 503 and one.at > begin for one in load.answers),
            60,
            lambda: f"the disk never was full: {load.statuses()}",
        )
        time.sleep(1)
        filler.unlink()
        goes_on(load, "disk full")
    nothing_is_wrong(load)


def fill(file: int) -> bool:
    """Write a MB; False when there is no room for more."""
    try:
        return os.write(file, bytes(1 << 20)) > 0
    except OSError:
        return False


def test_without_redis_users_go_on_and_pilots_are_told_to_wait(world: World) -> None:
    slot = {"stamp": "stamp-9", "site": "LCG.CERN.ch", "cores": 1, "ram_mb": 4096}
    with Load(world) as load:
        goes_on(load, "before")
        world.redis.kill()
        away = time.monotonic()
        wait_for(lambda: load.all_go_on(away), 30, lambda: str(load.answers[-20:]))
        headers = bearer(a_pilot("stamp-9"))
        answer = POOL.request("POST", f"{world.url}/api/pilots/match", json=slot, headers=headers)
        assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0
        world.redis.start()
        back = time.monotonic()
        wait_for(lambda: matches(world, slot), 30, lambda: "no matches")
        print(f"Redis back: pilots match again after {time.monotonic() - back:.2f} s")
        goes_on(load, "Redis away")
    nothing_is_wrong(load, is_down=False)


def matches(world: World, slot: dict[str, object]) -> bool:
    headers = bearer(a_pilot("stamp-9"))
    return POOL.request("POST", f"{world.url}/api/pilots/match", json=slot, headers=headers).status == 200


def test_without_opensearch_users_go_on_and_parameters_come_later(world: World) -> None:
    job_id = world.jobs[0]
    with Load(world) as load:
        goes_on(load, "before")
        world.opensearch.stop()
        away = time.monotonic()
        facts = {str(job_id): {"HostName": "wn1"}}
        assert world.ask("PATCH", "/api/jobs/metadata", facts).status == 204
        told = world.ask("GET", f"/api/jobs/{job_id}/parameters").json()
        assert told["parameters"]["HostName"] == "wn1" and told["is_complete"] is False
        assert world.ask("POST", "/api/jobs/search", {"search": []}).status in (200, 206)
        wait_for(lambda: load.all_go_on(away), 30, lambda: str(load.answers[-20:]))
        world.opensearch.start()
        goes_on(load, "OpenSearch away")
    nothing_is_wrong(load, is_down=False)
    run()
    path = f"/api/jobs/{job_id}/parameters"
    wait_for(lambda: bool(world.ask("GET", path).json()["is_complete"]), 30, lambda: "not complete")
    assert world.ask("GET", path).json()["parameters"]["HostName"] == "wn1"
