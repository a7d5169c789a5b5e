"""`diracx admin config`: what is wrong, what is in force, and changes that keep everything else as it is."""

import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from diracx_tasks.cli.main import cli
from diracx_tasks.core import config, edit
from diracx_tasks.core.errors import Conflict
from tests.builders import environment
from tests.unit.cli.installed import refused, said
from tests.unit.core.configured import Repository
from tests.unit.core.documents import SMALL, WHOLE

Run = Callable[..., Result]
ALICE = "b824d4dc-1f9d-4ee8-8df5-c0ae55d46041"
COMMENTED = f"# Ours\n{SMALL}\n# The end\n"
BOB = ("add-user", "lhcb", "c-2", "bob")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """The configuration of the environment."""
    found = tmp_path / "default.yml"
    found.write_text(COMMENTED)
    with environment(DIRACX_DATA=str(tmp_path / "data"), DIRACX_CONFIG_BACKEND_URL=str(found)):
        yield found


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    found = Repository(tmp_path / "repository")
    found.commit(COMMENTED)
    return found


@pytest.fixture
def diracx() -> Run:
    """Runs `diracx admin config` with arguments."""

    def run(*arguments: object, stdin: str | None = None) -> Result:
        given = ["admin", "config", *(str(one) for one in arguments)]
        return CliRunner().invoke(cli, given, input=stdin, prog_name="diracx")

    return run


def test_a_good_configuration_is_called_good_with_what_is_in_it(file: Path, diracx: Run) -> None:
    assert said(diracx("check")) == f"{file}: good; VOs: lhcb; users: 1"
    assert said(diracx("check", file.parent)) == f"{file}: good; VOs: lhcb; users: 1"
    assert said(diracx("check", "-", stdin=WHOLE)) == "stdin: good; VOs: lhcb, belle; users: 4"


def test_everything_that_is_wrong_is_said_with_file_and_line_and_the_code_is_1(
    file: Path, diracx: Run
) -> None:
    other = file.with_name("other.yml")
    other.write_text(
        SMALL.replace("[NormalUser]", "[Normal]").replace("PreferedUsername", "Name") + "Site: 1\n"
    )
    result = diracx("check", other)
    lines = result.stdout.splitlines()
    assert result.exit_code == 1 and result.stderr == "4 wrong\n"
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{other}:7", f"Registry.lhcb.Users.{ALICE}.PreferedUsername"],
        [f"{other}:8", f"Registry.lhcb.Users.{ALICE}.Name"],
        [f"{other}:11", "Registry.lhcb.Groups.user.Properties.0"],
        [f"{other}:13", "Site"],
    ]


def test_a_commit_is_checked_by_its_address(repository: Repository, file: Path, diracx: Run) -> None:
    repository.commit("Registry: 5\n")
    result = diracx("check", f"git+file://{repository.folder}")
    commit = repository.git("rev-parse", "HEAD")[:10]
    assert result.exit_code == 1
    assert (
        result.stdout == f"default.yml:1 at {commit}: Registry: Input should be a valid dictionary, not 5\n"
    )
    good = diracx("check", f"git+file://{repository.folder}?revision=HEAD~1")
    assert said(good).startswith("default.yml at ")


def test_a_wrong_section_of_tasks_is_found_too(file: Path, diracx: Run) -> None:
    result = diracx("check", "-", stdin="Operations: {Defaults: {Tasks: {jobs.optimize: {evry: 1}}}}")
    assert "stdin:1: Operations.Defaults.Tasks.jobs.optimize.evry: unknown key; is every" in result.stdout


def test_a_file_that_is_not_there_and_no_source_at_all_are_said(tmp_path: Path, diracx: Run) -> None:
    with environment(DIRACX_DATA=str(tmp_path)):
        assert "No such file" in refused(diracx("check", tmp_path / "x.yml"), 2)
        assert "DIRACX_CONFIG_BACKEND_URL is not set" in refused(diracx("check"), 2)


def test_show_prints_what_is_stated_or_with_every_default(file: Path, diracx: Run) -> None:
    file.write_text(WHOLE)
    stated = yaml.safe_load(said(diracx("show")))
    assert stated["Registry"]["belle"].keys() == {"IdP", "DefaultGroup", "Users", "Groups"}
    assert stated["Operations"].keys() == {"Defaults", "lhcb", "gone"}
    effective = yaml.safe_load(said(diracx("show", "--effective")))
    assert effective["Registry"]["belle"]["DefaultProxyLifeTime"] == 43200
    assert effective["Operations"]["belle"]["JobDescription"]["MaxPriority"] == 7


