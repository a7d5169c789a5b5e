"""What the pilot's one file consists of: our modules that run on a node, and the packages they import."""

import ast
import sys
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import NamedTuple

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "diracx_tasks"
ROOT = Path(__file__).parents[1]
# Everything in there runs on nodes.
START = "node"


class Lacking(NamedTuple):
    """A package that another Python needs and that is not installed here."""

    requirement: str


def modules() -> dict[str, Path]:
    """Our modules' files by the path that they have in the file, with the packages that they are in."""
    todo = [f"{PACKAGE}.{START}.{file.stem}" for file in sorted((ROOT / START).glob("*.py"))]
    found: dict[str, Path] = {}
    while todo:
        file = _file_of(todo.pop())
        if file is not None and (name := _inside(file)) not in found:
            found[name] = file
            todo += _imports(file)
    for file in list(found.values()):
        for folder in file.parents[: len(file.relative_to(ROOT).parts)]:
            beginning = folder / "__init__.py"
            found[_inside(beginning)] = beginning
    return dict(sorted(found.items()))


def packages() -> list[str]:
    """The names of the packages that our modules import, with their installed versions: `click==8.5.1`."""
    known, named = packages_distributions(), set[str]()
    for file in modules().values():
        # Late imports of the package itself are for servers.
        if file.name != "__init__.py":
            named |= {name.partition(".")[0] for name in _imports(file)}
    outside = {one for name in named - sys.stdlib_module_names - {PACKAGE} for one in known.get(name, ())}
    return sorted(f"{canonicalize_name(one)}=={distribution(one).version}" for one in outside)


def closure(
    wanted: Collection[str], environment: Mapping[str, str] | None = None
) -> dict[str, Distribution | Lacking]:
    """Packages with all that they need, by name; `environment` has the markers of another Python."""
    markers = {**default_environment(), **(environment or {})}
    todo, found = [Requirement(one) for one in wanted], dict[str, Distribution | Lacking]()
    extras: dict[str, set[str]] = {}
    while todo:
        one = todo.pop()
        name = canonicalize_name(one.name)
        asked = extras.setdefault(name, set())
        if name in found and one.extras <= asked:
            continue
        asked |= one.extras
        try:
            found[name] = there = distribution(name)
        except PackageNotFoundError:
            found[name] = Lacking(str(one))
            continue
        todo += _needed(there, markers, asked)
    return dict(sorted(found.items()))


def _needed(
    one: Distribution, markers: Mapping[str, object], extras: Collection[str]
) -> Iterator[Requirement]:
    for text in one.requires or ():
        stated = Requirement(text)
        if stated.marker is None or any(
            stated.marker.evaluate({**markers, "extra": extra})  # type: ignore[dict-item]
            for extra in ("", *extras)
        ):
            stated.marker = None
            yield stated


def _file_of(module: str) -> Path | None:
    """The file of one of our modules; None for packages and for what is not ours or is a name in a module."""
    top, *rest = module.split(".")
    file = ROOT.joinpath(*rest).with_suffix(".py") if top == PACKAGE and rest else None
    return file if file is not None and file.is_file() else None


def _inside(file: Path) -> str:
    return f"{PACKAGE}/{file.relative_to(ROOT).as_posix()}"


def _imports(file: Path) -> set[str]:
    """What a file imports, sooner or later: `from a.b import c` gives a.b and a.b.c."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found
