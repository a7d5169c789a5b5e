"""Imports point one way: core <- engine, cwl <- subjects <- app, cli <- diracx_api."""

import pytest

from tests.architecture.source import PACKAGES, Source, modules, sources

ALL = sources(*PACKAGES)
LAYERS = {"core": 0, "engine": 1, "cwl": 1, "app": 3, "cli": 3, "diracx_api": 4}
SUBJECT = 2
ENTRY_POINTS = ("diracx_tasks", "diracx_api.app")
USERS_CLI = (
    "main",
    "output",
    "inputs",
    "document_files",
    "local_files",
    "secondary",
    "workflows",
    "workflow_logs",
    "watch",
    "jobs",
    "job_actions",
    "job_submissions",
    "job_sandboxes",
    "known",
    "lists",
    "live",
    "tables",
    "complaints",
    "failures",
    "groups",
    "progress",
    "storing",
    "steps",
    "shell",
    "manual",
    "login",
    "where",
    "cwl_jobs",
    "arguments",
    "crates",
    "documents",
    "here",
    "offline",
    "matching",
    "data",
    "fetching",
    "usage",
    "notices",
    "pilots",
    "pilot_search",
    "pilot_actions",
    "sites",
)
SERVERS = (
    "sqlalchemy",
    "redis",
    "celery",
    "kombu",
    "fastapi",
    "alembic",
    "boto3",
    "pymysql",
    "pydantic_settings",
)
# What of the engine knows Celery or Kombu; everything else is called by these.
MAY_USE_CELERY = {
    "diracx_tasks.app",
    *(
        f"diracx_tasks.engine.{name}"
        for name in (
            "batches",
            "beat",
            "broker",
            "execute",
            "health",
            "reconnect",
            "task",
            "timing",
            "worker",
        )
    ),
}


def part(module: str) -> str:
    """core, engine, jobs, ..., or diracx_api."""
    package, _, rest = module.partition(".")
    return "diracx_api" if package == "diracx_api" else rest.partition(".")[0]


def layer(module: str) -> int:
    return LAYERS.get(part(module), SUBJECT)


def ours(source: Source) -> set[str]:
    return {name for name in modules(source.imports, ALL) if part(name)}


def uses(source: Source, library: str) -> bool:
    return any(name == library or name.startswith(f"{library}.") for name in source.imports)


def everything_behind(start: Source) -> set[str]:
    """All modules of ours that are loaded sooner or later."""
    by_name, seen, todo = {one.module: one for one in ALL}, set[str](), [start.module]
    while todo:
        if (module := todo.pop()) not in seen and module in by_name:
            seen.add(module)
            todo += ours(by_name[module])
    return seen


@pytest.mark.parametrize("source", ALL, ids=lambda source: source.module)
def test_imports_point_one_way(source: Source) -> None:
    if source.module in ENTRY_POINTS:
        return
    upward = {name for name in ours(source) if layer(name) > layer(source.module)}
    sideways = {name for name in ours(source) if {part(name), part(source.module)} == {"engine", "cwl"}}
    assert upward | sideways == set()


def test_verbs_know_neither_celery_nor_fastapi() -> None:
    inner = [one for one in ALL if part(one.module) not in ("cli", "diracx_api")]
    found = {one.module for one in inner if uses(one, "celery") or uses(one, "kombu")}
    assert {one for one in found if not one.endswith(".tasks")} == MAY_USE_CELERY
    everywhere = [one for one in ALL if part(one.module) != "diracx_api"]
    web = ("fastapi", "starlette", "uvicorn")
    assert [one.module for one in everywhere if any(uses(one, name) for name in web)] == []


def test_routes_know_nothing_of_celery_but_the_application() -> None:
    routes = [one for one in ALL if part(one.module) == "diracx_api"]
    assert [one.module for one in routes if uses(one, "celery") or uses(one, "kombu")] == []


def test_cwl_imports_nothing_of_ours_but_errors() -> None:
    for source in ALL:
        if part(source.module) == "cwl":
            foreign = {name for name in ours(source) if part(name) != "cwl"}
            assert foreign <= {"diracx_tasks.core.errors"}, source.module


def test_the_pilot_and_the_users_commands_talk_http_only() -> None:
    commands = [f"diracx_tasks.cli.{name}" for name in USERS_CLI]
    chosen = [one for one in ALL if part(one.module) == "node" or one.module in commands]
    allowed = ("node", "core", "cwl", "cli")
    for source in chosen:
        assert {name for name in ours(source) if part(name) not in allowed} == set(), source.module
        if source.module == "diracx_tasks.cli.main":
            continue  # its operators' commands are loaded late, by name
        by_name = {one.module: one for one in ALL}
        behind = [by_name[name] for name in everything_behind(source)]
        found = {(one.module, library) for one in behind for library in SERVERS if uses(one, library)}
        assert found == set(), source.module


def test_nobody_touches_the_tables_of_another_subject() -> None:
    for source in ALL:
        tables = {name for name in ours(source) if name.endswith(".tables")}
        foreign = {name for name in tables if part(name) != part(source.module)}
        assert foreign == set(), source.module


def test_only_the_door_writes_a_jobs_status() -> None:
    for source in ALL:
        if "update(Job)" in source.text.replace("\n", "").replace(" ", ""):
            assert source.module in (
                "diracx_tasks.jobs.status",
                "diracx_tasks.jobs.claims",
                "diracx_tasks.jobs.beats",
                "diracx_tasks.jobs.deadlines",
                "diracx_tasks.jobs.facts",
            )
