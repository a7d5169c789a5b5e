"""New keys while servers run: old tokens verify until they have expired, and stolen keys go at once."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from diracx_tasks.auth import keys, state, tokens
from diracx_tasks.auth.rotate import rotate, rotated
from diracx_tasks.cli.main import cli
from diracx_tasks.core.errors import BadRequest, SettingsError, Unauthenticated
from diracx_tasks.core.settings import settings
from tests.builders import Installation, a_user, environment


def kids() -> list[str | None]:
    return [key.kid for key in keys.key_set().keys]


def test_a_new_key_signs_and_the_one_before_it_still_verifies(installation: Installation) -> None:
    before, token = keys.signing_key().kid, tokens.issue(a_user(), seconds=60)
    done = rotate(delay=0)
    assert keys.signing_key().kid == done.kid != before
    assert kids() == [done.kid, before] and (done.kept, done.removed) == (1, 0)
    assert tokens.verify(token) == a_user() == tokens.verify(tokens.issue(a_user(), seconds=60))
    assert settings().keys_file.stat().st_mode & 0o777 == 0o600


def test_a_login_under_way_survives_a_rotation(installation: Installation) -> None:
    sealed = state.seal(pending := state.Pending("device", "BCDFGHJK", "lhcb", "verifier"))
    rotate(delay=0)
    assert state.unseal(sealed) == pending
    rotate(forget=True)
    with pytest.raises(BadRequest, match="Invalid state"):
        state.unseal(sealed)


def test_a_key_goes_when_all_that_it_signed_has_expired() -> None:
    now = time.time()
    first = {"keys": [keys.new_key()]}
    second = rotated(first, now=now)
    assert second["keys"][1]["exp"] == int(now + tokens.MOST_SECONDS)
    assert second["keys"][1]["key_ops"] == ["verify"]
    third = rotated(second, now=now + 86400)
    assert [key["kid"] for key in third["keys"][1:]] == [key["kid"] for key in second["keys"]]
    fourth = rotated(third, now=now + tokens.MOST_SECONDS + 1)
    assert [key["kid"] for key in fourth["keys"][1:]] == [third["keys"][0]["kid"], second["keys"][0]["kid"]]


def test_an_expired_key_does_not_verify_though_it_is_still_there(installation: Installation) -> None:
    token = tokens.issue(a_user(), seconds=600)
    rotate(delay=0)
    content = json.loads(settings().keys_file.read_text())
    content["keys"][1]["exp"] = int(time.time()) - 1
    keys.write_private(settings().keys_file, json.dumps(content))
    assert len(kids()) == 1
    with pytest.raises(Unauthenticated):
        tokens.verify(token)


def test_forgetting_old_keys_ends_what_they_signed_at_once(installation: Installation) -> None:
    token = tokens.issue(a_user(), seconds=600)
    assert tokens.verify(token) == a_user()
    assert rotate(forget=True).kept == 0
    with pytest.raises(Unauthenticated):
        tokens.verify(token)


def test_a_broken_file_leaves_the_last_good_keys_in_force(installation: Installation) -> None:
    before = kids()
    for broken in ("", "{", "[]", '{"keys": 7}', '{"keys": [7]}', '{"keys": [{"kty": "x"}]}'):
        settings().keys_file.write_text(broken)
        assert kids() == before
    keys.key_set.cache_clear()
    with pytest.raises(SettingsError, match="DIRACX_TOKEN_KEYS"):
        keys.key_set()


def test_keys_in_the_environment_are_written_elsewhere(installation: Installation, tmp_path: Path) -> None:
    stated = settings().keys_file.read_text()
    with environment(DIRACX_DATA=str(installation.folder), DIRACX_TOKEN_KEYS=stated):
        with pytest.raises(SettingsError, match="--to FILE"):
            rotate()
        done = rotate(to=tmp_path / "new.json", delay=0)
    assert settings().keys_file.read_text() == stated
    with environment(DIRACX_DATA=str(installation.folder), DIRACX_TOKEN_KEYS=str(done.file)):
        assert keys.signing_key().kid == done.kid and len(kids()) == 2


def test_a_place_that_does_not_exist_says_what_to_do(installation: Installation, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be written \(No such file or directory\)"):
        rotate(to=tmp_path / "nowhere" / "new.json")


def test_the_command_says_what_it_has_done(installation: Installation) -> None:
    done = CliRunner().invoke(cli, ["admin", "rotate-keys"])
    assert (done.exit_code, "signs in 10 minutes; 1 more verify, 0 removed" in done.output) == (0, True)
    done = CliRunner().invoke(cli, ["admin", "rotate-keys", "--now"])
    assert (done.exit_code, "signs now; 2 more verify, 0 removed" in done.output) == (0, True)
    assert CliRunner().invoke(cli, ["admin", "rotate-keys", "--forget-old", "-y"]).exit_code == 0
    assert len(kids()) == 1


@pytest.mark.parametrize("seconds", [10**40, 32 * 86400])
def test_no_token_lives_longer_than_a_month(installation: Installation, seconds: int) -> None:
    claims: dict[str, Any] = {
        "sub": "lhcb:a",
        "vo": "lhcb",
        "iss": settings().issuer,
        "preferred_username": "a",
    }
    rest = {"dirac_group": "user", "dirac_properties": []}
    assert tokens.verify(tokens.sign({**claims, **rest}, "x", int(time.time()) + 60)).name == "a"
    with pytest.raises(Unauthenticated):
        tokens.verify(tokens.sign({**claims, **rest}, "x", int(time.time()) + seconds))


def test_a_token_that_was_verified_still_expires(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tokens.issue(a_user(), seconds=30)
    assert tokens.verify(token) == a_user()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 31)
    with pytest.raises(Unauthenticated):
        tokens.verify(token)


def test_a_token_that_was_verified_counts_for_its_issuer_only(installation: Installation) -> None:
    token = tokens.issue(a_user(), seconds=60)
    assert tokens.verify(token) == a_user()
    elsewhere = {"DIRACX_DATA": str(installation.folder), "DIRACX_TOKEN_ISSUER": "https://elsewhere"}
    with environment(**elsewhere), pytest.raises(Unauthenticated):
        tokens.verify(token)


def test_what_is_remembered_of_tokens_is_bounded(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MOST_KNOWN", 3)
    for number in range(10):
        tokens.verify(tokens.issue(a_user(f"user{number}"), seconds=60))
        assert len(tokens._KNOWN) <= 3
