"""`diracx sites list`, `ban` and `allow`."""

import re
from typing import Any

from tests.architecture.source import ROOT
from tests.unit.cli.conftest import Run, json_of
from tests.unit.cli.server import Answer, Server

ROW: dict[str, Any] = {
    "site": "LCG.CERN.ch",
    "ce": "ce1",
    "queue": "long",
    "kind": "Slurm",
    "is_allowed": True,
    "barred": "",
    "breaker": "closed",
    "breaker_reason": "",
    "breaker_until": None,
    "waiting": 3,
    "running": 80,
    "test": "Done",
    "test_reason": "",
    "test_ended_at": "2026-11-26T15:00:00.000000Z",
}
BANNED = {"name": "LCG.CERN.ch", "kind": "Site", "status": "Banned", "reason": "power cut", "closed": 0}


def test_the_list_says_why_a_queue_gets_no_pilots(diracx: Run, server: Server) -> None:
    barred = {"site": "LCG.RAL.uk", "is_allowed": False, "barred": "LCG.RAL.uk is not to be used: fire"}
    broken = {"queue": "short", "breaker": "open", "breaker_reason": "6 of 6 pilots were aborted", "test": ""}
    server.gives("GET", "/api/sites/", [ROW, {**ROW, **broken}, {**ROW, **barred}])
    first, second, third = diracx("sites", "list", "-o", "table").stdout.splitlines()[1:]
    assert first.split() == ["LCG.CERN.ch", "ce1", "long", "yes", "closed", "3", "80", "Done"]
    assert "never" in second and "6 of 6 pilots were aborted" in second
    assert "  no  " in third and "LCG.RAL.uk is not to be used: fire" in third
    assert [row["site"] for row in json_of(diracx("sites", "list", "--site", "LCG.RAL.uk"))] == ["LCG.RAL.uk"]


def test_without_queues_the_list_says_so(diracx: Run, server: Server) -> None:
    server.gives("GET", "/api/sites/", [])
    server.gives("GET", "/api/sites/tests", [])
    for command in ("list", "tests"):
        said = diracx("sites", command).stderr
        assert "there are no queues in the configuration: what `diracx up` runs needs none" in said
        (page,) = re.findall(r"docs/[a-z-]+\.md", said)
        assert "    Resources:\n      Sites:" in (ROOT / page).read_text()


def test_a_site_is_banned_with_a_reason(diracx: Run, server: Server) -> None:
    server.gives("POST", "/api/sites/ban", BANNED)
    assert diracx("sites", "ban", "LCG.CERN.ch").exit_code == 2
    found = diracx("sites", "ban", "LCG.CERN.ch", "--reason", "power cut")
    assert found.stdout == "LCG.CERN.ch is Banned: power cut\n"
    assert server.requests[-1].body == {"site": "LCG.CERN.ch", "ce": "", "reason": "power cut"}


def test_allowing_says_which_queues_get_pilots_again(diracx: Run, server: Server) -> None:
    server.gives(
        "POST", "/api/sites/allow", {**BANNED, "status": "Active", "reason": "repaired", "closed": 2}
    )
    found = diracx("sites", "allow", "--ce", "ce1")
    assert found.stdout == "LCG.CERN.ch is Active: repaired; 2 queues get pilots again\n"
    assert server.requests[-1].body == {"site": "", "ce": "ce1", "reason": "it works again"}
    assert diracx("sites", "allow").exit_code == 2


def test_a_site_that_is_not_there_is_an_error_in_words(diracx: Run, server: Server) -> None:
    words = "there is no site CERN in the configuration; is LCG.CERN.ch meant?"
    server.gives("POST", "/api/sites/ban", Answer({"detail": words}, 404))
    found = diracx("sites", "ban", "CERN", "--reason", "x")
    assert (found.exit_code, words in found.stderr) == (1, True)
