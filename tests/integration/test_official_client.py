"""The official diracx-client 0.7.0, unmodified: every operation, with its exact status, model and error."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import urllib3
from azure.core.exceptions import (
    ClientAuthenticationError,
    ResourceExistsError,
    ResourceNotFoundError,
    ResourceNotModifiedError,
)
from diracx.client import models

from diracx_tasks.core.database import session
from diracx_tasks.resources.status import Element, state
from tests.builders import HEX, Installation, a_pilot, a_user, installation, template
from tests.desk import browse
from tests.integration.official import OPERATIONS, Official, Site, serving
from tests.logins import DEVICE, Page

__all__ = ["installation", "template"]
pytestmark = pytest.mark.integration
EVERYTHING = ("NormalUser", "JobAdministrator", "ServiceAdministrator")
ALICE = a_user(properties=EVERYTHING)
CLIENT = "myDIRACClientID"
JDL = 'Executable = "echo"; JobName = "{}"; OutputSandbox = {{"std.out"}};'
UNKNOWN = 4711


@pytest.fixture
def site(installation: Installation, tmp_path: Path) -> Iterator[Site]:
    """A running server."""
    with serving(installation, tmp_path, DIRACX_SECURITY_CONTACT="mailto:security@example.org") as found:
        yield found


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_every_operation_of_the_client_answers_as_diracx_does(site: Site, kind: str) -> None:
    with Official(site, kind) as nobody:
        well_known(nobody)
        login(nobody, site)
    with Official(site, kind, ALICE) as alice:
        who(alice)
        configuration(alice)
        first, second = jobs(alice)
        sandboxes(alice, first)
        happenings(alice, first, second)
        pilots(alice)
        resources(alice)
    assert OPERATIONS - nobody.walked - alice.walked == set()
    assert len(OPERATIONS) == 38


def well_known(official: Official) -> None:
    """What anybody may know."""
    found = official.ask("well_known.get_openid_configuration")
    assert isinstance(found, models.OpenIDConfiguration)
    assert found.token_endpoint == f"{official.site.url}/api/auth/token"
    (key,) = official.ask("well_known.get_jwks")["keys"]
    assert (key["crv"], key["alg"]) == ("Ed25519", "Ed25519") and "d" not in key
    metadata = official.ask("well_known.get_installation_metadata")
    assert metadata.virtual_organizations["lhcb"].groups["user"].properties == ["NormalUser"]
    assert "mailto:security@example.org" in official.ask("well_known.get_security_txt")


def login(official: Official, site: Site) -> None:
    """Both flows; the client follows redirects as a browser does, and says yes to nothing."""
    codes = official.ask("auth.initiate_device_flow", client_id=CLIENT, scope="vo:lhcb group:user")
    asking: dict[str, Any] = {"device_code": codes.device_code, "client_id": CLIENT}
    waiting = official.ask("auth.get_oidc_token", status=400, **asking)
    assert waiting.error == "authorization_pending"
    if official.loop:
        # aiohttp keeps no cookies of an IP address.
        assert "another browser" in official.refused("auth.do_device_flow", 403, user_code=codes.user_code)
    else:
        assert codes.user_code in official.ask("auth.do_device_flow", user_code=codes.user_code)
    browse(codes.verification_uri_complete)
    tokens = official.ask("auth.get_oidc_token", **asking)
    assert (tokens.token_type, tokens.expires_in) == ("Bearer", 1200)
    assert "close the window" in official.ask("auth.finished")
    another = official.ask("auth.initiate_device_flow", client_id=CLIENT, scope="vo:lhcb")
    back = at_provider(another.verification_uri_complete)
    assert "another browser" in official.refused("auth.finish_device_flow", 403, **back)
    assert official.refused("auth.finish_device_flow", 400, code="x", state="x") == "Invalid state"
    page = Page(f"{site.url}/api/docs/oauth2-redirect")
    official.ask("auth.initiate_authorization_flow", **dict[str, Any](page.query))
    back = at_provider(site.url + page.address)
    official.ask("auth.complete_authorization_flow", **back)
    assert official.refused("auth.complete_authorization_flow", 400, code="x", state="x") == "Invalid state"
    revoked = official.ask(
        "auth.revoke_refresh_token_by_refresh_token", token=tokens.refresh_token, client_id=CLIENT
    )
    assert revoked == "Refresh token revoked"
    unknown: dict[str, Any] = {"client_id": CLIENT, "scope": "vo:nope"}
    assert "nope" in official.refused("auth.initiate_device_flow", 400, **unknown)
    refused = official.refused("auth.userinfo", 401, as_=ClientAuthenticationError)
    assert refused == "Authorization header is missing"


def at_provider(address: str) -> dict[str, Any]:
    """What the provider sends a browser back to us with."""
    sent = urllib3.request("GET", address, redirect=False)
    back = urllib3.request("GET", sent.headers["Location"], redirect=False).headers["Location"]
    return {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}


def who(official: Official) -> None:
    """Who one is, and one's logins."""
    me = official.ask("auth.userinfo")
    assert isinstance(me, models.UserInfoResponse)
    assert (me.preferred_username, me.vo, me.sub) == ("alice", "lhcb", "lhcb:subject-of-alice")
    url = f"{official.site.url}/api/auth"
    codes = urllib3.request("POST", f"{url}/device?{urlencode({'client_id': CLIENT, 'scope': 'vo:lhcb'})}")
    code = codes.json()
    browse(code["verification_uri_complete"])
    form = {"grant_type": DEVICE, "device_code": code["device_code"], "client_id": CLIENT}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    urllib3.request("POST", f"{url}/token", body=urlencode(form), headers=kind)
    mine = [one["JTI"] for one in official.ask("auth.get_refresh_tokens")]
    assert mine
    assert official.ask("auth.revoke_refresh_token_by_jti", mine[0]) == "Refresh token revoked"
    assert mine[0] not in [one["JTI"] for one in official.ask("auth.get_refresh_tokens")]
    nobodys = "0199c0de-0000-7000-8000-000000000000"
    official.refused("auth.revoke_refresh_token_by_jti", 404, nobodys, as_=ResourceNotFoundError)


