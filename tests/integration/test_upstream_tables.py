"""DiracX's or DIRAC's databases are kept: every difference is known, and the API runs there."""

import asyncio
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import DateTime, Enum, Integer, Numeric, Uuid, insert, inspect, select, text
from sqlalchemy.orm import Mapper

from diracx_tasks.auth.rights import ADMIN, SERVICE, USER
from diracx_tasks.core import schema
from diracx_tasks.core.database import DIRAC_SCHEMAS, Table, engine, now, session
from diracx_tasks.core.settings import settings
from diracx_tasks.pilots import register
from diracx_tasks.pilots.tables import Pilot, PilotJob
from diracx_tasks.resources import view
from diracx_tasks.resources.status import Element, state
from tests.api.caller import Api
from tests.api.conftest import isolates
from tests.builders import a_pilot, a_user, template
from tests.integration import dirac9
from tests.integration.compared import differences, upstream
from tests.integration.upstream import Databases, api_on, databases_on
from tests.servers import MariaDB, Redis

__all__ = ["isolates", "template"]
DOCUMENT = Path(__file__).parents[2] / "docs" / "tables.md"
ROW = re.compile(r"^\| `(?P<difference>[^`]+)` \| (?P<why>[^|]*) \|$", re.M)
JDL = 'Executable = "echo"; JobName = "hello"; Owner = "x";'
ALICE = a_user(vo="local", properties=(USER, ADMIN, SERVICE))
pytestmark = pytest.mark.integration


def made_by_diracx(databases: Databases) -> None:
    databases.made_by_diracx()


def made_by_dirac(databases: Databases) -> None:
    databases.make(*(databases.names[name] for name in dirac9.DATABASES))
    databases.run(*dirac9.TABLES)


@pytest.fixture(scope="module", params=[made_by_diracx, made_by_dirac])
def taken_over(request: pytest.FixtureRequest, mariadb: MariaDB) -> Iterator[Databases]:
    """Databases that somebody else has made."""
    with databases_on(mariadb) as found:
        request.param(found)
        yield found


@pytest.fixture
def api(taken_over: Databases, template: Path, tmp_path: Path, redis_server: Redis) -> Iterator[Api]:
    """Our API there, after our migrations."""
    view._READ.clear()
    with api_on(taken_over, template, tmp_path, redis_server) as found:
        schema.migrate()
        yield found


def test_every_difference_from_diracx_is_explained_to_administrators() -> None:
    section = DOCUMENT.read_text().partition("## Every difference")[2].partition("\n## ")[0]
    explained = {row["difference"]: row["why"].strip() for row in ROW.finditer(section)}
    assert differences() - explained.keys() == set(), "write these into docs/tables.md, with the reason"
    assert explained.keys() - differences() == set(), "these are no differences any more"
    assert [difference for difference, why in explained.items() if len(why) < 10] == []


def test_the_comparison_sees_all_of_diracxs_databases_and_would_see_a_change() -> None:
    assert {"AuthDB", "JobDB", "JobLoggingDB", "PilotAgentsDB", "ResourceStatusDB"} < upstream().keys()
    column = Table.metadata.tables["JobDB.Jobs"].columns["JobName"]
    before, column.type = column.type, Integer()
    try:
        assert "JobDB.Jobs.JobName: VARCHAR(128) NOT NULL; ours INTEGER NOT NULL" in differences()
    finally:
        column.type = before


def value_for(column: Any) -> Any:
    """Something that fits a column which has no default of its own."""
    if isinstance(column.type, DateTime):
        return now().replace(microsecond=0)
    if isinstance(column.type, Integer | Numeric):
        return 1
    if isinstance(column.type, Enum):
        return column.type.enums[0]
    if isinstance(column.type, Uuid):
        return "0" * 32
    return "0" * min(getattr(column.type, "length", None) or 8, 32)


def in_order() -> list[Mapper[Any]]:
    """Our classes of DIRAC's tables, parents first: DIRAC has keys to jobs that we do without."""
    classes = {mapper.local_table: mapper for mapper in Table.registry.mappers}
    tables = [table for table in Table.metadata.sorted_tables if table.schema in DIRAC_SCHEMAS]
    parents = ["JobJDLs", "Jobs"]
    return [classes[table] for table in sorted(tables, key=lambda table: table.name not in parents)]


