"""Every error that a user can meet: its words, its HTTP status and the command line's exit code."""

from typing import Any


class DiracXError(Exception):
    """Something that the user can read and act upon; the API answers `{"detail": ...}`."""

    http_status = 500
    exit_code = 1

    @property
    def detail(self) -> Any:
        """What stands in the API's answer."""
        return str(self)


class BadRequest(DiracXError):
    """The request cannot be understood or carried out as it is."""

    http_status = 400
    exit_code = 2


class Unauthenticated(DiracXError):
    """No token, or one that does not hold."""

    http_status = 401
    exit_code = 4


class Forbidden(DiracXError):
    """The token is good but does not give this right."""

    http_status = 403


class NotFound(DiracXError):
    """There is no such thing in the caller's VO."""

    http_status = 404


class Conflict(DiracXError):
    """It exists but is elsewhere: another state, another attempt, another content under the same key."""

    http_status = 409


class TooLarge(DiracXError):
    """Over a stated limit; the words name the limit."""

    http_status = 413


class Unavailable(DiracXError):
    """A server that we need is away; trying again helps."""

    http_status = 503
    exit_code = 5


class SettingsError(DiracXError):
    """The environment lacks something or holds something wrong; the words say what to change."""

    exit_code = 2


class NeverConfigured(SettingsError):
    """There is a source of the configuration, and it has never said anything good."""

    http_status = 503


class InvalidCwl(DiracXError):
    """A CWL document or its inputs are wrong; `diagnostics` says where and what to do.

    Each diagnostic is `{"severity", "file", "line", "column", "message", "advice"}`; line and column
    count from 1 and are null where the document gives none.
    """

    http_status = 422
    exit_code = 34
    kind = "invalid"

    def __init__(self, message: str, diagnostics: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.diagnostics = diagnostics or [_without_place(message)]

    @property
    def detail(self) -> Any:
        """The message, its kind and the diagnostics."""
        return {"kind": self.kind, "message": str(self), "diagnostics": self.diagnostics}


class UnsupportedCwl(InvalidCwl):
    """Valid CWL that asks for something which this system does not do."""

    exit_code = 33
    kind = "unsupported"


class Unreachable(DiracXError):
    """The API does not answer."""

    exit_code = 5


class LoginNeeded(DiracXError):
    """The API wants a token, or a fresh one."""

    http_status = 401
    exit_code = 4


class ApiError(DiracXError):
    """The API refused; `status` is its HTTP status and `body` what it said."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(_words(body) or f"the server answered {status}")
        self.status = status
        self.body = body
        kind = body.get("kind") if isinstance(body, dict) else None
        self.exit_code = {"invalid": 34, "unsupported": 33}.get(kind or "", 1)


def _without_place(message: str) -> dict[str, Any]:
    place = {"file": None, "line": None, "column": None}
    advice = "Compare the document with the CWL v1.2 specification."
    return {"severity": "error", **place, "message": message, "advice": advice}


def _words(body: Any) -> str:
    if isinstance(body, dict):
        return str(body.get("message") or body.get("detail") or body)
    if isinstance(body, list):
        return "; ".join(_field_error(item) for item in body)
    return str(body)


def _field_error(item: Any) -> str:
    if isinstance(item, dict) and "loc" in item:
        return f"{'.'.join(str(part) for part in item['loc'])}: {item.get('msg')}"
    return str(item)
