"""The limits of style that a program can check."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source import PACKAGES, Source, sources

OURS = sources(*PACKAGES)
TESTS = sources("tests", "docs")
DRAWERS = ("util", "helper", "manager", "misc", "common")


def public(
    parent: ast.Module | ast.ClassDef,
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Classes, and functions and methods that others may call."""
    for node in parent.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if not node.name.startswith("_"):
            yield node
            yield from public(node) if isinstance(node, ast.ClassDef) else ()


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


@pytest.mark.parametrize("source", [*OURS, *TESTS], ids=lambda source: source.name)
def test_a_file_says_what_it_is_for_and_is_short(source: Source) -> None:
    assert ast.get_docstring(source.tree) or not source.text.strip(), "no docstring"
    assert len(source.text.splitlines()) <= 300
    too_long = {function.name: length(function) for function in source.functions if length(function) > 50}
    assert too_long == {}


def test_nine_of_ten_functions_have_25_lines_at_most() -> None:
    lengths = [length(function) for source in OURS for function in source.functions]
    assert sum(one <= 25 for one in lengths) >= 0.9 * len(lengths)


def test_comments_are_few() -> None:
    lines = sum(len(source.text.splitlines()) for source in OURS)
    assert 0 < sum(source.comments for source in OURS) <= 0.05 * lines


def test_there_are_no_drawers() -> None:
    drawers = [one.name for one in [*OURS, *TESTS] if any(word in one.path.stem.lower() for word in DRAWERS)]
    assert drawers == []
    classes = [node.name for one in OURS for node in ast.walk(one.tree) if isinstance(node, ast.ClassDef)]
    assert [name for name in classes if name.endswith(("Manager", "Helper", "Utils", "Base", "Impl"))] == []


def test_every_public_function_of_the_product_says_what_one_gets() -> None:
    silent = [
        f"{source.module}.{node.name}"
        for source in OURS
        for node in public(source.tree)
        if not ast.get_docstring(node)
    ]
    assert silent == []