def test_the_indexes_are_there_that_statements_name_or_cannot_do_without(api: Api) -> None:
    needed = {
        ("JobDB", "Jobs"): {"Status", "LastUpdateTime", "JobsByAge", "NextCheckAt"},
        ("SandboxMetadataDB", "sb_SandBoxes"): {"SandboxCleaning"},
    }
    for (database, table), names in needed.items():
        found = inspect(engine()).get_indexes(table, schema=settings().database_schemas[database])
        assert {one["name"] for one in found} >= names, table


def test_each_of_our_tables_takes_a_row_there_with_our_defaults(api: Api) -> None:
    with session() as db:
        for mapper in in_order():
            needed = {
                prop.key: value_for(prop.columns[0])
                for prop in mapper.column_attrs
                if not prop.columns[0].nullable
                and prop.columns[0].default is None
                and prop.columns[0].server_default is None
            }
            db.execute(insert(mapper.class_).values(needed))
            db.flush()
            assert db.scalars(select(mapper.class_).limit(1)).one() is not None
        db.rollback()


def test_jobs_are_submitted_reported_on_and_found_there(api: Api) -> None:
    made = api.post("/api/jobs/jdl", [JDL, JDL], by=ALICE)
    assert made.status_code == 201, made.text
    job_ids = [one["JobID"] for one in made.json()]
    moment = f"{now().isoformat()}Z"
    killed = {str(job_ids[0]): {moment: {"Status": "Killed", "MinorStatus": "by hand", "Source": "test"}}}
    answer = api.patch("/api/jobs/status", killed, by=ALICE)
    assert answer.status_code == 200 and answer.json()["success"], answer.text
    condition = {"parameter": "JobID", "operator": "in", "values": job_ids}
    body = {"parameters": ["JobID", "Status", "LoggingInfo"], "search": [condition]}
    rows = api.post("/api/jobs/search", body, by=ALICE).json()
    assert [row["Status"] for row in rows] == ["Killed", "Received"]
    statuses = [event["Status"] for event in rows[0]["LoggingInfo"]]
    assert (statuses[0], statuses[-1]) == ("Received", "Killed")
    counted = api.post("/api/jobs/summary", {"grouping": ["VO"]}, by=ALICE).json()
    assert counted[0]["VO"] == "local" and counted[0]["count"] >= 2
    assert api.submit(by=ALICE).status_code in (200, 201)


def test_pilots_are_registered_and_get_jobs_there(api: Api) -> None:
    stamp = f"stamp-{now().timestamp():.6f}"
    body = {"pilot_stamp": stamp, "vo": "local"}
    assert api.post("/api/pilots/", body, by=ALICE).status_code == 201
    assert api.post("/api/pilots/", body, by=ALICE).status_code == 409
    assert api.patch("/api/pilots/metadata", {stamp: {"BenchMark": 9.5}}, by=ALICE).status_code == 204
    slot = {"stamp": stamp, "site": "LCG.CERN.ch", "cores": 1, "ram_mb": 4096}
    assert api.post("/api/pilots/match", slot, by=a_pilot(stamp, vo="local")).status_code == 200
    mine = [{"parameter": "PilotStamp", "operator": "eq", "value": stamp}]
    (row,) = api.post("/api/pilots/search", {"search": mine}, by=ALICE).json()
    assert (row["BenchMark"], row["Status"], row["AccountingSent"]) == (9.5, "Running", False)


def test_what_a_pilot_had_is_kept_once_though_diracs_table_has_no_key(api: Api) -> None:
    stamp = f"stamp-{now().timestamp():.6f}"
    assert api.post("/api/pilots/", {"pilot_stamp": stamp, "vo": "local"}, by=ALICE).status_code == 201
    with session() as db:
        for job_ids in ([7], [7, 8], [8, 7]):
            register.seen_many(db, "local", [(stamp, job_ids)] if job_ids else [])
        mine = select(PilotJob.job_id).join(Pilot, Pilot.pilot_id == PilotJob.pilot_id)
        assert sorted(db.scalars(mine.where(Pilot.stamp == stamp))) == [7, 8]


