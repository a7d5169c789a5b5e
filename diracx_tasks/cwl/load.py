"""A bundle's documents as cwltool's process tree; nothing outside the bundle can be read."""

import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from cwltool.context import LoadingContext
from cwltool.load_tool import load_tool
from cwltool.process import Process, shortname
from cwltool.stdfsaccess import StdFsAccess
from cwltool.workflow import Workflow, WorkflowStep, default_make_tool
from schema_salad.exceptions import ValidationException
from schema_salad.fetcher import Fetcher

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.limits import check_text


class Unread(Exception):
    """A value needs the contents of stored files that were not given; `locations` names them."""

    def __init__(self, locations: list[str]) -> None:
        super().__init__(", ".join(locations))
        self.locations = locations


def base_uri(bundle: Bundle, folder: Path | None = None) -> str:
    """What the bundle's relative paths are resolved against; always ends with a slash."""
    # cwltool treats file: specially in many places, so a bundle in memory gets a file: name as well.
    return f"{folder.resolve().as_uri()}/" if folder else f"file:///bundle/{bundle.hash}/"


def load(bundle: Bundle, *, folder: Path | None = None) -> Process:
    """The root process, validated.

    With `folder`, where the bundle has been written, default Files point there. Raises cwltool's
    ValidationException and WorkflowException; `diagnostics.explain` puts them into words.
    """
    base = base_uri(bundle, folder)
    for name, content in bundle.files.items():
        if name.endswith((".cwl", ".yml", ".yaml", ".json")):
            check_text(name, content)

    def fetcher(cache: Any, session: Any) -> Fetcher:
        return BundleFetcher(bundle, base)

    context = LoadingContext(
        {
            "construct_tool_object": default_make_tool,
            "fetcher_constructor": fetcher,
            "skip_schemas": True,
            "doc_cache": False,
            "disable_js_validation": True,
            "relax_path_checks": True,
        }
    )
    document, hash_sign, fragment = bundle.entrypoint.partition("#")
    return load_tool(base + quote(document) + hash_sign + fragment, context)


def steps(process: Process) -> dict[str, WorkflowStep]:
    """A workflow's steps by their short names; empty for a tool."""
    return {shortname(step.id): step for step in process.steps} if isinstance(process, Workflow) else {}


def step_at(root: Process, path: str) -> WorkflowStep:
    """The step at `a/b`: step b of the workflow that step a runs."""
    *above, name = path.split("/")
    process = process_at(root, "/".join(above))
    try:
        return steps(process)[name]
    except KeyError:
        raise InvalidCwl(f"there is no step {path!r}") from None


def process_at(root: Process, path: str) -> Process:
    """What the step at `a/b` runs, with the requirements it inherits; the root itself for ''."""
    return step_at(root, path).embedded_tool if path else root


def walk(process: Process, path: str = "") -> Iterator[tuple[str, WorkflowStep]]:
    """Every step of the tree with its path, outer steps first, in the order of the document."""
    order = {shortname(step["id"]): place for place, step in enumerate(process.tool.get("steps", []))}
    # cwltool shuffles the steps it has loaded, so the order comes from the document.
    for name, step in sorted(steps(process).items(), key=lambda item: order.get(item[0], 0)):
        inner = f"{path}/{name}" if path else name
        yield inner, step
        yield from walk(step.embedded_tool, inner)


class BundleFetcher(Fetcher):
    """Reads documents from the bundle; every other address is refused."""

    def __init__(self, bundle: Bundle, base: str) -> None:
        self._bundle = bundle
        self._base = base

    def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:
        """The text of a file of the bundle."""
        content = self._find(url)
        if content is None:
            raise ValidationException(f"{self._name(url)} is not among the files sent with the workflow")
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise ValidationException(f"{self._name(url)} is not UTF-8 text") from error

    def check_exists(self, url: str) -> bool:
        """Whether the bundle has it."""
        return self._find(url) is not None

    def urljoin(self, base_url: str, url: str) -> str:
        """The usual meaning of a relative reference."""
        if base_url.startswith("_:") or url.startswith(("_:", "sandbox:")):
            return url
        return urljoin(base_url, url)

    def _find(self, url: str) -> bytes | None:
        plain = url.split("#", maxsplit=1)[0]
        return self._bundle.files.get(unquote(plain.removeprefix(self._base))) if self._owns(plain) else None

    def _owns(self, url: str) -> bool:
        return url.startswith(self._base)

    def _name(self, url: str) -> str:
        return unquote(url.removeprefix(self._base))


class BundleAccess(StdFsAccess):
    """cwltool's file access during evaluation: the bundle, and stored files whose contents were given."""

    def __init__(self, bundle: Bundle, base: str, contents: dict[str, str]) -> None:
        super().__init__("")
        self._bundle = bundle
        self._base = base
        self._contents = contents

    def open(self, fn: str, mode: str) -> IO[Any]:
        """A readable stream; Unread when the contents of a stored file are needed and were not given."""
        if fn in self._contents:
            return io.BytesIO(self._contents[fn].encode())
        if urlsplit(fn).scheme == "sandbox":
            raise Unread([fn])
        return io.BytesIO(self._read(fn))

    def exists(self, fn: str) -> bool:
        """Whether it is a file or folder of the bundle; stored files are known by their values only."""
        return self.isfile(fn) or self.isdir(fn)

    def size(self, fn: str) -> int:
        """In bytes."""
        return len(self._read(fn))

    def isfile(self, fn: str) -> bool:
        """Whether it is a file of the bundle."""
        return self._path(fn) in self._bundle.files

    def isdir(self, fn: str) -> bool:
        """Whether files of the bundle lie below it."""
        return any(self._below(fn))

    def listdir(self, fn: str) -> list[str]:
        """The URIs right below a folder of the bundle."""
        depth = len(PurePosixPath(self._path(fn)).parts)
        names = {PurePosixPath(name).parts[depth] for name in self._below(fn)}
        return [f"{fn.rstrip('/')}/{quote(name)}" for name in sorted(names)]

    def glob(self, pattern: str) -> list[str]:
        """Nothing: patterns are for worker nodes."""
        return []

    def realpath(self, path: str) -> str:
        """The path itself: the bundle has no links."""
        return path

    def _below(self, fn: str) -> Iterator[str]:
        folder = self._path(fn).rstrip("/") + "/"
        return (name for name in self._bundle.files if name.startswith(folder))

    def _path(self, fn: str) -> str:
        return unquote(fn.removeprefix(self._base)) if fn.startswith(self._base) else "\0outside"

    def _read(self, fn: str) -> bytes:
        try:
            return self._bundle.files[self._path(fn)]
        except KeyError:
            raise FileNotFoundError(f"{fn} is not among the files sent with the workflow") from None
