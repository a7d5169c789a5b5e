"""What this service runs and how it may be told to: CWL versions, the engine, its parameters."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

from diracx_tasks.core.errors import BadRequest
from diracx_tasks.workflows.submit import DEFAULTS, Options

ENGINE = "diracx"
VERSIONS = ("v1.0", "v1.1", "v1.2", "v1.3.0-dev1")
LONGEST_NAME = 128
MOST_RETRIES = 10


def engine_version() -> str:
    """This project's."""
    return version("diracx-celery")


def named(stated: dict[str, Any]) -> tuple[str, Options]:
    """Name and options of a run by workflow_engine_parameters; their values may be texts."""
    if unknown := sorted(set(stated) - PARAMETERS.keys()):
        known = ", ".join(PARAMETERS)
        raise BadRequest(f"there is no workflow_engine_parameter {unknown[0][:100]!r}, only {known}")
    found = {name: _read(name, value) for name, value in stated.items()}
    return found.pop("name", ""), DEFAULTS._replace(**found)


def _read(name: str, value: Any) -> Any:
    try:
        return PARAMETERS[name].read(value)
    except (TypeError, ValueError) as error:
        words = f"workflow_engine_parameter {name} is {PARAMETERS[name].words}"
        raise BadRequest(f"{words}, not {value!r:.100}") from error


class Parameter(NamedTuple):
    """How the engine can be told something, and how its value is read."""

    kind: str
    default: str
    words: str
    read: Callable[[Any], Any]


def _name(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise ValueError(value)
    return value


def _policy(value: Any) -> str:
    if value not in ("stop", "continue"):
        raise ValueError(value)
    return str(value)


def _flag(value: Any) -> bool:
    return ("false", "true").index(str(value).lower()) == 1


def _retries(value: Any) -> int:
    number = int(str(value))
    if not 0 <= number <= MOST_RETRIES:
        raise ValueError(value)
    return number


PARAMETERS = {
    "name": Parameter("string", "", f"a text of at most {LONGEST_NAME} characters", _name),
    "on_error": Parameter("string", DEFAULTS.on_error, "stop or continue", _policy),
    "reuse": Parameter("boolean", "true", "true or false", _flag),
    "retries": Parameter("int", str(DEFAULTS.retries), f"a number from 0 to {MOST_RETRIES}", _retries),
}