def configuration(official: Official) -> None:
    """The CS, which is not sent again when it is the same."""
    found = official.ask("config.serve_config")
    assert found["Registry"]["lhcb"]["Users"]["subject-of-alice"]["PreferedUsername"] == "alice"
    etag = official.last.http_response.headers["ETag"]
    same = {"headers": {"If-None-Match": etag}}
    official.refused("config.serve_config", 304, as_=ResourceNotModifiedError, **same)


def jobs(official: Official) -> list[int]:
    """Submission and search."""
    made = official.ask("jobs.submit_jdl_jobs", [JDL.format(name) for name in ("one", "two")], status=201)
    assert [(one.status, one.minor_status) for one in made] == [("Received", "Job accepted")] * 2
    assert all(isinstance(one.time_stamp, datetime) for one in made)
    first, second = (one.job_id for one in made)
    wanted = [{"parameter": "JobID", "operator": "in", "values": [first, second]}]
    asked: dict[str, Any] = {"parameters": ["JobID", "JobName"], "search": wanted}
    sort: dict[str, Any] = {"sort": [{"parameter": "JobID", "direction": "desc"}]}
    found = official.ask("jobs.search", **asked, **sort)
    assert found == [{"JobID": second, "JobName": "two"}, {"JobID": first, "JobName": "one"}]
    assert "Content-Range" not in official.last.http_response.headers
    one = official.ask("jobs.search", **asked, **sort, page=2, per_page=1, status=206)
    assert one == [{"JobID": first, "JobName": "one"}]
    assert official.last.http_response.headers["Content-Range"] == "jobs 1-1/2"
    assert official.refused("jobs.search", 416, **asked, page=3, per_page=1) == []
    assert official.ask("jobs.summary", grouping=["JobName"], search=wanted) == [
        {"JobName": "one", "count": 1},
        {"JobName": "two", "count": 1},
    ]
    assert "Nope" in official.refused("jobs.search", 400, parameters=["Nope"])
    official.refused("jobs.submit_jdl_jobs", 400, ["[ Executable ="])
    return [first, second]


