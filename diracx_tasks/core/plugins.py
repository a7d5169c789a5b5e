"""Finding the modules that declare tasks and tables: ours, and those of extensions' entry points."""

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

from diracx_tasks.core.errors import SettingsError

SUBJECTS = (
    "engine",
    "accounting",
    "auth",
    "jobs",
    "matching",
    "notices",
    "pilots",
    "resources",
    "sandboxes",
    "storage",
    "workflows",
)


def load_tasks() -> list[str]:
    """Import every module that declares tasks; answers their names, SettingsError names a bad extension."""
    return _load("tasks")


def load_tables() -> list[str]:
    """Import every module that declares tables, so that the metadata is whole; as `load_tasks`."""
    return _load("tables")


def _load(kind: str) -> list[str]:
    ours = [f"diracx_tasks.{subject}.{kind}" for subject in SUBJECTS]
    found = [module for module in ours if find_spec(module)]
    for module in found:
        import_module(module)
    # After ours, so that they may override them, and in the same order everywhere.
    others = sorted(entry_points(group=f"diracx.{kind}"), key=lambda point: (point.name, point.value))
    return [*found, *(_import(point) for point in others)]


def _import(point: EntryPoint) -> str:
    try:
        import_module(point.module)
    except Exception as error:
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "(unknown)"
        raise SettingsError(
            f"the package {package} cannot be loaded (entry point {point.name} = {point.value} of "
            f"{point.group}): {type(error).__name__}: {error}; correct or uninstall it"
        ) from error
    return point.module
