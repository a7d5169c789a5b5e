"""The configuration in git: commits, branches, remote repositories."""

from pathlib import Path

import pytest

from diracx_tasks.core import config
from diracx_tasks.core.errors import SettingsError
from tests.servers import free_port
from tests.unit.core.configured import QUICK, SLOW, Repository, every, git_server, using

pytestmark = pytest.mark.usefixtures("looking_at_every_call")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    found = Repository(tmp_path / "repository")
    found.commit(SLOW)
    return found


def test_a_commit_is_taken_over_and_a_broken_one_is_named(repository: Repository, tmp_path: Path) -> None:
    with using(tmp_path, f"git+file://{repository.folder}"):
        assert every() == 60
        good = repository.commit(QUICK)
        assert every() == 2 and config.version() == good
        bad = repository.commit("Operations: {Defaults: {Tasks: {a.b: {evry: 1}}}}")
        assert every() == 2 and config.version() == good
        assert config.problem().startswith(
            f"default.yml:1 at {bad[:10]}: Operations.Defaults.Tasks.a.b.evry: "
        )


def test_going_back_to_the_last_good_one_ends_the_problem(repository: Repository, tmp_path: Path) -> None:
    with using(tmp_path, f"git+file://{repository.folder}"):
        assert every() == 60
        repository.commit("Operations: {")
        assert "not YAML" in config.problem()
        repository.git("reset", "--quiet", "--hard", "HEAD~1")
        assert config.problem() == "" and every() == 60


def test_what_is_not_committed_is_not_in_force(repository: Repository, tmp_path: Path) -> None:
    with using(tmp_path, f"git+file://{repository.folder}"):
        (repository.folder / "default.yml").write_text(QUICK)
        assert every() == 60


def test_a_branch_may_be_named(repository: Repository, tmp_path: Path) -> None:
    repository.git("checkout", "--quiet", "-b", "test-site")
    repository.commit(QUICK)
    repository.git("checkout", "--quiet", "main")
    with using(tmp_path, f"git+file://{repository.folder}?revision=test-site"):
        assert every() == 2
    with using(tmp_path, f"git+file://{repository.folder}"):
        assert every() == 60


@pytest.mark.parametrize("place", ["?revision=no-branch", "-not-there"])
def test_a_missing_branch_or_repository_is_named(repository: Repository, tmp_path: Path, place: str) -> None:
    with (
        using(tmp_path, f"git+file://{repository.folder}{place}"),
        pytest.raises(SettingsError, match=rf"no configuration: git rev-parse in {repository.folder}.*fatal"),
    ):
        config.config()


@pytest.mark.integration
def test_a_remote_repository_is_followed_and_its_absence_changes_nothing(
    repository: Repository, tmp_path: Path
) -> None:
    port = free_port()
    with using(tmp_path, f"git+git://127.0.0.1:{port}/repository?revision=main"):
        with pytest.raises(SettingsError, match="no configuration: git clone"):
            config.config()
        with git_server(tmp_path, port):
            assert every() == 60
            repository.commit(QUICK)
            assert every() == 2 and config.problem() == ""
        repository.commit(SLOW)
        assert every() == 2 and "git fetch" in config.problem()
        config._source.cache_clear()
        with git_server(tmp_path, port):
            assert every() == 60 and config.problem() == ""


@pytest.mark.integration
def test_a_remote_that_is_away_is_said_also_between_two_fetches(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    with using(tmp_path, f"git+git://127.0.0.1:{port}/repository"):
        with git_server(tmp_path, port):
            assert every() == 60
        assert "git fetch" in config.problem()
        monkeypatch.setattr(config, "FETCH_SECONDS", 1000.0)
        assert "git fetch" in config.problem() and every() == 60


@pytest.mark.integration
def test_another_address_is_another_copy(repository: Repository, tmp_path: Path) -> None:
    other, port = Repository(tmp_path / "other"), free_port()
    other.commit(QUICK)
    with git_server(tmp_path, port):
        with using(tmp_path, f"git+git://127.0.0.1:{port}/repository"):
            assert every() == 60
        with using(tmp_path, f"git+git://127.0.0.1:{port}/other"):
            assert every() == 2