def sandboxes(official: Official, job_id: int) -> None:
    """Announcing, assigning with the raw text that the client sends, reading, taking away."""
    announced = models.SandboxInfo(checksum_algorithm="sha256", checksum=HEX, size=3, format="tar.bz2")
    grant = official.ask("jobs.initiate_sandbox_upload", announced)
    assert isinstance(grant, models.SandboxUploadResponse) and grant.url
    fields: dict[str, Any] = {**(grant.fields or {}), "file": ("file", b"hey")}
    assert urllib3.request("POST", grant.url, fields=fields).status == 204
    assert official.ask("jobs.initiate_sandbox_upload", announced).url is None
    where = official.ask("jobs.get_sandbox_file", pfn=grant.pfn)
    assert urllib3.request("GET", where.url).data == b"hey" and where.expires_in == 300
    plain = grant.pfn.removeprefix("SB:SandboxSE|")
    assert official.ask("jobs.assign_sandbox_to_job", job_id, grant.pfn) is None
    assert (
        official.refused("jobs.assign_sandbox_to_job", 400, job_id, grant.pfn) == "Sandbox already assigned"
    )
    assert official.ask("jobs.get_job_sandboxes", job_id) == {"Input": [], "Output": [plain]}
    assert official.ask("jobs.get_job_sandbox", job_id, "output") == [plain]
    assert official.ask("jobs.unassign_job_sandboxes", job_id) is None
    assert official.ask("jobs.get_job_sandbox", job_id, "output") == []
    official.ask("jobs.assign_sandbox_to_job", job_id, f'"{grant.pfn}"')
    these = models.BodyJobsUnassignBulkJobsSandboxes(job_ids=[job_id])
    assert official.ask("jobs.unassign_bulk_jobs_sandboxes", these, status=204) is None
    assert official.ask("jobs.get_job_sandboxes", job_id) == {"Input": [], "Output": []}
    missing = grant.pfn.replace(HEX, "0" * 64)
    assert "not found" in official.refused("jobs.get_sandbox_file", 400, pfn=missing)


def happenings(official: Official, first: int, second: int) -> None:
    """What happens to jobs."""
    begin = datetime.now(UTC) + timedelta(seconds=5)
    times = [(begin + timedelta(seconds=number)).isoformat() for number in range(4)]
    running = {
        times[0]: models.JobStatusUpdate(status="Waiting"),
        times[1]: models.JobStatusUpdate(status="Matched"),
        times[2]: models.JobStatusUpdate(status="Running", source="JobWrapper"),
    }
    done = official.ask("jobs.set_job_statuses", {str(first): running, str(UNKNOWN): running})
    assert done.success[str(first)].status == "Running" and done.failed == {
        str(UNKNOWN): {"detail": "Not found"}
    }
    assert isinstance(done.success[str(first)].start_exec_time, datetime)
    again = {str(UNKNOWN): running}
    missing = official.refused("jobs.set_job_statuses", 404, again, as_=ResourceNotFoundError)
    assert missing == {"success": {}, "failed": {str(UNKNOWN): {"detail": "Not found"}}}
    beat = models.HeartbeatData(cpu_consumed=12.5, load_average=1, standard_output="hello")
    assert official.ask("jobs.add_heartbeat", {str(first): beat}) == []
    official.ask("jobs.patch_metadata", {first: {"HostName": "wn1", "Site": "LCG.CERN.ch"}}, status=204)
    official.refused("jobs.patch_metadata", 400, {first: {"Owner": "bob"}})
    official.refused("jobs.patch_metadata", 404, {UNKNOWN: {"HostName": "wn1"}}, as_=ResourceNotFoundError)
    killed = {times[3]: models.JobStatusUpdate(status="Killed", minor_status="Marked for termination")}
    assert official.ask("jobs.set_job_statuses", {str(first): killed}).success[str(first)].status == "Killed"
    (command,) = official.ask("jobs.add_heartbeat", {str(first): beat})
    assert isinstance(command, models.JobCommand) and (command.job_id, command.command) == (first, "Kill")
    official.refused("jobs.add_heartbeat", 404, {str(UNKNOWN): beat}, as_=ResourceNotFoundError)
    these = models.BodyJobsRescheduleJobs(job_ids=[second, UNKNOWN])
    found = official.ask("jobs.reschedule_jobs", these, reset_jobs=True)
    assert list(found["success"]) == [str(second)] and list(found["failed"]) == [str(UNKNOWN)]
    nothing = models.BodyJobsRescheduleJobs(job_ids=[UNKNOWN])
    assert official.refused("jobs.reschedule_jobs", 400, nothing)["success"] == {}
    history = official.ask("jobs.search", parameters=["LoggingInfo"], search=[it_is(first)])[0]["LoggingInfo"]
    assert [row["Status"] for row in history][-2:] == ["Running", "Killed"]


