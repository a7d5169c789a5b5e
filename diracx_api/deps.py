"""What routes are made of: who asks, a session, and a router on which every route states its right."""

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.orm import Session

from diracx_tasks.auth import tokens
from diracx_tasks.auth.rights import Right
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import commit, new_session
from diracx_tasks.core.deadlocks import patiently
from diracx_tasks.core.errors import BadRequest, Forbidden, Unauthenticated
from diracx_tasks.core.origin import origin


# Nothing here needs a thread: a session connects when it is first used, in the route's own thread.
async def _writing() -> Session:
    return new_session()


async def _reading() -> Session:
    return new_session(reading=True)


async def current_user(authorization: Annotated[str | None, Header(include_in_schema=False)] = None) -> User:
    """Whose token came with the request."""
    if not authorization:
        raise Unauthenticated("Authorization header is missing")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise BadRequest("Invalid authorization header")
    user = tokens.verify(token)
    # What the request asks for is kept with who asked.
    origin().by = f"{user.name}@{user.vo}"
    return user


# `Router` commits and closes them before the answer: a failed commit must not look like a success.
Db = Annotated[Session, Depends(_writing)]
ReadDb = Annotated[Session, Depends(_reading)]
Me = Annotated[User, Depends(current_user)]


MOST = 4 << 20
# A workflow's files may have 16 MiB; base64 makes four bytes of three, and JSON escapes some.
LARGE = 32 << 20


class Router:
    """A FastAPI router whose routes cannot be declared without a right."""

    def __init__(self, subject: str, prefix: str) -> None:
        self.subject = subject
        self.api = APIRouter(prefix=prefix, tags=[subject])

    def get(self, path: str, *, right: Right, **options: Any) -> Callable[[Any], Any]:
        """A GET route."""
        return self._route("GET", path, right, options)

    def post(self, path: str, *, right: Right, **options: Any) -> Callable[[Any], Any]:
        """A POST route."""
        return self._route("POST", path, right, options)

    def patch(self, path: str, *, right: Right, **options: Any) -> Callable[[Any], Any]:
        """A PATCH route."""
        return self._route("PATCH", path, right, options)

    def delete(self, path: str, *, right: Right, **options: Any) -> Callable[[Any], Any]:
        """A DELETE route."""
        return self._route("DELETE", path, right, options)

    def guarded(self, right: Right) -> type[APIRoute]:
        """The class of a route that needs this right."""
        return APIRoute if right.is_open else _guarded(right)

    def _route(self, method: str, path: str, right: Right, options: dict[str, Any]) -> Callable[[Any], Any]:
        secured: dict[str, Any] = (
            {} if right.is_open else {"security": [{"OpenIdConnect": []}, {"Bearer": []}]}
        )
        options.setdefault("max_body_size", MOST)
        extra = {"x-right": right.name, **secured, **options.pop("openapi_extra", {})}

        def declare(function: Any) -> Any:
            self.api.add_api_route(
                path,
                function if iscoroutinefunction(function) else _in_one_thread(function),
                methods=[method],
                route_class_override=self.guarded(right),
                operation_id=f"{self.subject}_{function.__name__}",
                openapi_extra=extra,
                **options,
            )
            return function

        return declare


def _in_one_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    """The route with its transaction around it; FastAPI would change threads for each step."""

    @wraps(function)
    def call(**given: Any) -> Any:
        db: Session | None = given.get("db")
        if db is None:
            return function(**given)
        with db:
            if db.info.get("is_reading"):
                return function(**given)
            return patiently(db, partial(_stored, db, function, given))

    return call


def _stored(db: Session, function: Callable[..., Any], given: dict[str, Any]) -> Any:
    answer = function(**given)
    commit(db)
    return answer


def _guarded(right: Right) -> type[APIRoute]:
    """Routes that ask who it is before they read what was sent."""

    class Guarded(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                if not right.holds(await current_user(request.headers.get("authorization"))):
                    raise Forbidden(f"Forbidden: this needs {right.name}")
                return await answer(request)

            return guarded

    return Guarded
