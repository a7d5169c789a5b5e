"""Finding the modules that declare tasks and tables: ours, and those of extensions' entry points."""

from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

SUBJECTS = ("engine", "jobs", "matching", "pilots", "sandboxes", "workflows")


def load_tasks() -> list[str]:
    """Import every module that declares tasks; answers their names."""
    return _load("tasks")


def load_tables() -> list[str]:
    """Import every module that declares tables, so that the metadata is whole; answers their names."""
    return _load("tables")


def _load(kind: str) -> list[str]:
    ours = [f"diracx_tasks.{subject}.{kind}" for subject in SUBJECTS]
    others = [point.module for point in entry_points(group=f"diracx.{kind}")]
    found = [module for module in (*ours, *others) if find_spec(module)]
    for module in found:
        import_module(module)
    return found
