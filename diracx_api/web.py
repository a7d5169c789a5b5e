"""DiracX-Web beside the API: its static export on the same origin, where it has nothing to configure."""

import stat
from functools import lru_cache
from os import stat_result

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from diracx_api.ui import render
from diracx_tasks.core.settings import settings

# What is below these is ours, also where nothing is.
OURS = ("api", "ui", ".well-known", "ga4gh", "metrics", "health")
# Next.js writes what has its content's hash in its name there.
HASHED = "/_next/static/"
YEAR = 365 * 86400
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
}
Found = tuple[str, stat_result | None]


def mount(app: FastAPI) -> None:
    """Answer what no route answers from the folder DIRACX_WEB_ROOT; without one `/` leads to our pages."""
    app.router.default = Fallback(app.router.default)


class Fallback:
    """Asked when no route is: so it never stands before one."""

    def __init__(self, not_found: ASGIApp) -> None:
        self.not_found = not_found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer."""
        answer: ASGIApp = self.not_found
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            if scope["path"].startswith("/ui/"):
                answer = render.failure(Request(scope), 404, "There is no such page.")
            elif not _is_ours(scope["path"]):
                answer = _export(settings().web_root) if settings().web_root else self._without(scope)
        await answer(scope, receive, send)

    def _without(self, scope: Scope) -> ASGIApp:
        if scope["path"] == "/":
            return RedirectResponse("/ui", 303, render.NO_STORE)
        # Browsers ask for it beside what is no page.
        if scope["path"] == "/favicon.ico":
            return RedirectResponse(render.asset("icon.svg"), 303, render.NO_STORE)
        return self.not_found


class Export(StaticFiles):
    """The files of an export: `/auth` is auth.html, and 404.html is what is not there."""

    def __init__(self, folder: str) -> None:
        super().__init__(directory=folder, html=True, check_dir=False)

    async def check_config(self) -> None:
        """`diracx admin check` says what is wrong with the folder; here nothing is found in it."""

    def lookup_path(self, path: str) -> Found:
        """The file; neither what links lead to outside of the folder, nor what is hidden."""
        if any(part.startswith(".") and part != "." for part in path.split("/")):
            return "", None
        try:
            found = super().lookup_path(path)
            page = found if _is_file(found) else super().lookup_path(f"{path}.html")
        except PermissionError:
            return "", None
        return page if _is_file(page) else found

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file with what browsers are to do with it."""
        answer = await super().get_response(path, scope)
        headers: MutableHeaders = answer.headers
        is_kept = scope["path"].startswith(HASHED) and answer.status_code in (200, 206, 304)
        headers["Cache-Control"] = f"public, max-age={YEAR}, immutable" if is_kept else "no-cache"
        for name, value in SAFE.items():
            headers[name] = value
        return answer


@lru_cache(4)
def _export(folder: str) -> Export:
    return Export(folder)


def _is_ours(path: str) -> bool:
    return path.lstrip("/").partition("/")[0] in OURS


def _is_file(found: Found) -> bool:
    return found[1] is not None and stat.S_ISREG(found[1].st_mode)
