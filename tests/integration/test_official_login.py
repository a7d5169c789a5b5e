"""The official command line logs in, says who one is, and logs out, against a real server and provider."""

import html
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

from diracx_tasks.core.schema import migrate
from tests.builders import Installation, installation, template
from tests.desk import OFFICIAL, OURS, Desk
from tests.logins import configuration, configured
from tests.processes import ROOT, Processes
from tests.provider import provider
from tests.servers import free_port
from tests.system import System, wait_for

__all__ = ["installation", "template"]


@pytest.fixture
def desk(installation: Installation, tmp_path: Path) -> Iterator[Desk]:
    """A server of ours on SQLite and Redis, a provider, and somebody who has not logged in."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (
        provider() as made,
        configured(installation, configuration(made.url), DIRACX_URL=url),
        Processes(tmp_path, {"PYTHONPATH": str(ROOT)}) as processes,
    ):
        migrate()
        server = (
            "uvicorn",
            "--factory",
            "diracx_api.app:create_app",
            f"--port={port}",
            "--log-level=warning",
        )
        processes.start("api", *server)
        wait_for(lambda: answers(f"{url}/.well-known/dirac-metadata"), 60, lambda: processes.log)
        folder = tmp_path / "home"
        folder.mkdir()
        yield Desk(url, folder, made)


def answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=5).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def who(run: Callable[..., subprocess.CompletedProcess[str]], *command: str) -> dict[str, Any]:
    done = run(*command, "whoami")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.integration
def test_the_official_command_logs_in_says_who_one_is_and_logs_out(desk: Desk) -> None:
    code, said = desk.log_in(*OFFICIAL, "login", "lhcb", "--group", "admins")
    assert code == 0 and "Login successful!" in said, said
    assert desk.file.stat().st_mode & 0o777 == 0o600
    me = who(desk.run, *OFFICIAL)
    assert (me["preferred_username"], me["dirac_group"], me["sub"]) == (
        "alice",
        "admins",
        "lhcb:subject-of-alice",
    )
    assert who(desk.run, *OURS) == me
    done = desk.run(*OFFICIAL, "logout")
    assert done.returncode == 0 and "Logout successful!" in done.stdout, done.stderr
    assert not desk.file.exists()


@pytest.mark.integration
def test_our_command_logs_in_for_both(desk: Desk) -> None:
    code, said = desk.log_in(*OURS, "login", "lhcb", "--property", "JobAdministrator")
    assert code == 0 and "alice is logged in to lhcb as user" in said, said
    assert desk.file.stat().st_mode & 0o777 == 0o600
    me = who(desk.run, *OFFICIAL)
    assert me["properties"] == ["JobAdministrator", "NormalUser"] and who(desk.run, *OURS) == me
    token = json.loads(desk.file.read_text())["refresh_token"]
    assert desk.run(*OURS, "logout").returncode == 0
    assert not desk.file.exists()
    form = {"grant_type": "refresh_token", "client_id": "myDIRACClientID", "refresh_token": token}
    assert desk.send("token", form) == 401
    assert desk.run(*OURS, "logout").stdout == "nobody is logged in\n"


@pytest.mark.integration
def test_both_stop_at_once_with_the_reason_when_the_provider_refuses(desk: Desk) -> None:
    desk.provider.denial = "access_denied"
    code, said = desk.log_in(*OFFICIAL, "login", "lhcb")
    assert code != 0 and "access_denied" in said
    code, said = desk.log_in(*OURS, "login", "lhcb")
    assert code == 4 and "not logged in: the user said no" in said
    assert not desk.file.exists()


@pytest.mark.integration
@pytest.mark.parametrize(
    "commands", [(OFFICIAL,), (OURS,), (OFFICIAL, OURS)], ids=["official", "ours", "both"]
)
def test_processes_that_renew_at_once_do_not_log_their_user_out(
    desk: Desk, commands: tuple[tuple[str, ...], ...]
) -> None:
    assert desk.log_in(*OURS, "login", "lhcb")[0] == 0
    for _ in range(2):
        before = desk.expire()
        with ThreadPoolExecutor(4) as pool:
            done = list(
                pool.map(lambda number: desk.run(*commands[number % len(commands)], "whoami"), range(6))
            )
        assert [one.returncode for one in done] == [0] * 6, done[0].stderr
        assert json.loads(desk.file.read_text())["refresh_token"] != before


@pytest.mark.integration
def test_a_login_that_was_ended_elsewhere_asks_for_another(desk: Desk) -> None:
    assert desk.log_in(*OURS, "login", "lhcb")[0] == 0
    form = {"token": desk.expire()}
    assert desk.send("revoke", form) == 200
    done = desk.run(*OURS, "whoami")
    assert done.returncode == 4 and "log in again with `diracx login`" in done.stderr
    code, said = desk.log_in(*OURS, "login", "lhcb")
    assert code == 0, said
    assert who(desk.run, *OFFICIAL)["preferred_username"] == "alice"


@pytest.mark.integration
def test_our_command_says_which_vos_there_are(desk: Desk) -> None:
    done = desk.run(*OURS, "login")
    assert done.returncode == 2 and "belle, lhcb" in done.stderr
    done = desk.run(*OURS, "login", "nope")
    assert done.returncode == 2 and "there is no VO 'nope'" in done.stderr


@pytest.mark.integration
def test_up_says_how_to_log_in_and_its_page_lets_the_user_of_the_machine_in(tmp_path: Path) -> None:
    folder = tmp_path / "system"
    with System(folder) as system:
        wait_for(lambda: "ready; submit" in system.log, 30, lambda: system.log)
        said = re.search(r"log in: DIRACX_URL=(\S+) dirac login (\S+)", system.log)
        password = re.search(r"/ui, password: (\S+)", system.log)
        assert said and password
        assert f"in other terminals: export DIRACX_DATA={folder}" in system.log
        assert (folder / "keys" / "login").stat().st_mode & 0o777 == 0o600
        home = tmp_path / "home"
        home.mkdir()
        desk = Desk(said[1], home)
        group = ("login", said[2], "--group", "admin")
        code, words = desk.log_in(*OFFICIAL, *group, browse=lambda address: confirm(address, password[1]))
        assert code == 0, words
        me = who(desk.run, *OFFICIAL)
        assert me["vo"] == said[2] and "ServiceAdministrator" in me["properties"]
        desk.environment["DIRACX_DATA"] = str(folder)
        checked = json.loads(desk.run(*OURS, "admin", "check").stdout)
        (page,) = [one for one in checked if one["check"] == "login page"]
        assert page["state"] == "ok" and page["words"].startswith("on: for one machine only")


def confirm(address: str, password: str) -> None:
    """What somebody does on the login page."""
    shown = urllib3.request("GET", address)
    text = shown.data.decode()
    state, subject = (
        re.search(r'name="state" value="([^"]+)"', text),
        re.search(r'option value="([^"]+)"', text),
    )
    assert state and subject, text
    form = {"state": state[1], "subject": subject[1], "password": password, "action": "login"}
    body = urlencode({name: html.unescape(value) for name, value in form.items()})
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    where = address.partition("/api/")[0] + "/api/auth/login"
    assert urllib3.request("POST", where, body=body, headers=kind, redirect=False).status == 303
