"""DiracX-Web's export at `/`: its files as its links have them, and nothing else of the machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from diracx_tasks.cli import checks
from diracx_tasks.core.settings import stated
from tests.api.caller import Api
from tests.builders import Installation, environment

HASHED = "_next/static/chunks/main-0f3c9a.js"
FILES = {
    "index.html": "<title>DiracX-Web</title>",
    "auth.html": "<title>Log in</title>",
    # Next.js leaves such folders beside pages.
    "auth/data.txt": "data",
    "404.html": "<title>Not here</title>",
    "favicon.ico": "icon",
    "OidcServiceWorker.js": "self.x = 1",
    HASHED: "let x = 1",
    "api/health.html": "shadow",
    "ui.html": "shadow",
    ".env": "secret",
}
YEAR = "public, max-age=31536000, immutable"


@pytest.fixture
def export(installation: Installation, tmp_path: Path) -> Iterator[Path]:
    """A folder like an export, which the server is told of."""
    folder = tmp_path / "out"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with environment(**{**stated(), "DIRACX_WEB_ROOT": str(folder)}):
        yield folder


def get(api: Api, path: str, method: str = "GET", **headers: str) -> httpx2.Response:
    return api.ask(method, path, by=None, headers=headers, follow_redirects=False)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "index.html"),
        ("/index.html", "index.html"),
        ("/auth", "auth.html"),
        ("/auth.html", "auth.html"),
        ("/auth/data.txt", "auth/data.txt"),
        ("/favicon.ico", "favicon.ico"),
    ],
)
def test_files_are_found_as_links_have_them(api: Api, export: Path, path: str, name: str) -> None:
    answer = get(api, path)
    assert (answer.status_code, answer.text) == (200, FILES[name])
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    head = get(api, path, "HEAD")
    assert (head.status_code, head.text) == (200, "")
    assert head.headers["content-length"] == answer.headers["content-length"]


def test_what_has_its_hash_in_its_name_is_kept_for_a_year_and_the_rest_is_asked_for(
    api: Api, export: Path
) -> None:
    assert get(api, f"/{HASHED}").headers["cache-control"] == YEAR
    assert get(api, "/_next/static/gone.js").headers["cache-control"] == "no-cache"
    tag = get(api, "/").headers["etag"]
    known = get(api, "/", **{"If-None-Match": tag})
    assert (known.status_code, known.text, known.headers["cache-control"]) == (304, "", "no-cache")
    (export / "index.html").write_text("another version of it")
    assert get(api, "/", **{"If-None-Match": tag}).text == "another version of it"


def test_what_is_not_there_is_the_exports_own_404(api: Api, export: Path) -> None:
    for path in ("/nothing", "/auth/nothing", "/_next", "/nothing.html"):
        answer = get(api, path)
        assert (answer.status_code, answer.text) == (404, FILES["404.html"]), path
    assert get(api, "/index.html", "DELETE").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/_next/%2e%2e/%2e%2e/secret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/..%5csecret.txt",
        "/link.txt",
        "/linked/secret.txt",
        "/secret",
        "/.env",
        "/index.html%00.js",
        "/" + "x" * 5000,
    ],
)
def test_nothing_outside_of_the_folder_and_nothing_hidden_is_served(
    api: Api, export: Path, path: str
) -> None:
    outside = export.parent / "secret.txt"
    outside.write_text("secret of the machine")
    os.symlink(outside, export / "link.txt")
    os.symlink(export.parent, export / "linked")
    os.symlink(outside, export / "secret.html")
    answer = get(api, path)
    assert answer.status_code == 404
    assert "secret of" not in answer.text and "root:" not in answer.text


def test_what_is_ours_stays_ours(api: Api, export: Path) -> None:
    assert get(api, "/api/health/live").status_code == 200
    for path in ("/api/health", "/api/nothing", "/ga4gh/nothing", "/health", "/.well-known/nothing"):
        answer = get(api, path)
        assert (answer.status_code, answer.json()["detail"]) == (404, "Not Found"), path
    assert get(api, "/ui").headers["location"].startswith("/ui/login")
    assert "virtual_organizations" in get(api, "/.well-known/dirac-metadata").json()
    assert get(api, "/metrics").text.startswith("#")
    assert get(api, "/api/health/live", "DELETE").status_code == 405


def test_without_an_export_the_first_page_is_our_own(api: Api) -> None:
    for method in ("GET", "HEAD"):
        answer = get(api, "/", method)
        assert (answer.status_code, answer.headers["location"]) == (303, "/ui")
    icon = get(api, "/favicon.ico").headers["location"]
    assert get(api, icon).headers["content-type"] == "image/svg+xml"
    assert get(api, "/nothing").json() == {"detail": "Not Found"}


def test_a_folder_without_an_export_is_said_so(api: Api, export: Path) -> None:
    def found() -> checks.Finding:
        return next(one for one in checks.all_checks() if one.name == "DiracX-Web")

    assert found().ok and str(export) in found().words
    (export / "index.html").unlink()
    assert found() == checks.Finding(
        "DiracX-Web",
        False,
        f"DIRACX_WEB_ROOT {export} has no index.html: it is to be the folder `out` of DiracX-Web's build",
    )
    assert get(api, "/").status_code == 404
