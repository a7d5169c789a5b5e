"""DiracX-Web's calls as a browser makes them for it: login, table, donut, history, what is done in bulk."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
import urllib3
from joserfc import jws

from diracx_tasks.auth import tokens
from tests.builders import HEX, Installation, a_user, installation, template
from tests.integration.official import Site, serving
from tests.logins import Page

__all__ = ["installation", "template"]
pytestmark = pytest.mark.integration
ORIGIN = "http://localhost:8000"
FOREIGN = "https://elsewhere.example.org"
CALLBACK = f"{ORIGIN}/#authentication-callback"
JDL = 'Executable = "echo"; JobName = "{}";'


@pytest.fixture(scope="module")
def site(template: Path, redis_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running server on another origin than the page's."""
    folder = tmp_path_factory.mktemp("web")
    with serving(Installation(folder, redis_server), folder) as found:
        yield found


@dataclass
class Browser:
    """A page of DiracX-Web that is open in a browser."""

    site: Site
    token: str = ""
    origin: str = ORIGIN

    def fetch(self, method: str, path: str, body: Any = None, **headers: str) -> urllib3.BaseHTTPResponse:
        """What `fetch` gets, with what a browser adds."""
        sent = {"Origin": self.origin, "Accept": "*/*", **headers}
        if self.token:
            sent |= {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        return urllib3.request(method, self.site.url + path, body=data, headers=sent, redirect=False)

    def good(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """The JSON of an answer that the browser lets the page see."""
        answer = self.fetch(method, path, body)
        assert answer.status == status, answer.data
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Origin" in answer.headers["Vary"]
        return answer.json()

    def form(self, path: str, form: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """What a form gets."""
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.origin}
        return urllib3.request("POST", self.site.url + path, body=urlencode(form), headers=kind)

    def ask_first(self, method: str, path: str) -> urllib3.BaseHTTPResponse:
        """The browser's question whether the page may."""
        wanted = {
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        return urllib3.request("OPTIONS", self.site.url + path, headers={"Origin": self.origin, **wanted})


@pytest.fixture
def page(site: Site) -> Browser:
    """The page of somebody who is logged in."""
    return Browser(site, tokens.issue(a_user(), seconds=600))


def jobs(page: Browser, *names: str) -> list[int]:
    """Jobs of these names."""
    made = page.good("POST", "/api/jobs/jdl", [JDL.format(name) for name in names], status=201)
    return [one["JobID"] for one in made]


def it_is(*job_ids: int) -> list[dict[str, Any]]:
    """The condition for some jobs, as the search bar makes it."""
    return [{"parameter": "JobID", "operator": "in", "values": [str(one) for one in job_ids]}]


def statuses(page: Browser, *job_ids: int) -> set[str]:
    """What the table has of some jobs."""
    body = {"search": it_is(*job_ids), "parameters": ["JobID", "Status"]}
    return {one["Status"] for one in page.good("POST", "/api/jobs/search?page=1&per_page=25", body)}


def test_a_user_logs_in_on_the_page_and_out_again(site: Site) -> None:
    browser = Browser(site)
    vos = browser.good("GET", "/.well-known/dirac-metadata")["virtual_organizations"]
    assert vos["lhcb"]["default_group"] == "user" and "user" in vos["lhcb"]["groups"]
    found = browser.good("GET", "/.well-known/openid-configuration")
    wanted = Page(CALLBACK, "vo:lhcb group:user")
    assert found["authorization_endpoint"] == f"{site.url}/api/auth/authorize"
    back = followed(f"{found['authorization_endpoint']}?{urlencode(wanted.query)}")
    assert back.startswith(f"{CALLBACK}?")
    answer = {name: values[0] for name, values in parse_qs(back.partition("?")[2]).items()}
    assert answer["state"] == wanted.query["state"]
    form = {**wanted.form(answer["code"]), "client_id": "myDIRACClientID"}
    given = browser.form("/api/auth/token", form)
    assert given.status == 200 and given.headers["Access-Control-Allow-Origin"] == ORIGIN
    token = given.json()["access_token"]
    claims = json.loads(jws.extract_compact(token.encode()).payload)
    assert claims["preferred_username"] == "alice" and claims["vo"] == "lhcb"
    assert Browser(site, token).good("GET", "/api/auth/userinfo")["dirac_group"] == "user"
    revoked = {"token": given.json()["refresh_token"], "token_type_hint": "refresh_token"}
    assert browser.form("/api/auth/revoke", {**revoked, "client_id": "myDIRACClientID"}).status == 200
    again = {"grant_type": "refresh_token", "refresh_token": revoked["token"], "client_id": "myDIRACClientID"}
    assert browser.form("/api/auth/token", again).status == 401


def followed(address: str) -> str:
    """Where a browser ends up on the page that it came from."""
    for _ in range(4):
        answer = urllib3.request("GET", address, redirect=False)
        assert answer.status in (302, 303, 307), answer.data
        address = answer.headers["Location"]
        if address.startswith(ORIGIN):
            return address
    raise AssertionError(address)


def test_a_page_elsewhere_gets_no_code(site: Site) -> None:
    query = urlencode(Page(f"{FOREIGN}/#authentication-callback").query)
    answer = urllib3.request("GET", f"{site.url}/api/auth/authorize?{query}", redirect=False)
    assert answer.status == 400 and "redirect_uri" in answer.json()["detail"]


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "/api/jobs/search?page=1&per_page=25"),
        ("PATCH", "/api/jobs/status"),
        ("POST", "/api/jobs/reschedule"),
        ("GET", "/api/jobs/1/sandbox/output"),
    ],
)
def test_the_browser_is_told_that_the_page_may_and_another_may_not(
    site: Site, method: str, path: str
) -> None:
    may = Browser(site).ask_first(method, path)
    assert may.status == 200 and may.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert method in may.headers["Access-Control-Allow-Methods"]
    allowed = may.headers["Access-Control-Allow-Headers"].lower()
    assert "authorization" in allowed and "content-type" in allowed
    refused = Browser(site, origin=FOREIGN).ask_first(method, path)
    assert refused.status == 400 and refused.data == b"Disallowed CORS origin"
    assert "Access-Control-Allow-Origin" not in refused.headers


