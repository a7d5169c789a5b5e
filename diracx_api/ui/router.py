"""The router of our pages: as the API's, but who asks is known by a cookie, and errors are pages."""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from diracx_api.deps import LARGE, Router
from diracx_api.ui import render, visit
from diracx_tasks.auth.rights import Right
from diracx_tasks.auth.tokens import User
from diracx_tasks.auth.visits import Visit
from diracx_tasks.core.errors import DiracXError, Forbidden, Unauthenticated, Unavailable
from diracx_tasks.core.origin import origin

log = logging.getLogger(__name__)
FORM_KEY = "form_key"
AWAY = "The database is busy or away: try again."
# What somebody who is not logged in may have sent to see it again.
KEPT = 4 << 20
# A form that is wrong, or pages that cannot be shown at present: its sender logs in all the same.
NOT_SHOWN = (DiracXError, HTTPException, RequestValidationError, DBAPIError, PoolTimeout)


async def _visit(request: Request) -> Visit:
    found: Visit = request.state.visit
    return found


async def _user(request: Request) -> User:
    return (await _visit(request)).user


Visitor = Annotated[Visit, Depends(_visit)]
Me = Annotated[User, Depends(_user)]
Again = Callable[[Request, str], Awaitable[Response | None]]


class Pages(Router):
    """A router of pages, whose routes cannot be declared without a right."""

    def __init__(self, prefix: str = "") -> None:
        super().__init__("ui", f"{visit.HOME}{prefix}")
        self._again: Again | None = None

    def again(self, show: Again) -> None:
        """Have a form shown again that was sent when nothing could be done.

        The login of its page had ended, or something is away: then it is given the words for this.
        """
        self._again = show

    async def kept(self, request: Request, away: str = "") -> Response | None:
        """A form that is not to be lost when nothing can be done; None: nothing would be."""
        if self._again is None or request.method == "GET":
            return None
        # What others than visitors send is held in memory for them: not too much of it.
        if not hasattr(request.state, "visit") and not 0 < _length(request) <= KEPT:
            return None
        try:
            return await self._again(request, away) if visit.is_surely_from_here(request) else None
        except NOT_SHOWN:
            return None

    def _route(self, method: str, path: str, right: Right, options: dict[str, Any]) -> Callable[[Any], Any]:
        return super()._route(method, path, right, {"include_in_schema": False, **options})

    def guarded(self, right: Right) -> type[APIRoute]:
        """Routes that know the visitor by his cookie, and answer errors with pages."""
        return _guarded(right, self)


def _length(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isdecimal() else 0


def _guarded(right: Right, pages: Pages) -> type[APIRoute]:
    class Page(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                try:
                    if not right.is_open:
                        await _admit(request, right)
                    return await answer(request)
                except (Unauthenticated, visit.OfEarlierLogin) as error:
                    return await pages.kept(request) or _outside(request, error)
                except DiracXError as error:
                    kept = await pages.kept(request, str(error)) if isinstance(error, Unavailable) else None
                    return kept or render.failure(request, error.http_status, str(error))
                except HTTPException as error:
                    return render.failure(request, error.status_code, str(error.detail))
                except (DBAPIError, PoolTimeout) as error:
                    log.warning("%s %s: %s", request.method, request.url.path, error)
                    return await pages.kept(request, AWAY) or render.failure(request, 503, AWAY)
                except RequestValidationError as error:
                    words = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()[:5])
                    return render.failure(request, 422, words)

            return guarded

    return Page


async def _admit(request: Request, right: Right) -> None:
    """Note whose request it is; errors say why it is nobody's who may."""
    found = await to_thread.run_sync(visit.find, request)
    request.state.visit = found
    origin().by = f"{found.user.name}@{found.user.vo}"
    if not right.holds(found.user):
        raise Forbidden(f"this page needs {right.name}, which you are not in the group {found.user.group}")
    if request.method != "GET":
        # Documents come as texts: what the body may have of bytes, the route has said.
        form = await request.form(max_part_size=LARGE)
        visit.must_be_ours(request, found, str(form.get(FORM_KEY, "")))


def _outside(request: Request, error: DiracXError) -> Response:
    """To the page that logs in and leads back; a page that renews itself goes there as a whole."""
    if not isinstance(error, Unauthenticated):
        return render.failure(request, error.http_status, str(error))
    where = render.login_address(request)
    if render.is_part(request):
        return Response(status_code=200, headers={"HX-Redirect": where, **render.NO_STORE})
    answer = RedirectResponse(where, 303, render.NO_STORE)
    if visit.TICKET in request.cookies:
        visit.forget(answer)
        visit.say(answer, request, str(error))
    return answer
