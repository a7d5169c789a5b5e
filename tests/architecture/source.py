"""The project's source files as syntax trees."""

import ast
import tokenize
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("diracx_tasks", "diracx_api")


@dataclass(frozen=True)
class Source:
    """One file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the project."""
        return str(self.path.relative_to(ROOT))

    @property
    def module(self) -> str:
        """What it is imported as."""
        return ".".join(self.path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")

    @cached_property
    def text(self) -> str:
        """What stands in it."""
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        """The same, parsed."""
        return ast.parse(self.text)

    @property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method."""
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return [node for node in ast.walk(self.tree) if isinstance(node, kinds)]

    @property
    def comments(self) -> int:
        """How many lines begin with a comment."""
        with self.path.open("rb") as stream:
            kinds = [token for token in tokenize.tokenize(stream.readline) if token.type == tokenize.COMMENT]
        return sum(token.line.lstrip().startswith("#") for token in kinds)

    @property
    def imports(self) -> set[str]:
        """Every module that it imports, also late ones: `from a.b import c` gives a.b and a.b.c."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        return found


def sources(*packages: str) -> list[Source]:
    """Every Python file of packages, migrations left out: those are a record, not a text to be edited."""
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    return [Source(path) for path in paths if "versions" not in path.parts]


def modules(found: set[str], source: list[Source]) -> set[str]:
    """Of imported names, those that are modules of ours."""
    ours = {one.module for one in source}
    return found & ours
