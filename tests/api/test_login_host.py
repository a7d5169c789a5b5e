"""Who asks under another host's name gets no login there: neither a code, nor a link to the provider."""

import html
from collections.abc import Iterator

import httpx2
import pytest

from diracx_tasks.auth import address, password
from diracx_tasks.core.errors import BadRequest
from tests.builders import Installation, environment
from tests.logins import HIDDEN, OURS, Logins, Page, serving

EVIL = "http://evil.example/#authentication-callback"
PORTAL = "https://portal.example.org/back"
BELLE = {"DIRACX_LOGIN_PAGE": "true"}


@pytest.fixture
def logins(installation: Installation) -> Iterator[Logins]:
    """A server whose address is http://testserver."""
    with serving(installation) as found:
        yield found


def asked(logins: Logins, method: str, path: str, host: str, **options: object) -> httpx2.Response:
    headers = {"Host": host}
    return logins.api.ask(method, path, by=None, headers=headers, follow_redirects=False, **options)


def refused(answer: httpx2.Response) -> bool:
    return answer.status_code == 400 and "logins are at http://testserver" in answer.json()["detail"]


def test_no_page_of_a_host_that_we_are_not_gets_a_code(logins: Logins) -> None:
    assert refused(asked(logins, "GET", Page(EVIL).address, "evil.example"))
    answer = asked(logins, "GET", Page(EVIL).address, "testserver")
    assert (answer.status_code, answer.json()["detail"]) == (400, "Unrecognised redirect_uri")


def test_every_step_of_a_login_is_refused_under_another_host(logins: Logins) -> None:
    query = {"client_id": OURS, "scope": "vo:lhcb"}
    assert refused(asked(logins, "POST", "/api/auth/device", "evil.example", params=query))
    codes, page = logins.begin(), Page()
    at_device = logins.get(codes["verification_uri_complete"]).headers["Location"]
    at_page = logins.get(page.address).headers["Location"]
    answers = [
        asked(logins, "GET", f"/api/auth/device?user_code={codes['user_code']}", "evil.example"),
        asked(logins, "GET", page.address, "evil.example"),
    ]
    for where, sent in (("device", at_device), ("authorize", at_page)):
        back = f"/api/auth/{where}/complete?code=x&state={sent.rpartition('state=')[2]}"
        answers.append(asked(logins, "GET", back, "evil.example"))
    assert [refused(answer) for answer in answers] == [True] * 4
    assert logins.confirm(codes).status_code == 303


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "127.0.1.1:81", "[::1]:8000"])
def test_this_machine_may_be_called_by_its_own_names(logins: Logins, host: str) -> None:
    page = f"http://{host}/#authentication-callback"
    assert asked(logins, "GET", Page(page).address, host).status_code == 307


def test_the_well_known_documents_follow_the_host(logins: Logins) -> None:
    answer = asked(logins, "GET", "/.well-known/openid-configuration", "evil.example")
    assert answer.json()["token_endpoint"] == "http://evil.example/api/auth/token"


@pytest.mark.parametrize(
    "stated",
    [
        "http://evil.example",
        "https://api.example.org.evil.example",
        "https://localhost.evil.example",
        "https://127.0.0.1.evil.example",
        "https://evil.example\\@localhost",
        "https://localhost@evil.example",
        "https://evil.example#@localhost",
        "https://evil.example/?@localhost",
        "https://localhost\nevil.example",
        "https://localhost:evil",
        "https://api.example.org:evil",
        "http://api.example.org",
        "https://api.example.org:8443",
        "https://api.example.org?x=1",
        "",
    ],
)
def test_an_address_that_only_looks_like_ours_is_none(installation: Installation, stated: str) -> None:
    with environment(DIRACX_URL="https://api.example.org"), pytest.raises(BadRequest):
        address.ours(stated)


@pytest.mark.parametrize(
    "stated", ["https://api.example.org/", "https://API.example.org:443", "https://evil\\@api.example.org"]
)
def test_our_address_is_always_written_as_the_setting_has_it(installation: Installation, stated: str) -> None:
    with environment(DIRACX_URL="https://api.example.org/"):
        assert address.ours(stated) == "https://api.example.org"


@pytest.mark.parametrize("action", ["login", "refuse"])
def test_a_page_that_is_not_allowed_any_more_gets_nothing(
    installation: Installation, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (installation.folder / "keys" / "login").write_text("a-password")
    monkeypatch.setattr(password, "_GUESSES", password._Guesses())
    page = Page(PORTAL, "vo:belle")
    allowed = {"DIRACX_ALLOWED_REDIRECTS": f'["{PORTAL}"]'}
    with serving(installation, **BELLE, **allowed) as logins:
        form = logins.get(logins.get(page.address).headers["Location"])
        state = HIDDEN.search(form.text)
    assert state
    sent = {"state": html.unescape(state[1]), "subject": "subject-of-alice", "password": "a-password"}
    for stated, status in (({}, 400), (allowed, 303)):
        with serving(installation, **BELLE, **stated) as logins:
            answer = logins.api.ask(
                "POST", "/api/auth/login", by=None, data=sent | {"action": action}, follow_redirects=False
            )
            assert answer.status_code == status, answer.text
            assert status == 303 or answer.json()["detail"] == "Unrecognised redirect_uri"