def test_show_is_narrowed_to_a_vo_and_a_path(file: Path, diracx: Run) -> None:
    file.write_text(WHOLE)
    one = yaml.safe_load(said(diracx("show", "--vo", "belle")))
    assert list(one["Registry"]) == ["belle"] and list(one["Operations"]) == ["Defaults"]
    assert said(diracx("show", "--path", "Registry.lhcb.DefaultGroup")) == "lhcb_user"
    assert (
        said(diracx("show", "--path", "Registry.belle.Groups.user")) == "Properties:\n- NormalUser\nUsers: []"
    )
    words = refused(diracx("show", "--path", "Registry.atlas"), 1)
    assert words == "diracx: there is no Registry.atlas; Registry has lhcb, belle"
    assert "there is no VO atlas" in refused(diracx("show", "--vo", "atlas"), 1)


def test_a_path_may_lead_through_names_with_dots(file: Path, diracx: Run) -> None:
    file.write_text(
        "Operations: {Defaults: {Tasks: {jobs.optimize: {every: 5}, jobs.optimize.x: {every: 6}}}}"
    )
    path = "Operations.Defaults.Tasks.jobs.optimize"
    assert said(diracx("show", "--path", f"{path}.every")) == "5"
    assert said(diracx("show", "--path", f"{path}.x.every")) == "6"


