"""Documents read on this machine without a server, by the code that the server reads them with."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diracx_tasks.cli.document_files import Documents
from diracx_tasks.cli.inputs import read_values
from diracx_tasks.cli.storing import Storing
from diracx_tasks.core import errors
from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl.bundle import Bundle

if TYPE_CHECKING:
    from cwltool.process import Process

SECONDS = 120
ROUNDS = 3
# What loadContents may read, and one byte more, so that it can refuse what is longer.
READ = 64 * 1024 + 1


def check(workflow: str, inputs: Path | None, given: Sequence[str]) -> dict[str, Any]:
    """`{"graph", "warnings"}` of a workflow that can run; InvalidCwl with local places otherwise.

    Expressions are evaluated in a child without network and credentials, as on the server.
    """
    documents = Documents.of(workflow)
    kept = Kept.empty()
    values = None
    if inputs is not None or given:
        values = read_values(documents, inputs, given, kept)
    with _local(documents, inputs):
        found: dict[str, Any] = _ask(documents.bundle(), {"op": "check", "inputs": values}, kept)
    return found


def process(workflow: str) -> "Process":
    """The process of a document; nothing is fetched. InvalidCwl with local places."""
    from diracx_tasks.cwl.check import loaded

    documents = Documents.of(workflow)
    with _local(documents, None), _silent():
        return loaded(documents.bundle())


def template_of(workflow: str) -> str:
    """An inputs file for a workflow, to be filled in."""
    from diracx_tasks.cwl.load import base_uri
    from diracx_tasks.cwl.template import template

    return template(process(workflow), base_uri(Documents.of(workflow).bundle()))


@dataclass
class Kept(Storing):
    """Gives local files names as in the store, and leaves them where they are."""

    paths: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> "Kept":
        """One that needs no server."""
        return cls(client=None)  # type: ignore[arg-type]  # only uploads ask it

    def contents(self, location: str) -> str:
        """The beginning of a file."""
        with self.paths[location].open("rb") as stream:
            return stream.read(READ).decode(errors="replace")

    def _stored(self, paths: Sequence[Path]) -> dict[Path, dict[str, Any]]:
        named = {f"sandbox:/here{path}": path for path in paths}
        self.paths |= named
        return {path: {"location": name, "size": path.stat().st_size} for name, path in named.items()}


@contextmanager
def _local(documents: Documents, inputs: Path | None) -> Iterator[None]:
    """Complaints that leave the block name files as the user would."""
    try:
        yield
    except InvalidCwl as error:
        places: Mapping[str, Path] = documents.places() | ({"inputs": inputs} if inputs else {})
        for one in error.diagnostics:
            one["file"] = str(places.get(one["file"] or "", one["file"] or "")) or None
        raise


@contextmanager
def _silent() -> Iterator[None]:
    """What cwltool logs is for its own users."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _ask(bundle: Bundle, request: dict[str, Any], kept: Kept) -> Any:
    contents: dict[str, str] = {}
    asked = {**request, "hash": bundle.hash, "bundle": bundle.to_json(), "seconds": SECONDS}
    for _ in range(ROUNDS):
        answer = _answer({**asked, "contents": contents})
        if "ok" in answer:
            return answer["ok"]
        if "unread" not in answer:
            kind = getattr(errors, answer["class"], InvalidCwl)
            is_placed = issubclass(kind, InvalidCwl)
            raise kind(answer["error"], answer["diagnostics"]) if is_placed else kind(answer["error"])
        contents |= {location: kept.contents(location) for location in answer["unread"]}
    raise InvalidCwl("expressions keep asking for more files")


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    from diracx_tasks.cwl import lines

    try:
        done = subprocess.run(
            [sys.executable, "-m", "diracx_tasks.cwl.once"],
            input=lines.written(question) + b"\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(sys.path), "LANG": "C.UTF-8"},
        )
        found: dict[str, Any] = lines.read(done.stdout.strip(b"\n"))
    except subprocess.TimeoutExpired:
        raise InvalidCwl(f"the document or its expressions took longer than {SECONDS} s") from None
    except ValueError:
        raise InvalidCwl("the document or its expressions broke the process that read them") from None
    return found
