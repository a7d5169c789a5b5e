"""A new key is known to all servers before it signs, and of rotations at once none is lost."""

import json
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from diracx_tasks.auth import keys, state, tokens
from diracx_tasks.auth.rotate import DELAY_SECONDS, rotate, rotated
from diracx_tasks.core.settings import settings
from diracx_tasks.sandboxes.store import FolderStore
from tests.builders import Installation, a_user, environment


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds by which the clock is put forward."""
    put, real = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: real() + put[0])
    return put


def test_a_new_key_is_published_first_and_signs_by_itself_later(
    installation: Installation, later: list[float]
) -> None:
    before = keys.signing_key().kid
    done = rotate()
    assert (done.seconds, keys.signing_key().kid) == (DELAY_SECONDS, before)
    assert {key.kid for key in keys.key_set().keys} == {before, done.kid}
    token = tokens.issue(a_user(), seconds=3600)
    later[0] = DELAY_SECONDS - 5
    assert keys.signing_key().kid == before
    later[0] = DELAY_SECONDS + 5
    assert keys.signing_key().kid == done.kid
    assert tokens.verify(token) == a_user() == tokens.verify(tokens.issue(a_user(), seconds=60))


def test_the_key_before_it_verifies_until_what_it_signed_last_has_expired() -> None:
    now = time.time()
    first = {"keys": [keys.new_key()]}
    second = rotated(first, now=now, delay=600)
    assert second["keys"][1]["exp"] == int(now + 600 + tokens.MOST_SECONDS)
    assert second["keys"][1]["key_ops"] == ["sign", "verify"]


def test_each_of_several_keys_that_wait_has_its_turn(installation: Installation, later: list[float]) -> None:
    first = keys.signing_key().kid
    second = rotate(delay=600).kid
    later[0] = 300
    third = rotate(delay=600).kid
    seen = []
    for later[0] in (301, 605, 905):
        seen.append(keys.signing_key().kid)
    assert seen == [first, second, third]
    fourth = rotate(delay=600)
    assert (keys.signing_key().kid, fourth.kept) == (third, 3)
    signs = [key["kid"] for key in keys.stored()["keys"] if "sign" in key["key_ops"]]
    assert signs == [fourth.kid, third]


def test_a_key_that_signs_at_once_leaves_no_other_to_sign(installation: Installation) -> None:
    rotate()
    done = rotate(delay=0)
    assert keys.signing_key().kid == done.kid and done.kept == 2
    assert [key["key_ops"] for key in keys.stored()["keys"][1:]] == [["verify"]] * 2


def test_forgetting_the_others_leaves_a_key_that_signs(installation: Installation) -> None:
    rotate()
    done = rotate(forget=True)
    assert keys.signing_key().kid == done.kid and (done.kept, done.seconds) == (0, 0)


def turn(folder: str) -> str:
    with environment(DIRACX_DATA=folder):
        return rotate().kid


def test_of_rotations_at_once_none_is_lost(installation: Installation) -> None:
    folder = str(installation.folder)
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        made = set(pool.map(turn, [folder] * 12))
    found = {key["kid"] for key in json.loads(settings().keys_file.read_text())["keys"]}
    assert len(made) == 12 and made < found and len(found) == 13


def test_servers_that_start_at_once_make_one_key_set(installation: Installation, tmp_path: Path) -> None:
    file = tmp_path / "new" / "jwks.json"

    def begun(_: int) -> str:
        keys.create(file)
        return file.read_text()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(begun, range(16)))) == 1


@pytest.mark.parametrize("delay", [0, 600])
def test_what_was_sealed_or_granted_before_a_rotation_holds_after_it(
    installation: Installation, later: list[float], delay: float
) -> None:
    sealed = state.seal(pending := state.Pending("device", "BCDFGHJK", "lhcb", "verifier"))
    folder = FolderStore(installation.folder / "sandboxes")
    (installation.folder / "sandboxes").mkdir(exist_ok=True)
    (installation.folder / "sandboxes" / "one").write_text("x")
    query = folder.url("one").partition("?")[2]
    fields = dict(part.split("=") for part in query.split("&"))
    rotate(delay=delay)
    for later[0] in (0, 200):
        assert state.unseal(sealed) == pending
        assert folder.locate("one", fields["expires"], fields["signature"]).read_text() == "x"
