"""Pilots that are processes: of this machine, and of one that ssh reaches."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from diracx_tasks.core.errors import SettingsError, Unavailable
from diracx_tasks.core.settings import settings
from diracx_tasks.pilots.computing.shell import Here, here_document, whole
from diracx_tasks.pilots.elements import ComputingElement, Refused, State, Told, element
from tests.integration.computing.pilots import all_until, pilot, pilots, until
from tests.servers import Sshd
from tests.servers.sshd import options as over

pytestmark = pytest.mark.integration

RUNNING = {State.RUNNING}
KILLED = Told(State.ABORTED, "killed")


@pytest.fixture(params=["here", "over ssh"])
def host(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ComputingElement:
    """This machine, and the same as another host."""
    stated = {"CEType": "Local", "SharedArea": str(tmp_path), "KillWait": 1}
    if request.param == "over ssh":
        sshd: Sshd = request.getfixturevalue("sshd")
        sshd.trusted(monkeypatch)
        stated |= {"CEType": "SSH", **over(sshd)}
    return element("box", stated)


@pytest.fixture
def box(tmp_path: Path) -> ComputingElement:
    """This machine."""
    return element("box", {"CEType": "Local", "SharedArea": str(tmp_path), "KillWait": 1})


def test_a_pilot_is_started_found_asked_and_its_output_read(host: ComputingElement) -> None:
    good, bad = pilot("echo started; echo 'it is $HOME' >&2"), pilot("exit 7")
    taken = host.submit("queue", [good, bad])
    assert set(taken) == {good.stamp, bad.stamp}
    assert host.find([good.stamp, "absent", bad.stamp]) == taken
    told = all_until(host, taken.values())
    assert (told[taken[good.stamp]], told[taken[bad.stamp]]) == (
        Told(State.DONE),
        Told(State.FAILED, "exit code 7"),
    )
    assert host.output(taken[good.stamp]) == ("started\n", "it is $HOME\n")
    assert host.status(["local://box/absent"])["local://box/absent"].state is State.UNKNOWN


def test_a_pilot_is_killed_with_its_children_also_when_it_does_not_listen(host: ComputingElement) -> None:
    listens, deaf = (
        pilot("sleep 100 & echo $!; wait"),
        pilot("trap '' TERM", "sleep 100 & echo $!; wait; wait"),
    )
    ended = pilot()
    taken = host.submit("queue", [listens, deaf, ended])
    until(host, taken[ended.stamp])
    children: list[int] = []
    for one in (listens, deaf):
        while not (written := host.output(taken[one.stamp])[0]):
            pass
        children.append(int(written))
    for _ in range(2):
        host.kill([*taken.values(), "local://box/absent"])
    told = all_until(host, taken.values())
    assert [told[taken[one.stamp]] for one in (listens, deaf, ended)] == [KILLED, KILLED, Told(State.DONE)]
    assert not [
        pid for pid in children if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"
    ]


def test_the_same_pilot_is_started_once(box: ComputingElement, tmp_path: Path) -> None:
    one = pilot(f"echo once >> {tmp_path}/times; sleep 100")
    first = box.submit("queue", [one])
    until(box, first[one.stamp], RUNNING)
    assert box.submit("queue", [one]) == first
    box.kill(first.values())
    assert box.submit("queue", [one]) == first and box.status(first.values()) == {first[one.stamp]: KILLED}
    assert (tmp_path / "times").read_text() == "once\n"


def test_a_pilot_outlives_the_death_of_who_submitted_it(box: ComputingElement, tmp_path: Path) -> None:
    program = (
        "from diracx_tasks.pilots.elements import element, PilotScript\n"
        "import os, signal\n"
        f"box = element('box', {{'CEType': 'Local', 'SharedArea': {str(tmp_path)!r}}})\n"
        "box.submit('queue', [PilotScript('abc', '#!/bin/sh\\nsleep 1; echo end; exit 3\\n')])\n"
        "os.killpg(0, signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", program], start_new_session=True, check=False)
    assert died.returncode == -9
    found = box.find(["abc"])
    assert until(box, found["abc"]) == Told(State.FAILED, "exit code 3")
    assert box.output(found["abc"]) == ("end\n", "")


def test_a_pilot_whose_processes_were_killed_is_aborted(box: ComputingElement) -> None:
    one = pilot("echo $PPID $$; exec sleep 100")
    (reference,) = box.submit("queue", [one]).values()
    while not (written := box.output(reference)[0]):
        pass
    for pid in written.split():
        os.kill(int(pid), 9)
    assert until(box, reference) == Told(State.ABORTED, "its process is gone and has left no exit code")
    (other,) = box.submit("queue", [pilot("kill -9 $$")]).values()
    assert until(box, other) == Told(State.FAILED, "exit code 137")


def test_a_process_of_the_same_number_is_no_pilot(box: ComputingElement, tmp_path: Path) -> None:
    one = pilot("sleep 100")
    (reference,) = box.submit("queue", [one]).values()
    until(box, reference, RUNNING)
    record = tmp_path / "box" / one.stamp / "process"
    pid, began, boot = record.read_text().split()
    for changed in (f"{pid} {int(began) - 1} {boot}\n", f"{pid} {began} {uuid4()}\n"):
        record.write_text(changed)
        assert box.status([reference])[reference].state is State.ABORTED
    (record.parent / "lost").unlink()
    record.write_text(f"{pid} {began} {boot}\n")
    box.kill([reference])
    assert until(box, reference) == KILLED


def test_only_we_may_read_a_pilots_secret_and_it_goes_with_the_pilot(
    box: ComputingElement, tmp_path: Path
) -> None:
    secret = uuid4().hex
    one = pilot(f"secret={secret}", "while [ ! -f go ]; do sleep 0.1; done")
    (reference,) = box.submit("queue", [one]).values()
    until(box, reference, RUNNING)
    folder = tmp_path / "box" / one.stamp
    assert [path.stat().st_mode & 0o077 for path in (folder, folder / "pilot")] == [0, 0]
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert [line for line in lines if secret in line] == []
    (folder / "go").touch()
    assert until(box, reference) == Told(State.DONE)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_text()] == []


def test_pilots_do_not_see_the_servers_settings(
    box: ComputingElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRACX_DATABASE_URL", "mysql://root:secret@db/diracx")
    (reference,) = box.submit("queue", [pilot("env")]).values()
    until(box, reference)
    assert "secret" not in box.output(reference)[0] and "HOME=" in box.output(reference)[0]


def test_thousands_are_asked_in_one_command(tmp_path: Path) -> None:
    counts = f"echo asked >> {tmp_path}/asked"
    box = element("box", {"CEType": "local", "SharedArea": str(tmp_path), "Preamble": counts})
    taken = box.submit("queue", pilots(60, "true"))
    assert len(taken) == 60
    all_until(box, taken.values())
    (tmp_path / "asked").unlink()
    told = box.status([*taken.values(), *(f"local://box/absent{one}" for one in range(3000))])
    assert [one.state for one in told.values()] == [State.DONE] * 60 + [State.UNKNOWN] * 3000
    assert (tmp_path / "asked").read_text() == "asked\n"


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_nothing_of_a_script_runs_unless_all_of_it_has_arrived(part: float) -> None:
    script = whole("echo begin\n" + "".join(f"cat {here_document('text')}" for _ in range(20)))
    assert Here().run(script, seconds=10).out == "begin\n" + "text\n" * 20
    assert Here().run(script[: int(len(script) * part)], seconds=10).out == ""


def test_what_the_host_says_to_a_start_that_fails_is_in_the_error() -> None:
    box = element("box", {"CEType": "local", "SharedArea": "/proc/none"})
    with pytest.raises(Refused, match="box: mkdir: cannot create directory"):
        box.submit("queue", [pilot()])


def test_only_the_last_megabyte_of_an_output_is_read(box: ComputingElement) -> None:
    (reference,) = box.submit("queue", [pilot("head -c 3000000 /dev/zero | tr '\\0' x; echo end")]).values()
    until(box, reference)
    out, err = box.output(reference)
    assert (len(out), out[-5:], err) == (1_000_000, "xend\n", "")


def test_a_host_that_is_not_known_or_does_not_know_us_is_away(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = {"CEType": "SSH", "SharedArea": str(tmp_path), **over(sshd)}
    with pytest.raises(SettingsError, match="need DIRACX_SSH_KNOWN_HOSTS"):
        element("box", stated)
    sshd.trusted(monkeypatch)
    # Another name of the host is another connection, beside that which is kept.
    stated["SSHHost"] = "localhost"
    with pytest.raises(Unavailable, match=r"box does not answer: ssh to localhost: .*ost key"):
        element("box", stated).submit("queue", [pilot()])
    known = tmp_path / "known"
    known.write_text(sshd.known_hosts.read_text().replace("[127.0.0.1]", "[localhost]"))
    monkeypatch.setattr(settings(), "ssh_known_hosts", str(known))
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    with pytest.raises(Unavailable, match=r"ssh to localhost: .*Permission denied"):
        element("box", {**stated, "SSHKey": str(other)}).submit("queue", [pilot()])
    with pytest.raises(SettingsError, match="there is no file /no/key"):
        element("box", {**stated, "SSHKey": "/no/key"})
    assert element("box", {**stated, "SSHKey": str(sshd.key)}).submit("queue", [pilot()])


def test_a_host_that_went_away_is_away_and_its_pilots_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sshd(tmp_path / "sshd") as sshd:
        sshd.trusted(monkeypatch)
        stated = {"CEType": "SSH", "SharedArea": str(tmp_path / "area"), **over(sshd)}
        box = element("box", {**stated, "SSHOptions": "-o ControlPath=none"})
        one = pilot("sleep 1", "exit 5")
        taken = box.submit("queue", [one])
        sshd.stop()
        with pytest.raises(Unavailable, match="Connection refused"):
            box.status(taken.values())
        sshd.start()
        assert box.find([one.stamp]) == taken
        assert until(box, taken[one.stamp]) == Told(State.FAILED, "exit code 5")
