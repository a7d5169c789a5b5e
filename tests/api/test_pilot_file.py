"""The pilot's one file over the API, and the script that fetches it on a node and starts it."""

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.settings import settings
from diracx_tasks.pilots import package, pilot_file
from diracx_tasks.pilots.queues import Queue
from diracx_tasks.pilots.script import PAUSES, script
from tests import small_pilot
from tests.api.caller import Api
from tests.api.served import served
from tests.builders import VO, Installation
from tests.servers.programs import need

FILE, CHECKSUM = "/api/pilots/diracx-pilot.pyz", "/api/pilots/diracx-pilot.sha256"
SECRET = "a-secret-of-one-pilot"
NEEDED = ("sh", "mkdir", "rm", "head", "tail", "sleep", "cat")
MORE = ("sha256sum",)


def queue(**options: Any) -> Queue:
    """A queue whose element has these options."""
    offered = {"processors": 2, "ram_mb": 3000, "max_wall_seconds": 7200, "tags": ("GPU", "lhcb's own")}
    return Queue("LCG.CERN.ch", "ce01", "long", **offered, ce_options={"CEType": "local", **options})  # type: ignore[arg-type]


class Node:
    """A worker node with few programs, where a batch system runs a script as a file."""

    def __init__(self, folder: Path, *programs: str) -> None:
        self.folder, self.bin, self.tmp = folder, folder / "bin", folder / "scratch"
        for made in (self.bin, self.tmp):
            made.mkdir(parents=True)
        for name in (*NEEDED, *programs):
            (self.bin / name).symlink_to(need(name))

    def has(self, program: str, lines: str) -> None:
        """Give it a program of its own."""
        (self.bin / program).write_text(f"#!/bin/sh\n{lines}\n")
        (self.bin / program).chmod(0o755)

    def has_python(self, name: str = "python3") -> str:
        """Give it this Python under a name; the path of it."""
        self.has(name, f'exec {sys.executable} "$@"')
        return str(self.bin / name)

    def start(self, text: str, **more: str) -> "subprocess.Popen[str]":
        """Start a script with the strictest shell there is."""
        file = self.folder / "script"
        file.write_text(text)
        environment = {"PATH": str(self.bin), "TMPDIR": str(self.tmp), **more}
        return subprocess.Popen(
            [need("dash"), str(file)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
        )

    def runs(self, text: str, **more: str) -> tuple[int, str, str]:
        """Exit code, output and complaints of a script."""
        process = self.start(text, **more)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


@pytest.fixture
def served_at(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The API behind a real server, whose address scripts have."""
    with served() as url:
        monkeypatch.setenv("DIRACX_URL", url)
        settings.cache_clear()
        yield url


def test_the_file_needs_no_token_and_says_its_checksum(api: Api, installation: Installation) -> None:
    content = (installation.folder / "pilot.pyz").read_bytes()
    digest = hashlib.sha256(content)
    answer = api.ask("GET", FILE, by=None)
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["ETag"] == f'"{digest.hexdigest()}"'
    assert answer.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    told = api.ask("GET", CHECKSUM, by=None)
    assert (told.status_code, told.text) == (200, f"{digest.hexdigest()}  diracx-pilot.pyz\n")


def test_who_has_it_is_not_sent_it_again(api: Api) -> None:
    etag = api.ask("GET", FILE, by=None).headers["ETag"]
    again = api.ask("GET", FILE, by=None, headers={"If-None-Match": f'W/"x", {etag}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
    assert api.ask("GET", FILE, by=None, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_pilot_that_waited_gets_the_file_of_its_own_version(api: Api, installation: Installation) -> None:
    folder = installation.folder / pilot_file.FOLDER
    folder.mkdir(exist_ok=True)
    earlier = hashlib.sha256(b"an earlier one").hexdigest()
    (folder / f"{earlier}.pyz").write_bytes(b"an earlier one")
    answer = api.ask("GET", FILE, by=None, params={"sha256": earlier})
    assert (answer.status_code, answer.content) == (200, b"an earlier one")
    assert "immutable" in answer.headers["Cache-Control"]
    unknown = api.ask("GET", FILE, by=None, params={"sha256": "0" * 64})
    assert (unknown.status_code, "is not here, but" in unknown.text) == (404, True)
    assert api.ask("GET", FILE, by=None, params={"sha256": "../../keys/jwks.json"}).status_code == 422


def test_a_file_that_was_packed_by_hand_and_is_gone_is_said(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRACX_PILOT_FILE", "/nowhere/pilot.pyz")
    settings.cache_clear()
    with pytest.raises(SettingsError, match=r"/nowhere/pilot[.]pyz cannot be read: No such"):
        pilot_file.current()


@pytest.mark.parametrize("program", ["curl", "wget", "neither"])
def test_the_script_fetches_the_file_with_what_there_is_and_starts_it(
    served_at: str, tmp_path: Path, program: str
) -> None:
    node = Node(tmp_path / "node", *([program, *MORE] if program != "neither" else []))
    node.has_python()
    code, out, err = node.runs(script(VO, queue(), "stamp-1", SECRET).text, PYTHONPATH="/of/the/node")
    assert (code, err) == (0, "")
    told = json.loads(out)
    folder = str(node.tmp / "diracx-stamp-1")
    assert told["arguments"] == [
        *("--work-dir", folder, "--site", "LCG.CERN.ch", "--ce", "ce01", "--queue", "long"),
        *("--cores", "2", "--ram-mb", "3000", "--wall-seconds", "7200"),
        *("--tag", "GPU", "--tag", "lhcb's own", "--tag", "diracx:queue:ce01/long", "--idle-seconds", "300"),
    ]
    said = told["said"]
    assert (said["DIRACX_URL"], said["DIRACX_PILOT_STAMP"]) == (served_at, "stamp-1")
    assert (said["DIRACX_PILOT_SECRET"], said["DIRACX_PILOT_FOLDER"]) == (SECRET, folder)
    assert "PYTHONPATH" not in said
    assert set(told["there"]) <= {"diracx-pilot.pyz", "trouble"}
    assert (node.tmp / "diracx-stamp-1").stat().st_mode & 0o777 == 0o700


def test_nothing_that_the_script_runs_first_is_told_the_secret(served_at: str, tmp_path: Path) -> None:
    node = Node(tmp_path / "node", *MORE)
    seen = tmp_path / "seen"
    for name in ("mkdir", "curl", "sleep", "tail"):
        (node.bin / name).unlink(missing_ok=True)
        node.has(name, f'echo "$0 $* <$DIRACX_PILOT_SECRET>" >> {seen}\nexec {need(name)} "$@"')
    has_it = "${DIRACX_PILOT_SECRET:+has it}"
    node.has("python3", f'echo "$0 $* {has_it}" >> {seen}\nexec {sys.executable} "$@"')
    code, _, err = node.runs(f"set -x\n{script(VO, queue(), 'stamp-1', SECRET).text}")
    assert code == 0
    assert SECRET not in err
    commands = seen.read_text()
    assert "curl" in commands and "python3" in commands and SECRET not in commands
    assert [line for line in commands.splitlines() if "has it" in line] == commands.splitlines()[-1:]


def test_another_content_than_was_promised_is_not_run(
    served_at: str, installation: Installation, tmp_path: Path
) -> None:
    node = Node(tmp_path / "node", "curl", *MORE)
    node.has_python()
    text = script(VO, queue(), "stamp-1", SECRET).text
    folder = installation.folder / pilot_file.FOLDER
    folder.mkdir(exist_ok=True)
    (promised,) = [line for line in text.splitlines() if line.startswith("checksum=")]
    (folder / f"{promised.removeprefix('checksum=')}.pyz").write_bytes(b"import evil")
    code, out, err = node.runs(text)
    assert (code, out) == (1, "")
    found = hashlib.sha256(b"import evil").hexdigest()
    assert f"has the SHA-256 {found}, not" in err and "it is not run" in err
    assert list(node.tmp.iterdir()) == []


def test_a_server_that_is_away_is_asked_again_and_then_told_of(served_at: str, tmp_path: Path) -> None:
    node = Node(tmp_path / "node", "curl", *MORE)
    node.has_python()
    (node.bin / "sleep").unlink()
    node.has("sleep", f'echo "$1" >> {tmp_path}/slept')
    text = script(VO, queue(), "stamp-1", SECRET).text.replace(served_at, "http://127.0.0.1:9")
    code, out, err = node.runs(text)
    assert (code, out) == (1, "")
    assert err.startswith("diracx-pilot: http://127.0.0.1:9/api/pilots/diracx-pilot.pyz?sha256=")
    assert " cannot be fetched: curl: (7) " in err and len(err.splitlines()) == 1
    assert (tmp_path / "slept").read_text().split() == [str(pause) for pause in PAUSES]
    assert list(node.tmp.iterdir()) == []


def test_the_python_of_the_queue_is_taken_and_others_are_tried(served_at: str, tmp_path: Path) -> None:
    node = Node(tmp_path / "node", "curl", *MORE)
    node.has("python3", 'echo "diracx-pilot: this is Python 2.7" >&2\nexit 78')
    text = script(VO, queue(), "stamp-1", SECRET).text
    code, _, err = node.runs(text)
    assert (code, err) == (
        1,
        "diracx-pilot: no Python here runs it: diracx-pilot: this is Python 2.7; see diracx pilots pack\n",
    )
    node.has_python("python3.13")
    assert node.runs(text)[0] == 0
    shutil.rmtree(node.tmp / "diracx-stamp-1")
    (node.bin / "python3.13").unlink()
    other = Node(tmp_path / "elsewhere").has_python("python")
    options = {"Queues": {"long": {"PilotPython": other}}}
    code, out, _ = node.runs(script(VO, queue(**options), "stamp-1", SECRET).text)
    assert (code, bool(out)) == (0, True)


def test_a_node_without_python_says_what_to_do(served_at: str, tmp_path: Path) -> None:
    node = Node(tmp_path / "node", "curl", *MORE)
    code, _, err = node.runs(script(VO, queue(), "stamp-1", SECRET).text)
    assert (code, err) == (
        1,
        "diracx-pilot: there is no python3 on this node: state PilotPython for the queue\n",
    )
    assert list(node.tmp.iterdir()) == []


def test_a_pilot_that_is_installed_on_the_node_is_started_as_it_is(
    installation: Installation, tmp_path: Path
) -> None:
    node = Node(tmp_path / "node")
    node.has("diracx-pilot", 'echo "$DIRACX_PILOT_STAMP $*"')
    text = script(VO, queue(PilotInstalled="True"), "stamp-1", SECRET).text
    code, out, _ = node.runs(text)
    assert (code, out.startswith("stamp-1 --site LCG.CERN.ch --ce ce01 --queue long")) == (0, True)
    assert "curl" not in text


def test_a_signal_reaches_the_pilot(served_at: str, installation: Installation, tmp_path: Path) -> None:
    told = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('ended as asked'))\n"
        "print('waits', flush=True)\ntime.sleep(60)\n"
    )
    small_pilot.write(installation.folder / "pilot.pyz", rest=told)
    node = Node(tmp_path / "node", "curl", *MORE)
    node.has_python()
    process = node.start(script(VO, queue(), "stamp-1", SECRET).text)
    assert process.stdout is not None and process.stdout.readline() == "waits\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[1] == "ended as asked\n"


def test_the_first_who_asks_has_the_file_made_and_is_told_to_come_again(
    api: Api, monkeypatch: pytest.MonkeyPatch, installation: Installation
) -> None:
    monkeypatch.delenv("DIRACX_PILOT_FILE")
    settings.cache_clear()
    folder = installation.folder / pilot_file.FOLDER
    folder.mkdir(exist_ok=True)
    # Somebody else is about to make it: nobody makes it twice.
    with pilot_file.one_at_a_time(folder):
        answer = api.ask("GET", FILE, by=None)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "the pilot's file is being made" in answer.text
        made = hashlib.sha256(b"made").hexdigest()
        (folder / f"{made}.pyz").write_bytes(b"made")
        (folder / f"{package.content_key()}.sha256").write_text(made)
    answer = api.ask("GET", FILE, by=None)
    assert (answer.status_code, answer.content) == (200, b"made")
    assert pilot_file.current().sha256 == made
    assert sorted(os.listdir(folder)) == sorted([f"{made}.pyz", f"{package.content_key()}.sha256", "lock"])


def test_files_that_no_pilot_can_wait_for_any_more_are_removed(
    installation: Installation, tmp_path: Path
) -> None:
    # The second one was given to pilots until the third was made a moment ago.
    files = [tmp_path / f"{str(number) * 64}.pyz" for number in range(3)]
    for file, days in zip(files, (99, pilot_file.KEPT_DAYS + 1, 0), strict=True):
        file.write_bytes(b"")
        made_at = time.time() - days * pilot_file.DAY
        os.utime(file, (made_at, made_at))
    pilot_file.forget(tmp_path, but=files[2].stem)
    assert [file.exists() for file in files] == [False, True, True]


def test_a_pilot_that_waits_gets_the_file_that_was_packed_before_the_new_one(
    api: Api, installation: Installation
) -> None:
    before = api.ask("GET", FILE, by=None)
    small_pilot.write(installation.folder / "pilot.pyz", rest="print('new')\n")
    after = api.ask("GET", FILE, by=None)
    assert after.headers["ETag"] != before.headers["ETag"]
    earlier = api.ask("GET", FILE, by=None, params={"sha256": before.headers["ETag"].strip('"')})
    assert (earlier.status_code, earlier.content) == (200, before.content)
