"""Files of workflow_params that came as attachments: the reference client names them by file: addresses."""

from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from diracx_tasks.core.errors import BadRequest
from diracx_tasks.cwl.values import FILES, locations


def attached(inputs: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The inputs, `file:` addresses replaced by the names of the attachments that they end with.

    Attachments are named relative to one folder of the sender's. Raises BadRequest for an address that leads
    to none, or whose folder is another one.
    """
    known = {name for one in names for name in _folders(one)}
    found: dict[str, str] = {}
    roots: set[str] = set()
    for location in sorted(one for one in _locations(inputs) if one.startswith("file:")):
        root, name = _split(location, known)
        roots.add(root)
        found[location] = name
    if len(roots) > 1:
        raise BadRequest(
            f"files are in several folders, {' and '.join(sorted(roots))[:300]}: "
            "attach all of them with names relative to one folder"
        )
    replaced: dict[str, Any] = _replaced(inputs, found)
    return replaced


def _split(location: str, known: Collection[str]) -> tuple[str, str]:
    """The sender's folder, and the longest name of an attachment below it that this address may mean."""
    parts = [part for part in unquote(urlsplit(location).path).split("/") if part]
    for number in range(len(parts)):
        if (name := "/".join(parts[number:])) in known:
            return "/" + "/".join(parts[:number]), name
    raise BadRequest(
        f"{location[:300]} is a file of your machine: send it as a workflow_attachment, "
        "with its path relative to the workflow's folder as its name"
    )


def _folders(name: str) -> Iterator[str]:
    parts = name.split("/")
    yield from ("/".join(parts[:number]) for number in range(1, len(parts) + 1))


def _locations(inputs: dict[str, Any]) -> Iterator[str]:
    return (one for one in locations(inputs) if isinstance(one, str))


def _replaced(value: Any, found: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_replaced(one, found) for one in value]
    if not isinstance(value, dict):
        return value
    inner = {name: _replaced(one, found) for name, one in value.items()}
    location = value.get("location")
    if value.get("class") in FILES and isinstance(location, str) and location in found:
        inner["location"] = found[location]
    return inner
