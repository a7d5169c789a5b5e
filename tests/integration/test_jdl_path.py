"""JDL jobs from the official command to what it fetches, through a real API, worker and pilot."""

import asyncio
import getpass
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from diracx.api.jobs import create_sandbox, download_sandbox
from diracx.client.aio import AsyncDiracClient
from diracx.core.preferences import DiracxPreferences

from tests.desk import OFFICIAL, OURS, Desk
from tests.system import FINAL, System, wait_for
from tests.unit.node.conftest import sleeping

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
SCRIPT = """#!/bin/sh
echo "job $JOBID at $DIRACSITE: $1"
tr a-z A-Z < in.txt > upper.txt
cp upper.txt hist_$2.txt
echo warned >&2
"""
SECONDS = 60


class User(Desk):
    """The user of a running system at his terminal, who has logged in."""

    def __init__(self, system: System, folder: Path) -> None:
        super().__init__(system.client.url, folder)
        self.system = system
        self.file.parent.mkdir(parents=True)
        token = system.client.token
        kept = {"access_token": token, "refresh_token": token, "expires_on": int(time.time()) + 3600}
        self.file.write_text(json.dumps(kept))
        name = getpass.getuser()
        self.home = f"/local/user/{name[:1]}/{name}"

    def types(self, *command: str) -> str:
        """What a command prints that must succeed."""
        done = self.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def submits(self, jdl: str) -> int:
        """The number of a job."""
        file = self.folder / "job.jdl"
        file.write_text(jdl)
        return int(self.types(*OFFICIAL, "jobs", "submit", str(file)).split()[-1])

    def sandbox(self, *files: Path) -> str:
        """The name of files, which were packed and sent by the official client."""

        async def sent() -> str:
            async with self._client() as client:
                return str(await create_sandbox(list(files), client=client))

        return asyncio.run(sent())

    def fetched(self, job_id: int) -> dict[str, str]:
        """A job's output sandbox, by the official client."""
        folder = self.folder / f"fetched-{job_id}"

        async def fetch() -> None:
            async with self._client() as client:
                (pfn,) = (await client.jobs.get_job_sandboxes(job_id))["Output"]
                await download_sandbox(f"SB:SandboxSE|{pfn}", folder, client=client)

        asyncio.run(fetch())
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*")}

    def ended(self, job_id: int) -> dict[str, Any]:
        """A job, once it has ended."""
        wait_for(lambda: self.job(job_id)["Status"] in FINAL, SECONDS, lambda: self.system.log[-5000:])
        return self.job(job_id)

    def job(self, job_id: int) -> dict[str, Any]:
        """A job as it is."""
        found: dict[str, Any] = self.system.client.get(f"/api/jobs/{job_id}")
        return found

    def _client(self) -> AsyncDiracClient:
        preferences = DiracxPreferences(url=self.url, credentials_path=self.file)
        return AsyncDiracClient(diracx_preferences=preferences)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """The user of a running system with one slot."""
    folder = tmp_path_factory.mktemp("jdl")
    with System(folder / "data", None, "--slots", "1") as system:
        (folder / "home").mkdir()
        yield User(system, folder / "home")


def test_a_job_runs_with_its_inputs_and_its_outputs_come_back(user: User) -> None:
    (user.folder / "in.txt").write_text("hello")
    (user.folder / "run.sh").write_text(SCRIPT)
    lfn, out = f"{user.home}/in.txt", f"{user.home}/results"
    user.types(*OURS, "data", "put", str(user.folder / "in.txt"), lfn)
    pfn = user.sandbox(user.folder / "run.sh")
    job_id = user.submits(
        'Executable = "run.sh"; Arguments = "\'two words\' %j";'
        f'InputSandbox = {{"{pfn}"}}; InputData = {{"LFN:{lfn}"}};'
        'OutputSandbox = {"std.out", "std.err", "hist_*.txt"};'
        'OutputData = {"upper.txt"}; OutputSE = {"SE-USER"}; OutputPath = "results";'
    )
    done = user.ended(job_id)
    assert (done["Status"], done["MinorStatus"]) == ("Done", "Execution Complete"), user.system.log[-3000:]
    said = f"job {job_id} at DIRAC.Local.here: two words\n"
    files = {"std.out": said, "std.err": "warned\n", f"hist_{job_id}.txt": "HELLO"}
    assert user.fetched(job_id) == files
    user.types(*OURS, "jobs", "sandbox", str(job_id), "--outdir", str(user.folder / "ours"))
    assert {path.name: path.read_text() for path in (user.folder / "ours").iterdir()} == files
    assert sorted(user.types(*OURS, "jobs", "logs", str(job_id)).splitlines()) == sorted(
        [said.strip(), "warned"]
    )
    user.types(*OURS, "data", "get", f"{out}/upper.txt", str(user.folder / "upper.txt"))
    assert (user.folder / "upper.txt").read_text() == "HELLO"
    minors = [one["MinorStatus"] for one in user.system.client.get(f"/api/jobs/{job_id}/history")]
    assert minors[-3:] == ["Uploading Output Data", "Output Data Uploaded", "Execution Complete"]


def test_a_job_that_fails_says_its_exit_code_and_its_sandbox_is_there(user: User) -> None:
    job_id = user.submits(
        'Executable = "/bin/sh"; Arguments = "-c \'echo half; exit 3\'"; OutputSandbox = {"std.out"};'
    )
    failed = user.ended(job_id)
    state = (failed["Status"], failed["MinorStatus"], failed["ApplicationStatus"])
    assert state == ("Failed", "Application Finished With Errors", "exit code 3")
    assert user.fetched(job_id) == {"std.out": "half\n"}


def test_a_job_that_is_killed_ends_with_its_processes(user: User) -> None:
    job_id = user.submits('Executable = "/bin/sh"; Arguments = "-c \'sleep 8691.5\'";')
    wait_for(lambda: bool(sleeping(8691.5)), SECONDS, lambda: user.system.log[-5000:])
    user.types(*OURS, "jobs", "kill", str(job_id))
    assert user.ended(job_id)["Status"] == "Killed"
    wait_for(lambda: not sleeping(8691.5), SECONDS, lambda: user.system.log[-5000:])