def test_a_page_elsewhere_sees_no_answer(site: Site, page: Browser) -> None:
    answer = Browser(site, page.token, FOREIGN).fetch("POST", "/api/jobs/search", {})
    assert "Access-Control-Allow-Origin" not in answer.headers
    for status, path in ((401, "/api/jobs/search"), (404, "/api/nothing")):
        refused = Browser(site).fetch("POST", path, {})
        # Without the header a page could not tell why.
        assert refused.status == status and refused.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_the_table_has_pages_sorting_and_the_filters_of_the_search_bar(page: Browser) -> None:
    ids = jobs(page, *(f"table {number}" for number in range(5)))
    body = {"sort": [{"parameter": "JobID", "direction": "desc"}], "search": it_is(*ids)}
    answer = page.fetch("POST", "/api/jobs/search?page=1&per_page=2", body)
    assert answer.status == 206 and answer.headers["Content-Range"] == "jobs 0-1/5"
    assert "Content-Range" in answer.headers["Access-Control-Expose-Headers"]
    assert [job["JobID"] for job in answer.json()] == ids[:2:-1]
    assert len(page.good("POST", "/api/jobs/search?page=1&per_page=25", body)) == 5
    hour = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    last = {"parameter": "SubmissionTime", "operator": "gt", "value": hour}
    named = {"parameter": "JobName", "operator": "like", "value": "%table%"}
    matched = {"parameter": "JobName", "operator": "regex", "value": "^table [0-2]$"}
    other = {"parameter": "JobID", "operator": "neq", "value": str(ids[0])}
    found = page.good(
        "POST", "/api/jobs/search?page=1&per_page=25", {"search": [last, named, matched, other]}
    )
    assert sorted(job["JobID"] for job in found) == ids[1:3]


