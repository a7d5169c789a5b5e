"""Every page of ours: it states its right, knows its visitor, and takes forms of its own only."""

import re
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute

from diracx_api.app import ROUTERS
from diracx_api.ui.router import FORM_KEY, Pages
from diracx_tasks.auth.visits import Visit
from tests.architecture.owned import OPEN
from tests.builders import Installation, a_user, installation, template
from tests.ui.visitor import Pages as Server
from tests.ui.visitor import serving

__all__ = ["installation", "template"]
ROUTES = [
    (method, route)
    for router in ROUTERS
    if isinstance(router, Pages)
    for route in router.api.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
]
CLOSED = [(method, route) for method, route in ROUTES if (route.openapi_extra or {})["x-right"] not in OPEN]


@pytest.fixture
def pages(installation: Installation) -> Iterator[Server]:
    """A server with our pages."""
    with serving(installation) as found:
        yield found


def test_pages_are_not_part_of_the_api() -> None:
    assert ROUTES and not [route.path for _, route in ROUTES if route.include_in_schema]


def test_strangers_are_sent_to_the_login_and_forms_from_elsewhere_are_refused(pages: Server) -> None:
    ticket = pages.ticket("alice", "operators")
    key = Visit(a_user(), ticket).form_key
    for method, route in CLOSED:
        path = re.sub(r"{[^}]*}", "1", route.path)
        status, where = pages.send(path, "", method=method)
        assert (status, where.partition("?")[0]) == (303, "/ui/login"), (method, path)
        if method != "GET":
            assert pages.send(path, ticket)[0] == 403, path
            assert pages.send(path, ticket, site="cross-site", **{FORM_KEY: key})[0] == 403, path


def test_who_has_no_right_is_told_which_one_it_needs(pages: Server) -> None:
    ticket = pages.ticket("alice", "nobodies")
    key = Visit(a_user(), ticket).form_key
    for method, route in CLOSED:
        right = (route.openapi_extra or {})["x-right"]
        if right in ("anybody with a token", "anybody but a pilot"):
            continue
        path = re.sub(r"{[^}]*}", "1", route.path)
        status, words = pages.send(path, ticket, method=method, **{FORM_KEY: key})
        assert status == 403 and f"this page needs {right}" in words, (method, path, words)
