"""`diracx data` against a running server."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from click.testing import CliRunner, Result

from diracx_tasks.auth.tokens import issue
from diracx_tasks.cli.fetching import Fetching
from diracx_tasks.cli.main import cli
from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import DiracXError
from tests.api.conftest import application
from tests.api.files import HOME, a_manager, installation, migrated
from tests.builders import Installation, a_user, environment
from tests.servers.ports import free_port
from tests.unit.node.server import wait_for

__all__ = ["installation", "migrated"]
Data = Callable[..., Result]


@pytest.fixture
def data(installation: Installation) -> Iterator[Data]:
    """The command, run by alice unless another token is given."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    stated = {name: value for name, value in os.environ.items() if name.startswith("DIRACX_")}
    server = uvicorn.Server(uvicorn.Config(application(), port=port, log_level="warning"))
    with environment(**{**stated, "DIRACX_URL": url}):
        thread = threading.Thread(target=server.run)
        thread.start()
        wait_for(lambda: server.started)

        def run(*arguments: Any, by: Any = None) -> Result:
            token = {"DIRACX_TOKEN": issue(by or a_user(), seconds=600)}
            return CliRunner().invoke(cli, ["data", *map(str, arguments)], env=token, prog_name="diracx")

        yield run
        server.should_exit = True
        thread.join()


def test_a_file_and_a_folder_go_there_and_back(data: Data, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "deep/b").write_bytes(b"\0" * 100_000)
    assert data("put", folder / "a.txt", f"{HOME}/").stdout == f"lfn:{HOME}/a.txt\n"
    put = data("put", folder, f"lfn:{HOME}/run", "--se", "SE-AWAY", "--se", "RAL-DISK")
    assert put.stdout.splitlines() == [f"lfn:{HOME}/run/a.txt", f"lfn:{HOME}/run/deep/b"], put.stderr

    assert data("ls", HOME, "-o", "id").stdout.splitlines() == ["run/", "a.txt"]
    assert data("ls", f"{HOME}/a.txt", "-o", "id").stdout == f"{HOME}/a.txt\n"
    assert '"se": "RAL-DISK"' in data("replicas", f"{HOME}/run/a.txt").stdout
    assert "RAL-DISK" in data("elements", "-o", "id").stdout.splitlines()

    back = tmp_path / "back"
    assert data("get", f"{HOME}/run/", back).exit_code == 0
    assert (back / "deep/b").read_bytes() == b"\0" * 100_000
    back.joinpath("a.txt").unlink()
    assert data("get", f"lfn:{HOME}/a.txt", back).stdout == f"{back}/a.txt\n"
    again = data("get", f"{HOME}/a.txt", back)
    assert again.exit_code == 2 and "is there already" in again.stderr

    assert data("rm", "--yes", f"{HOME}/run/a.txt", f"{HOME}/run/deep/b").exit_code == 0
    gone = data("rm", "--yes", f"{HOME}/run/a.txt")
    assert gone.exit_code == 1 and "is no file of the catalogue" in gone.stderr


def test_what_is_refused_is_said_in_words(data: Data, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("1")
    assert data("put", file, f"{HOME}/x").exit_code == 0
    file.write_text("2")
    for arguments, words in (
        (("put", file, f"{HOME}/x"), "is there with another content"),
        (("put", file, "/lhcb/data/x"), "may not write /lhcb/data/x"),
        (("put", file, f"{HOME}/a b"), "'a b' is no name"),
        (("get", f"{HOME}/none"), "is not in the file catalogue of lhcb"),
        (("ls", f"{HOME}/none"), "is no folder of the file catalogue"),
        (("replicas", f"{HOME}/none"), "is no file of the catalogue"),
    ):
        refused = data(*arguments)
        assert refused.exit_code and words in refused.stderr, refused.stderr
    assert data("put", file, "/lhcb/data/x", by=a_manager()).exit_code == 0


def test_outputs_with_lfns_are_fetched_as_the_others_are(data: Data, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("content")
    assert data("put", file, f"{HOME}/x").exit_code == 0
    folder, there = tmp_path / "outputs", {"class": "File", "basename": "x", "location": f"lfn:{HOME}/x"}
    folder.mkdir()
    client = Client(os.environ["DIRACX_URL"], issue(a_user(), seconds=600))
    outputs = {"one": there, "tree": {"class": "Directory", "basename": "tree", "listing": [there]}}
    for _ in range(2):
        placed = Fetching(client).place(outputs, folder)
        assert Path(placed["one"]["path"]).read_text() == "content"
        assert (folder / "tree/x").read_text() == "content"
    (folder / "x").write_text("mine")
    with pytest.raises(DiracXError, match="is there with another content"):
        Fetching(client).place(outputs, folder)
