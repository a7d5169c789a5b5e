"""The official command line and `diracx.api` as users have them, and a client that repeats itself."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3
from azure.core.exceptions import HttpResponseError
from diracx.api.jobs import create_sandbox, download_sandbox
from diracx.client.aio import AsyncDiracClient
from diracx.client.sync import SyncDiracClient
from diracx.core.preferences import DiracxPreferences

from tests.builders import Installation, a_user, installation, template
from tests.desk import OFFICIAL
from tests.integration.official import Official, Site, serving
from tests.servers import Rgw

__all__ = ["installation", "template"]
pytestmark = pytest.mark.integration
JDL = 'Executable = "echo";\nArguments = "hello";\nJobName = "{}";\n'
COLUMNS = ("JobID", "Status", "MinorStatus", "ApplicationStatus", "JobGroup", "Site", "JobName", "Owner")


@pytest.fixture
def site(installation: Installation, tmp_path: Path) -> Iterator[Site]:
    """A running server, and alice at her desk."""
    with serving(installation, tmp_path) as found:
        found.be(a_user())
        yield found


def dirac(site: Site, *words: str, form: str = "JSON") -> str:
    """What a command prints."""
    site.environment["DIRACX_OUTPUT_FORMAT"] = form
    done = site.run(*OFFICIAL, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_jobs_are_submitted_and_searched_as_users_type_it(site: Site) -> None:
    files = []
    for name in ("first", "second", "third"):
        file = site.folder / f"{name}.jdl"
        file.write_text(JDL.format(name))
        files.append(str(file))
    said = dirac(site, "jobs", "submit", *files)
    assert said == "Inserted 3 jobs with ids: 1,2,3\n"
    found = json.loads(dirac(site, "jobs", "search"))
    assert [job["JobID"] for job in found] == [1, 2, 3]
    assert set(found[0]) == {*COLUMNS, "LastUpdateTime"}
    chosen = ("--parameter", "JobID", "--parameter", "JobName")
    one = dirac(site, "jobs", "search", *chosen, "--condition", "JobName eq second")
    assert json.loads(one) == [{"JobID": 2, "JobName": "second"}]
    several = ("--condition", 'JobID in ["1", "3"]', "--condition", "Status eq Received")
    assert json.loads(dirac(site, "jobs", "search", *chosen, *several)) == [
        {"JobID": 1, "JobName": "first"},
        {"JobID": 3, "JobName": "third"},
    ]
    everything = json.loads(dirac(site, "jobs", "search", "--all", "--condition", "JobID gt 2"))
    assert everything[0]["VO"] == "lhcb" and len(everything[0]) > len(found[0])
    page = ("--page", "2", "--per-page", "2")
    assert json.loads(dirac(site, "jobs", "search", *chosen, *page)) == [{"JobID": 3, "JobName": "third"}]
    table = " ".join(dirac(site, "jobs", "search", *chosen, *page, form="RICH").split())
    assert "third" in table and "Showing 2-2 of 3 jobs" in table
    assert "Showing all jobs" in dirac(site, "jobs", "search", form="RICH")
    nothing = ("--condition", "JobName eq nobody")
    assert dirac(site, "jobs", "search", *nothing, form="RICH") == "No jobs found\n"
    assert json.loads(dirac(site, "jobs", "search", *nothing)) == []


def test_the_configuration_is_printed_and_who_one_is(site: Site) -> None:
    for form in ("JSON", "RICH"):
        found = json.loads(dirac(site, "config", "dump", form=form))
        assert found["Registry"]["lhcb"]["Groups"]["user"]["Properties"] == ["NormalUser"]
    assert json.loads(dirac(site, "whoami"))["preferred_username"] == "alice"
    site.be(None)
    assert "You are not authenticated" in dirac(site, "whoami")


@pytest.fixture(params=["folder", "s3"])
def stored(request: pytest.FixtureRequest, installation: Installation, tmp_path: Path) -> Iterator[Site]:
    """A running server whose sandboxes are in a folder, or in a real S3."""
    stated = {}
    if request.param == "s3":
        rgw: Rgw = request.getfixturevalue("rgw")
        stated = {
            "DIRACX_S3_ENDPOINT": rgw.endpoint,
            "DIRACX_S3_BUCKET": rgw.bucket,
            "DIRACX_S3_ACCESS_KEY": rgw.access_key,
            "DIRACX_S3_SECRET_KEY": rgw.secret_key,
            "DIRACX_S3_REGION": rgw.region,
        }
    with serving(installation, tmp_path, **stated) as found:
        found.be(a_user())
        yield found


def test_sandboxes_go_up_and_come_down_and_belong_to_a_job(stored: Site) -> None:
    made = stored.folder / "made"
    (made / "inner").mkdir(parents=True)
    (made / "inner" / "é.txt").write_text("hello")
    (stored.folder / "run.sh").write_text("#!/bin/sh\necho hello\n")
    paths = [made, stored.folder / "run.sh"]

    async def there_and_back() -> str:
        async with AsyncDiracClient(diracx_preferences=stored.preferences) as client:
            pfn: str = await create_sandbox(paths, client=client)
            assert await create_sandbox(paths, client=client) == pfn
            await download_sandbox(pfn, stored.folder / "fetched", client=client)
            return pfn

    pfn = asyncio.run(there_and_back())
    assert pfn.startswith("SB:SandboxSE|/S3/") and pfn.endswith(".tar.zst")
    fetched = stored.folder / "fetched"
    assert (fetched / "made" / "inner" / "é.txt").read_text() == "hello"
    assert (fetched / "run.sh").read_text() == "#!/bin/sh\necho hello\n"
    plain = pfn.removeprefix("SB:SandboxSE|")
    with Official(stored, "sync", a_user()) as alice:
        text = JDL.format("with a sandbox") + f'InputSandbox = {{"{pfn}"}};'
        (job,) = alice.ask("jobs.submit_jdl_jobs", [text], status=201)
        alice.ask("jobs.assign_sandbox_to_job", job.job_id, pfn)
        found = alice.ask("jobs.get_job_sandboxes", job.job_id)
    assert found == {"Input": [plain], "Output": [plain]}


@dataclass
class Between:
    """What stands between a client and the server: the first answers to submissions are lost on the way."""

    server: str
    loses: int = 1
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def between(server: str, loses: int) -> Iterator[Between]:
    """Such a place, running."""
    made = Between(server, loses)

    class Handler(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {**dict(self.headers), "Connection": "close"}
            found = urllib3.request(
                self.command, made.server + self.path, headers=headers, body=body, retries=False
            )
            status, data = found.status, found.data
            if self.path == "/api/jobs/jdl":
                made.asked.append((self.headers["x-ms-client-request-id"], self.headers["Content-Type"]))
                if len(made.asked) <= made.loses:
                    status, data = 503, b'{"detail": "lost on the way"}'
            self.send_response(status)
            self.send_header("Content-Type", found.headers["Content-Type"])
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = pass_on

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        made.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield made
        finally:
            http.shutdown()
            thread.join()


def test_a_client_whose_answer_was_lost_asks_again_and_gets_the_same_job(site: Site) -> None:
    with between(site.url, loses=2) as place:
        preferences: Any = DiracxPreferences(url=place.url, credentials_path=site.file)
        with SyncDiracClient(diracx_preferences=preferences) as client:
            (job,) = client.jobs.submit_jdl_jobs([JDL.format("once")])
            assert [one["JobID"] for one in client.jobs.search(parameters=["JobID"])] == [job.job_id]
            (another,) = client.jobs.submit_jdl_jobs([JDL.format("once")])
    ids = [request_id for request_id, _ in place.asked]
    assert len(ids) == 4 and len(set(ids)) == 2 and len(set(ids[:3])) == 1
    assert another.job_id != job.job_id


@pytest.mark.parametrize(
    "version, words",
    [
        ("0.0.1a0", "Client version 0.0.1a0 is not compatible with the server. Upgrade"),
        ("Unknown", "Invalid version string: 'Unknown'"),
        ("x" * 3000, "Invalid version string"),
    ],
    ids=["old", "Unknown", "long"],
)
def test_a_client_that_is_too_old_or_says_nonsense_is_told_so(site: Site, version: str, words: str) -> None:
    with SyncDiracClient(diracx_preferences=site.preferences) as client:
        client._config.headers_policy.add_header("DiracX-Client-Version", version)
        for call in (client.auth.userinfo, client.jobs.search, client.well_known.get_jwks):
            with pytest.raises(HttpResponseError) as caught:
                call()
            assert caught.value.status_code == 400
            assert caught.value.response is not None
            assert json.loads(caught.value.response.text())["detail"].startswith(words)
