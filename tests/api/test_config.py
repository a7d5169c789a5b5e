"""GET /api/config/: DiracX's answer, cached by its ETag, of the VO of who asks."""

import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from diracx_tasks.core import config
from tests.api.caller import Api
from tests.api.configured import a_repository, configured
from tests.builders import Installation, a_pilot, a_user
from tests.system import wait_for
from tests.unit.core.configured import Repository
from tests.unit.core.documents import SMALL, WHOLE, theirs

PATH = "/api/config/"
PAST, FUTURE = "Tue, 01 Jan 1980 00:00:00 GMT", "Tue, 01 Jan 2999 00:00:00 GMT"


@pytest.fixture
def repository(api: Api, installation: Installation, tmp_path: Path) -> Iterator[Repository]:
    """What the API is configured by."""
    found = a_repository(tmp_path)
    with configured(installation, f"git+file://{found.folder}"):
        yield found


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository is looked at in every request."""
    monkeypatch.setattr(config, "CHECK_SECONDS", 0.0)


def test_the_answer_is_diracxs_without_other_vos(api: Api, repository: Repository) -> None:
    answer, whole = api.get(PATH), theirs(WHOLE)
    for section in ("Registry", "Operations"):
        whole[section] = {"lhcb": whole[section]["lhcb"]}
    assert (answer.status_code, answer.json()) == (200, whole)
    assert answer.headers["Content-Type"] == "application/json"


def test_another_vos_user_sees_his_own_and_nothing_of_ours(api: Api, repository: Repository) -> None:
    answer = api.get(PATH, by=a_user(vo="belle"))
    assert list(answer.json()["Registry"]) == list(answer.json()["Operations"]) == ["belle"]
    assert "lhcb" not in json.dumps(answer.json()["Registry"]["belle"]["Groups"])
    assert "Authorization" in answer.headers["Vary"] and "private" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("who", [a_user(properties=()), a_pilot()], ids=["no property", "a pilot"])
def test_any_token_will_do(api: Api, repository: Repository, who: Any) -> None:
    assert api.get(PATH, by=who).status_code == 200


def test_no_token_will_not_do(api: Api, repository: Repository) -> None:
    assert api.get(PATH, by=None).status_code == 401


def test_without_the_slash_one_is_sent_to_it(api: Api, repository: Repository) -> None:
    answer = api.get("/api/config", follow_redirects=False)
    assert answer.status_code == 307 and answer.headers["Location"].endswith("/api/config/")


def test_version_and_time_are_the_commits(api: Api, repository: Repository) -> None:
    answer = api.get(PATH)
    assert answer.headers["ETag"] == repository.git("rev-parse", "HEAD")
    at = datetime.fromtimestamp(int(repository.git("show", "-s", "--format=%ct")), UTC)
    assert answer.headers["Last-Modified"] == f"{at:%a, %d %b %Y %H:%M:%S} GMT"


@pytest.mark.parametrize("form", ["{}", '"{}"', 'W/"{}"', '"x", "{}"', "x, {}"])
def test_what_the_client_has_already_is_not_sent_again(api: Api, repository: Repository, form: str) -> None:
    etag = repository.git("rev-parse", "HEAD")
    answer = api.get(PATH, headers={"If-None-Match": form.format(etag)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == etag and answer.headers["Last-Modified"]
    assert "Authorization" in answer.headers["Vary"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": "another"}, 200),
        ({"If-None-Match": ""}, 200),
        ({"If-Modified-Since": PAST}, 200),
        ({"If-Modified-Since": FUTURE}, 304),
        ({"If-Modified-Since": "Tue, 01 Jan 2999 00:00:00"}, 304),
        ({"If-None-Match": "another", "If-Modified-Since": PAST}, 200),
        ({"If-None-Match": "of an older commit", "If-Modified-Since": FUTURE}, 200),
        ({"If-Modified-Since": "the day before yesterday"}, 200),
        ({"If-Modified-Since": "Mon, 99 Jan 2026 00:00:00 GMT"}, 200),
        ({"If-Modified-Since": "Mon, 01 Jan 99999 00:00:00 GMT"}, 200),
        ({"If-Modified-Since": ""}, 200),
    ],
)
def test_what_was_not_changed_since_is_not_sent_and_what_is_no_date_is_ignored(
    api: Api, repository: Repository, headers: dict[str, str], status: int
) -> None:
    assert api.get(PATH, headers=headers).status_code == status


def test_a_client_that_got_it_in_the_second_of_the_commit_gets_it_again(
    api: Api, repository: Repository
) -> None:
    got = api.get(PATH).headers["Last-Modified"]
    assert api.get(PATH, headers={"If-Modified-Since": got}).status_code == 200


def test_a_commit_is_in_force_within_three_seconds(api: Api, repository: Repository) -> None:
    before = api.get(PATH)
    commit = repository.commit(WHOLE.replace("Message: Ask us", "Message: Ask them"))
    start = time.monotonic()
    wait_for(lambda: api.get(PATH).headers["ETag"] == commit, 10, lambda: "the commit is not in force")
    assert time.monotonic() - start < 3
    assert api.get(PATH).json()["Registry"]["lhcb"]["Support"]["Message"] == "Ask them"
    assert api.get(PATH, headers={"If-None-Match": before.headers["ETag"]}).status_code == 200


@pytest.mark.usefixtures("looking")
def test_a_broken_commit_is_refused_loudly_and_the_last_good_one_is_served(
    api: Api, repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    before = api.get(PATH)
    with caplog.at_level(logging.ERROR):
        broken = repository.commit(WHOLE.replace("DefaultGroup: lhcb_user", "DefaultGroup: lhcb_admin"))
        after = api.get(PATH)
    assert after.status_code == 200 and after.content == before.content
    assert after.headers["ETag"] == before.headers["ETag"]
    words = f"default.yml:9 at {broken[:10]}: Registry.lhcb.DefaultGroup: 'lhcb_admin' is none of the groups"
    assert config.problem().startswith(words) and words in caplog.text
    repository.commit(SMALL)
    assert api.get(PATH).json()["Registry"]["lhcb"]["DefaultGroup"] == "user" and config.problem() == ""


@pytest.mark.parametrize("text", [None, "Registry: 5"])
def test_a_server_that_never_had_a_configuration_is_away_and_says_why_in_its_log(
    api: Api, installation: Installation, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    file = tmp_path / "c.yml"
    if text:
        file.write_text(text)
    with configured(installation, str(file)), caplog.at_level(logging.ERROR):
        answer = api.get(PATH)
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
        assert answer.json()["detail"].startswith("no configuration: ")
        assert api.get("/.well-known/dirac-metadata", by=None).status_code == 503
        assert str(file) in caplog.text


def test_without_a_source_there_are_only_defaults(api: Api, installation: Installation) -> None:
    answer = api.get(PATH)
    assert answer.json() == {**theirs("{DIRAC: {}, Registry: {}}"), "Operations": {}}
    assert answer.headers["ETag"] and "Last-Modified" not in answer.headers


def test_a_files_time_is_the_time_of_the_configuration(
    api: Api, installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "c.yml"
    file.write_text(SMALL)
    with configured(installation, str(file)):
        answer = api.get(PATH)
    at = datetime.fromtimestamp(int(file.stat().st_mtime), UTC)
    assert answer.headers["Last-Modified"] == f"{at:%a, %d %b %Y %H:%M:%S} GMT"
    assert answer.json()["Registry"] == theirs(SMALL)["Registry"]