def it_is(job_id: int) -> dict[str, Any]:
    """The condition for one job."""
    return {"parameter": "JobID", "operator": "eq", "value": job_id}


def pilots(official: Official) -> None:
    """Pilots are registered once, corrected and found."""
    one = {"pilot_stamp": "stamp-7", "vo": "lhcb", "grid_site": "LCG.CERN.ch"}
    assert official.ask("pilots.register_pilot", **one, status=201) is None
    again = official.refused("pilots.register_pilot", 409, **one, as_=ResourceExistsError)
    assert "stamp-7" in again
    running = {"stamp-7": models.PilotMetadata(status="Running", bench_mark=14.2)}
    assert official.ask("pilots.update_pilot_metadata", running, status=204) is None
    unknown = {"stamp-8": models.PilotMetadata(status="Running")}
    official.refused("pilots.update_pilot_metadata", 404, unknown, as_=ResourceNotFoundError)
    found = official.ask("pilots.search", parameters=["PilotStamp", "Status", "BenchMark"])
    assert found == [{"PilotStamp": "stamp-7", "Status": "Running", "BenchMark": 14.2}]
    assert official.ask("pilots.summary", grouping=["Status"]) == [{"Status": "Running", "count": 1}]


def resources(official: Official) -> None:
    """Sites and resources, which are not sent again when they are the same."""
    with session() as db:
        state(db, Element("LCG.CERN.ch", "Site"), "Active", "as always")
        state(db, Element("ce01", "ComputeElement"), "Banned", "broken")
        state(db, Element("fts3", "FTS"), "Degraded", "slow")
        for access in ("ReadAccess", "WriteAccess", "CheckAccess", "RemoveAccess"):
            state(db, Element("CERN-DST", "StorageElement", access), "Active", "as always")
    sites = official.ask("rss.get_site_status")
    assert sites["LCG.CERN.ch"].all.additional_properties == {"allowed": True, "warnings": None}
    etag = {"headers": {"If-None-Match": official.last.http_response.headers["ETag"]}}
    official.refused("rss.get_site_status", 304, as_=ResourceNotModifiedError, **etag)
    ces = official.ask("rss.get_compute_status")
    assert ces["ce01"].all.additional_properties == {"allowed": False, "reason": "broken"}
    fts = official.ask("rss.get_fts_status")
    assert fts["fts3"].all.additional_properties == {"allowed": True, "warnings": "slow"}
    storage = official.ask("rss.get_storage_status")
    assert storage["CERN-DST"].read.additional_properties == {"allowed": True, "warnings": None}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_who_may_not_is_refused_in_words(site: Site, kind: str) -> None:
    with Official(site, kind, a_user("bob")) as bob:
        refused = bob.refused("pilots.register_pilot", 403, pilot_stamp="stamp-9", vo="lhcb")
        assert refused.startswith("Forbidden")
    with Official(site, kind, a_pilot()) as pilot:
        assert pilot.refused("jobs.search", 403).startswith("Forbidden")
        assert pilot.refused("jobs.submit_jdl_jobs", 403, [JDL.format("x")]).startswith("Forbidden")
