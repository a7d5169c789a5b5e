"""`diracx notices`."""

from typing import Any

from tests.unit.cli.conftest import Run, json_of
from tests.unit.cli.server import Answer, Server

PATH = "/api/notices"
MESSAGE = {"message_id": 12, "channel": "mail", "state": "Sent", "error": ""}
MESSAGE |= {"made_at": "2026-11-26T15:00:00.000000Z", "ended_at": None}
WISHES: dict[str, Any] = {
    "mail": "alice@example.org",
    "unconfirmed_mail": "",
    "webhook": "",
    "events": ["done", "failed"],
    "interval": 600,
    "sends_mail": True,
    "waiting": 3,
    "groups": ["muons"],
    "messages": [MESSAGE],
    "secret": None,
}


def test_show_says_what_is_told_where_and_what_became_of_it(diracx: Run, server: Server) -> None:
    server.gives("GET", PATH, WISHES)
    text = diracx("notices", "show", "-o", "table").stdout
    for words in ("alice@example.org", "done, failed", "every 10 min", "muons"):
        assert words in text
    assert text.splitlines()[-1].split()[:3] == ["12", "mail", "Sent"]
    assert json_of(diracx("notices", "show")) == WISHES


def test_set_sends_what_was_stated_and_nothing_else(diracx: Run, server: Server) -> None:
    server.gives("PATCH", PATH, {**WISHES, "unconfirmed_mail": "a@b.org"})
    found = diracx("notices", "set", "--mail", "a@b.org", "--event", "failed", "--every", 60)
    assert found.exit_code == 0 and "a code is on its way to a@b.org: diracx notices confirm" in found.stderr
    assert server.requests[-1].body == {"mail": "a@b.org", "events": ["failed"], "interval": 3600}
    diracx("notices", "set", "--webhook", "")
    assert server.requests[-1].body == {"webhook": ""}
    assert diracx("notices", "set").exit_code == 2


def test_a_new_secret_is_shown(diracx: Run, server: Server) -> None:
    server.gives("PATCH", PATH, {**WISHES, "webhook": "https://chat.example.org/x", "secret": "s3cr3t"})
    found = diracx("notices", "set", "--webhook", "https://chat.example.org/x", "-o", "table")
    assert "s3cr3t" in found.stdout and "shown this once" in found.stderr


def test_a_code_is_confirmed_or_sent_again(diracx: Run, server: Server) -> None:
    server.gives("POST", f"{PATH}/confirm", WISHES)
    server.gives("POST", f"{PATH}/code", {"mail": "a@b.org"})
    assert diracx("notices", "confirm", "12345678").stdout == "you are told at alice@example.org\n"
    assert server.requests[-1].body == {"code": "12345678"}
    assert diracx("notices", "confirm", "--again").stdout == "a code is on its way to a@b.org\n"
    assert diracx("notices", "confirm").exit_code == 2
    server.gives("POST", f"{PATH}/confirm", Answer({"detail": "this is not the code"}, 400))
    assert "this is not the code" in diracx("notices", "confirm", "1").stderr


def test_a_test_waits_for_what_becomes_of_it(diracx: Run, server: Server) -> None:
    server.gives("POST", f"{PATH}/test", {"mail": 12, "webhook": None})
    waiting = {**WISHES, "messages": [{**MESSAGE, "state": "Waiting"}]}
    server.gives("GET", PATH, waiting, WISHES)
    found = diracx("notices", "test")
    assert (found.exit_code, found.stdout) == (0, "mail is Sent\n")
    busy = {**MESSAGE, "state": "Waiting", "error": "451 too busy"}
    server.gives("GET", PATH, {**WISHES, "messages": [busy]})
    found = diracx("notices", "test")
    assert (found.exit_code, found.stdout) == (1, "mail is Waiting: 451 too busy; it is tried again\n")


def test_groups_are_watched_and_forgotten(diracx: Run, server: Server) -> None:
    for method in ("POST", "DELETE"):
        server.gives(method, f"{PATH}/groups/muons%2F2026", WISHES)
    assert "when your jobs of the group muons/2026" in diracx("notices", "watch", "muons/2026").stdout
    assert "nothing of the group" in diracx("notices", "watch", "muons/2026", "--off").stdout


def test_off_forgets_everything(diracx: Run, server: Server) -> None:
    server.gives("DELETE", PATH, WISHES)
    assert diracx("notices", "off").stdout == "you are told nothing any more\n"
    assert len(server.asked("DELETE", PATH)) == 1