def test_a_long_description_is_kept_there(api: Api) -> None:
    words = secrets.token_hex(100_000)
    made = api.post("/api/jobs/jdl", [f'Executable = "echo"; Arguments = "{words}";'], by=ALICE)
    assert made.status_code == 201, made.text
    job_id = made.json()[0]["JobID"]
    assert words in api.get(f"/api/jobs/{job_id}/jdl", by=ALICE).text


def test_the_status_of_resources_is_told_there(api: Api) -> None:
    with session() as db:
        state(db, Element("ce01", "ComputeElement"), "Banned", "disk")
        state(db, Element("LCG.CERN.ch", "Site"), "Active", "ok")
    banned = {"all": {"allowed": False, "reason": "disk"}}
    assert api.get("/api/rss/compute").json()["ce01"] == banned
    assert api.get("/api/rss/site").json()["LCG.CERN.ch"]["all"]["allowed"]


def test_a_sandbox_is_announced_there(api: Api) -> None:
    body = {"checksum_algorithm": "sha256", "checksum": "0" * 64, "size": 3, "format": "tar.zst"}
    answer = api.post("/api/jobs/sandbox", body, by=ALICE)
    assert answer.status_code == 200 and answer.json()["pfn"].endswith(".tar.zst"), answer.text


def test_what_was_there_keeps_its_tables_and_gets_our_columns(api: Api, taken_over: Databases) -> None:
    found = inspect(engine())
    names = taken_over.names
    columns = {column["name"] for column in found.get_columns("Jobs", schema=names["JobDB"])}
    assert {"Attempt", "NextCheckAt"} <= columns
    pilots = found.get_indexes("PilotAgents", schema=names["PilotAgentsDB"])
    by_columns = [tuple(index["column_names"]) for index in pilots]
    assert ("PilotStamp",) in by_columns and len(by_columns) == len(set(by_columns))


@pytest.mark.parametrize("taken_over", [made_by_diracx], indirect=True)
def test_diracxs_own_programs_go_on_working_beside_us(api: Api, taken_over: Databases) -> None:
    """diracx-db's classes write, we read; the databases have our columns and indexes by then."""
    from diracx.db.sql import PilotAgentsDB, ResourceStatusDB

    def url(name: str) -> str:
        return taken_over.server.url_of(taken_over.names[name]).replace("+pymysql", "+aiomysql")

    async def write() -> None:
        pilots = PilotAgentsDB(url("PilotAgentsDB"))
        async with pilots.engine_context(), pilots as db:
            await db.register_pilots(["from-diracx"], "local")
        statuses = ResourceStatusDB(url("ResourceStatusDB"))
        async with statuses.engine_context(), statuses as db:
            await db.insert_resource_status("theirs", "Active", "all", "all", "ComputeElement")

    asyncio.run(write())
    mine = [{"parameter": "PilotStamp", "operator": "eq", "value": "from-diracx"}]
    (row,) = api.post("/api/pilots/search", {"search": mine}, by=ALICE).json()
    assert (row["Status"], row["PilotJobReference"]) == ("Submitted", "from-diracx")
    again = api.post("/api/pilots/", {"pilot_stamp": "from-diracx", "vo": "local"}, by=ALICE)
    assert again.status_code == 409
    assert "theirs" in api.get("/api/rss/compute").json()


def test_a_trigger_that_numbers_events_does_not_disturb_ours(api: Api, taken_over: Databases) -> None:
    (one,) = api.post("/api/jobs/jdl", [JDL], by=ALICE).json()
    api.post(f"/api/jobs/{one['JobID']}/kill", by=ALICE)
    query = f"SELECT SeqNum FROM {taken_over.names['JobLoggingDB']}.LoggingInfo WHERE JobID = :job ORDER BY 1"
    with engine().connect() as connection:
        numbers = list(connection.execute(text(query), {"job": one["JobID"]}).scalars())
    assert len(numbers) >= 2 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
