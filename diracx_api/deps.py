"""What routes are made of: who asks, a session, and a router on which every route states its right."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from sqlalchemy.orm import Session

from diracx_tasks.auth import tokens
from diracx_tasks.auth.rights import Right
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import reading, session
from diracx_tasks.core.errors import BadRequest, Forbidden, Unauthenticated
from diracx_tasks.core.origin import origin


def _writing() -> Iterator[Session]:
    with session() as db:
        yield db


def _reading() -> Iterator[Session]:
    with reading() as db:
        yield db


def current_user(authorization: Annotated[str | None, Header(include_in_schema=False)] = None) -> User:
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


# The scope makes the commit happen before the answer: a failed commit must not look like a success.
Db = Annotated[Session, Depends(_writing, scope="function")]
ReadDb = Annotated[Session, Depends(_reading, scope="function")]
Me = Annotated[User, Depends(current_user)]


# A workflow's files may have 16 MiB; base64 makes four bytes of three, and JSON escapes some.
MOST = 32 << 20


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

    def _route(self, method: str, path: str, right: Right, options: dict[str, Any]) -> Callable[[Any], Any]:
        guards = [] if right.is_open else [Depends(_guard(right))]
        secured: dict[str, Any] = (
            {} if right.is_open else {"security": [{"OpenIdConnect": []}, {"Bearer": []}]}
        )
        options.setdefault("max_body_size", MOST)
        extra = {"x-right": right.name, **secured, **options.pop("openapi_extra", {})}

        def declare(function: Any) -> Any:
            self.api.add_api_route(
                path,
                function,
                methods=[method],
                dependencies=guards,
                operation_id=f"{self.subject}_{function.__name__}",
                openapi_extra=extra,
                **options,
            )
            return function

        return declare


def _guard(right: Right) -> Callable[[User], None]:
    def check(me: Me) -> None:
        if not right.holds(me):
            raise Forbidden(f"Forbidden: this needs {right.name}")

    return check
