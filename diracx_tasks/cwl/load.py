"""A bundle's documents as cwltool's process tree; nothing outside the bundle can be read."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files as files_of
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cwltool.context import LoadingContext
from cwltool.load_tool import fetch_document, make_tool, resolve_and_validate_document
from cwltool.process import Process, shortname, use_custom_schema
from cwltool.workflow import Workflow, WorkflowStep, default_make_tool
from schema_salad.fetcher import Fetcher

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import formats, overrides
from diracx_tasks.cwl.access import BundleFetcher, Files
from diracx_tasks.cwl.bundle import Bundle

# cwltool's own requirements (`cwltool:Loop`, ...) by the version of CWL that they extend.
EXTENSIONS = {
    "v1.0": "extensions.yml",
    "v1.1": "extensions-v1.1.yml",
    "v1.2": "extensions-v1.2.yml",
    "v1.3.0-dev1": "extensions-v1.3.yml",
}
EXTENDED = "http://commonwl.org/cwltool"


def base_uri(bundle: Bundle, folder: Path | None = None) -> str:
    """What the bundle's relative paths are resolved against; always ends with a slash."""
    # cwltool treats file: specially in many places, so a bundle in memory gets a file: name as well.
    return f"{folder.resolve().as_uri()}/" if folder else f"file:///bundle/{bundle.hash}/"


def load(bundle: Bundle, *, folder: Path | None = None, moved: overrides.Overrides | None = None) -> Process:
    """The root process, validated, with the requirements that the bundle carries apart, or with `moved`.

    With `folder`, where the bundle has been written, default Files point there. Raises cwltool's
    ValidationException and WorkflowException; `diagnostics.explain` puts them into words.
    """
    _know_extensions()
    base = base_uri(bundle, folder)
    files = Files(bundle, base)
    context = _context(files)
    document, hash_sign, fragment = bundle.entrypoint.partition("#")
    context, parsed, uri = fetch_document(base + quote(document) + hash_sign + fragment, context)
    context, uri = resolve_and_validate_document(context, parsed, uri)
    if asked := moved or overrides.of(bundle):
        context.overrides_list += overrides.listed(asked, uri, base, _context(files))
    root = make_tool(uri, context)
    formats.give([root, *(step.embedded_tool for _, step in walk(root))], files)
    return root


def _context(files: Files) -> LoadingContext:
    def fetcher(cache: Any, session: Any) -> Fetcher:
        return BundleFetcher(files)

    return LoadingContext(
        {
            "construct_tool_object": default_make_tool,
            "fetcher_constructor": fetcher,
            # schema-salad would fetch them; `formats` does not.
            "skip_schemas": True,
            "doc_cache": False,
            "disable_js_validation": True,
            "relax_path_checks": True,
            # CWL v1.3.0-dev1, for its loops.
            "enable_dev": True,
        }
    )


@cache
def _know_extensions() -> None:
    for version, name in EXTENSIONS.items():
        use_custom_schema(version, EXTENDED, files_of("cwltool").joinpath(name).read_text("utf-8"))


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
    # schema-salad sorts steps by their names, and cwltool shuffles them.
    order = {
        shortname(step["id"]): (step.lc.line or 0, step.lc.col or 0) for step in process.tool.get("steps", [])
    }
    for name, step in sorted(steps(process).items(), key=lambda item: order[item[0]]):
        inner = f"{path}/{name}" if path else name
        yield inner, step
        yield from walk(step.embedded_tool, inner)