def test_the_donut_counts_and_the_history_tells(page: Browser) -> None:
    ids = jobs(page, "donut", "donut")
    counts = page.good(
        "POST", "/api/jobs/summary", {"grouping": ["Status", "JobName"], "search": it_is(*ids)}
    )
    assert counts == [{"JobName": "donut", "Status": "Received", "count": 2}]
    body = {
        "parameters": ["LoggingInfo"],
        "search": [{"parameter": "JobID", "operator": "eq", "value": ids[0]}],
    }
    (told,) = page.good("POST", "/api/jobs/search", body)
    assert told["JobID"] == ids[0]
    assert set(told["LoggingInfo"][0]) >= {
        "Status",
        "MinorStatus",
        "ApplicationStatus",
        "StatusTime",
        "Source",
    }


@pytest.mark.parametrize(
    "attribute",
    [
        "Status",
        "MinorStatus",
        "ApplicationStatus",
        "Site",
        "JobGroup",
        "JobType",
        "Owner",
        "OwnerGroup",
        "VO",
    ],
)
def test_the_donut_counts_by_any_attribute_and_a_click_on_a_part_filters_the_table(
    page: Browser, attribute: str
) -> None:
    ids = jobs(page, f"by {attribute}", f"by {attribute}")
    summary = {"grouping": [attribute], "search": it_is(*ids)}
    (part,) = page.good("POST", "/api/jobs/summary", summary)
    assert part["count"] == 2
    clicked = {"parameter": attribute, "operator": "eq", "value": part[attribute]}
    body = {"search": [*it_is(*ids), clicked], "parameters": ["JobID", attribute]}
    found = page.good("POST", "/api/jobs/search?page=1&per_page=25", body)
    assert [one["JobID"] for one in found] == ids
    others = {**clicked, "operator": "not in", "values": [part[attribute]]}
    assert page.good("POST", "/api/jobs/search", {"search": [*it_is(*ids), others]}) == []


def test_jobs_are_killed_rescheduled_and_deleted_in_bulk(page: Browser) -> None:
    ids = jobs(page, "bulk", "bulk")
    for status, words in (("Killed", "Marked for termination"), ("Deleted", "Checking accounting")):
        # dayjs writes the milliseconds twice where six digits are asked for.
        moment = datetime.now(UTC) + timedelta(seconds=2 if status == "Deleted" else 1)
        stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}" * 2 + "Z"
        said = {stamp: {"Status": status, "MinorStatus": words, "Source": "JobManager"}}
        body = {str(job_id): said for job_id in ids}
        done = page.good("PATCH", "/api/jobs/status", body)
        assert {one["Status"] for one in done["success"].values()} == {status} and done["failed"] == {}
        assert statuses(page, *ids) == {status}
    others = jobs(page, "again", "again")
    done = page.good("POST", "/api/jobs/reschedule", {"job_ids": others})
    assert list(done["success"]) == [str(one) for one in others] and done["failed"] == {}
    assert statuses(page, *others) == {"Received"}


def uploaded(page: Browser) -> str:
    """The PFN of a sandbox that is in the store."""
    announced = {"checksum_algorithm": "sha256", "checksum": HEX, "size": 3, "format": "tar.bz2"}
    grant = page.good("POST", "/api/jobs/sandbox", announced)
    urllib3.request("POST", grant["url"], fields={**grant["fields"], "file": ("file", b"hey")})
    return str(grant["pfn"])


def test_sandboxes_are_found_and_downloaded(page: Browser) -> None:
    sent = uploaded(page)
    jdl = f'Executable = "echo"; JobName = "with sandboxes"; InputSandbox = {{"{sent}"}};'
    (job,) = page.good("POST", "/api/jobs/jdl", [jdl], status=201)
    job_id = job["JobID"]
    assert page.good("GET", f"/api/jobs/{job_id}/sandbox/output") == []
    page.good("PATCH", f"/api/jobs/{job_id}/sandbox/output", sent)
    for kind in ("input", "output"):
        (pfn,) = page.good("GET", f"/api/jobs/{job_id}/sandbox/{kind}")
        for written in (pfn, quote(pfn, safe="")):
            found = page.good("GET", f"/api/jobs/sandbox?pfn={written}")
            assert urllib3.request("GET", found["url"]).data == b"hey" and found["expires_in"] == 300
        assert urlsplit(found["url"]).netloc == urlsplit(page.site.url).netloc