def test_show_says_when_the_newest_is_not_in_force(
    file: Path, diracx: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CHECK_SECONDS", 0.0)
    config.config()
    file.write_text("Registry: 5")
    result = diracx("show", "--path", "Registry.lhcb.DefaultGroup")
    assert result.stdout == "user\n"
    assert result.stderr.startswith(f"the newest is not in force: {file}:1: Registry: ")


def test_a_user_is_added_to_the_default_group_and_nothing_else_changes(file: Path, diracx: Run) -> None:
    file.chmod(0o640)
    assert said(diracx(*BOB)) == f"Add the user bob of lhcb: {file}"
    name, users = "        PreferedUsername: alice\n", f"Users: [{ALICE}"
    expected = COMMENTED.replace(name, name + "      c-2: {PreferedUsername: bob}\n")
    assert file.read_text() == expected.replace(users, f"{users}, c-2")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [one.name for one in file.parent.iterdir() if one.name != "data"] == ["default.yml"]


def test_a_vo_a_group_and_a_user_make_a_configuration_from_nothing(file: Path, diracx: Run) -> None:
    file.write_text("{}\n")
    idp = ("--idp-url", "https://idp.example.org", "--idp-client-id", "abc")
    said(diracx("add-vo", "belle", "--default-group", "user", *idp))
    said(diracx("add-group", "belle", "admin", "--property", "JobAdministrator", "--property", "NormalUser"))
    said(
        diracx("add-user", "belle", "1e5", "yes", "--group", "admin", "--group", "user", "--email", "a@b.org")
    )
    found = config.parse(file.read_text(), "default.yml").Registry["belle"]
    assert found.IdP and (found.IdP.URL, found.IdP.ClientID) == ("https://idp.example.org", "abc")
    assert found.Users["1e5"].PreferedUsername == "yes" and found.Users["1e5"].Email == "a@b.org"
    assert found.groups_of("1e5").keys() == {"user", "admin"} and found.DefaultGroup == "user"
    assert found.Groups["admin"].Properties == {"JobAdministrator", "NormalUser"}


REFUSALS = {
    ("add-vo", "lhcb", "--default-group", "x"): (1, "there is a VO lhcb already"),
    ("add-vo", "x", "--default-group", "x", "--idp-url", "https://x.org"): (2, "belong together"),
    ("add-vo", "x", "--default-group", "x", "--idp-url", "x", "--idp-client-id", "x"): (
        2,
        "nothing was written: String should match pattern",
    ),
    ("add-group", "lhcb", "user", "--property", "Operator"): (1, "lhcb has a group user already"),
    ("add-group", "lhcb", "x", "--property", "Normal"): (
        2,
        "nothing was written: 'Normal' is no property; is",
    ),
    ("add-group", "atlas", "x", "--property", "Operator"): (1, "there is no VO atlas; there are: lhcb"),
    ("add-user", "lhcb", ALICE, "bob"): (1, f"lhcb has the subject {ALICE} already: alice"),
    ("add-user", "lhcb", "c-2", "alice"): (1, f"lhcb has a user alice already, with the subject {ALICE}"),
    ("add-user", "lhcb", "c-2", "b o b"): (2, "nothing was written: String should match pattern"),
    ("add-user", "lhcb", "c-2", "bob", "--group", "x"): (1, "lhcb has no group x; its groups: user"),
    (*BOB, "--source", "git+https://x.org/y.git"): (2, "change a clone of it, commit, and push"),
}


@pytest.mark.parametrize("arguments", REFUSALS)
def test_what_is_there_already_or_would_be_wrong_is_refused_in_words(
    file: Path, diracx: Run, arguments: tuple[str, ...]
) -> None:
    code, words = REFUSALS[arguments]
    assert words in refused(diracx(*arguments), code)
    assert file.read_text() == COMMENTED


def test_a_configuration_that_is_wrong_already_is_not_changed(file: Path, diracx: Run) -> None:
    file.write_text("Registry: {lhcb: {Users: 5}}")
    assert f"{file}:1: Registry.lhcb.Users: Input" in refused(diracx(*BOB), 2)


def test_a_change_of_a_repository_is_a_commit_and_the_working_tree_follows(
    repository: Repository, file: Path, diracx: Run
) -> None:
    (repository.folder / "README").write_text("not committed")
    repository.git("add", "README")
    words = said(diracx(*BOB, "--source", f"git+file://{repository.folder}"))
    commit = repository.git("rev-parse", "HEAD")
    assert words == f"Add the user bob of lhcb: commit {commit[:10]} in {repository.folder}"
    assert repository.git("show", "--stat", "--format=%s", "HEAD").splitlines()[::2] == [
        "Add the user bob of lhcb",
        " default.yml | 3 ++-",
    ]
    assert repository.git("status", "--porcelain") == "A  README"
    assert "c-2: {PreferedUsername: bob}" in (repository.folder / "default.yml").read_text()


def test_a_bare_repository_and_a_branch_that_is_not_checked_out_are_changed_as_well(
    repository: Repository, file: Path, diracx: Run, tmp_path: Path
) -> None:
    repository.git("branch", "production")
    bare = tmp_path / "bare.git"
    repository.git("clone", "--quiet", "--bare", str(repository.folder), str(bare))
    for url in (f"git+file://{bare}", f"git+file://{repository.folder}?revision=production"):
        said(diracx(*BOB, "--source", url))
        assert "bob" in config.newest(url).text
    assert repository.git("status", "--porcelain") == ""
    assert "bob" not in (repository.folder / "default.yml").read_text()


def test_without_gits_settings_the_user_of_this_machine_commits(
    repository: Repository, file: Path, diracx: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("LOGNAME", "dora")
    source = ("--source", f"git+file://{repository.folder}")
    said(diracx(*BOB, *source))
    assert repository.git("log", "-1", "--format=%an %cn") == "dora dora"
    repository.git("config", "user.name", "Carol")
    said(diracx("add-user", "lhcb", "d-3", "eve", *source))
    assert repository.git("log", "-1", "--format=%an %cn") == "Carol Carol"


def test_what_somebody_is_just_editing_is_not_run_over(
    repository: Repository, file: Path, diracx: Run
) -> None:
    (repository.folder / "default.yml").write_text(COMMENTED + "# more\n")
    before = repository.git("rev-parse", "HEAD")
    words = refused(diracx(*BOB, "--source", f"git+file://{repository.folder}"), 1)
    assert "default.yml differs from what is committed: commit it or put it back first" in words
    assert repository.git("rev-parse", "HEAD") == before


def test_a_hook_of_another_repository_does_not_lead_elsewhere(
    repository: Repository, file: Path, diracx: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Repository(tmp_path / "other")
    other.commit("Registry: 5")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    assert "VOs: lhcb" in said(diracx("check", f"git+file://{repository.folder}"))


def test_a_tag_cannot_be_changed(repository: Repository, file: Path, diracx: Run) -> None:
    repository.git("tag", "v1")
    words = refused(diracx(*BOB, "--source", f"git+file://{repository.folder}?revision=v1"), 2)
    assert "v1 in" in words and "is no branch: it cannot be changed" in words


@pytest.mark.parametrize("kind", ["file", "repository"])
def test_of_many_changes_at_once_none_is_lost(file: Path, repository: Repository, kind: str) -> None:
    url = str(file) if kind == "file" else f"git+file://{repository.folder}"
    start = threading.Barrier(4)

    def add(number: int) -> None:
        start.wait()
        change = edit.add_user("lhcb", f"s-{number}", f"user{number}", groups=(), email=None)
        edit.apply(url, change, f"user {number}")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(4)))
    found = config.parse(config.newest(url).text, "default.yml").Registry["lhcb"]
    assert found.Groups["user"].Users == {ALICE, "s-0", "s-1", "s-2", "s-3"}


def test_somebody_elses_commit_meanwhile_is_not_run_over(repository: Repository, file: Path) -> None:
    def change(found: config.Config, text: str) -> str:
        repository.commit(COMMENTED + "# theirs\n")
        return text + "# ours\n"

    with pytest.raises(Conflict, match="has changed meanwhile"):
        edit.apply(f"git+file://{repository.folder}", change, "ours")
    assert "# theirs" in repository.git("show", "HEAD:default.yml")
