"""Pilots' secrets on their way to a real Slurm and back: in no log, no row, no listing, no command line."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import urllib3
from sqlalchemy import select

from diracx_tasks.auth import keys
from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.auth.tokens import issue
from diracx_tasks.core.client import Client
from diracx_tasks.core.database import Table, reading
from diracx_tasks.core.errors import LoginNeeded
from diracx_tasks.core.settings import settings
from diracx_tasks.pilots.elements import PilotScript, element
from diracx_tasks.pilots.tables import Pilot
from tests.builders import VO, a_user
from tests.integration.computing.pilots import until
from tests.processes import Processes
from tests.servers import MariaDB, Redis, Slurm, free_port
from tests.system import wait_for
from tests.unit.engine.scheduled import an_own_database
from tests.unit.matching.ends import waiting

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
GRID = """\
Registry: {{lhcb: {{DefaultGroup: user, Groups: {{user: {{Properties: [NormalUser]}}}}}}}}
Resources:
  Sites:
    LCG:
      LCG.CERN.ch:
        CEs:
          hpc01: {{CEType: Slurm, Preamble: "{preamble}", SharedArea: "{folder}", Queues: {{short: {{}}}}}}
"""
# It begins, asks for work, and shows how it looks from outside.
PILOT = """\
export DIRACX_PILOT_STAMP={stamp} DIRACX_PILOT_SECRET={secret}
cat > look.py << 'END'
import glob, os, pathlib
from diracx_tasks.node.credentials import credentials
client = credentials("{url}")
asked = dict(stamp=os.environ["DIRACX_PILOT_STAMP"], site="nowhere", cores=1, ram_mb=100)
print("jobs:", client.post("/api/pilots/match", asked)["jobs"])
for path in glob.glob("/proc/[0-9]*/cmdline"):
    try:
        print(pathlib.Path(path).read_bytes().replace(bytes(1), b" ").decode(errors="replace"))
    except OSError:
        pass
END
PYTHONPATH={path} exec {python} look.py
"""


@dataclass
class Place:
    """A running API and worker, a cluster, and a client of a service administrator."""

    processes: Processes
    slurm: Slurm
    folder: Path
    preamble: str
    client: Client

    @property
    def log(self) -> str:
        """All that API and worker have written."""
        return (self.folder / "processes.log").read_text()

    def listed(self) -> str:
        """All that the batch system tells of its jobs."""
        asked = [("scontrol", "--details", "show", "job"), ("squeue", "--states=all", "--format=%all")]
        return "\n".join(self.slurm.client(*command) for command in asked)


@pytest.fixture(scope="module")
def place(
    mariadb: MariaDB, redis_server: Redis, slurm: Slurm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    url, preamble = f"http://127.0.0.1:{free_port()}", f"export SLURM_CONF={slurm.settings}"
    file = folder / "configuration.yml"
    file.write_text(GRID.format(preamble=preamble, folder=folder))
    more = {"DIRACX_URL": url, "DIRACX_LOG_LEVEL": "DEBUG", "DIRACX_CONFIG_BACKEND_URL": str(file)}
    with an_own_database(mariadb, redis_server, folder, **more) as stated:
        keys.create(settings().keys_file)
        with Processes(folder, stated) as processes:
            port = url.rpartition(":")[2]
            command = ("uvicorn", "--factory", "diracx_api.app:create_app", "--log-level", "debug")
            processes.start("api", *command, "--port", port)
            processes.worker("worker", "--loglevel=DEBUG", processes=1)
            token = issue(a_user("carol", properties=(SERVICE,)), seconds=600)
            wait_for(lambda: answers(url), 60, lambda: processes.log)
            yield Place(processes, slurm, folder, preamble, Client(url, token))
            slurm.client("scancel", "--user=root")


def answers(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/api/health/live", retries=False, timeout=5).status < 500
    except urllib3.exceptions.HTTPError:
        return False


def stored() -> str:
    """All rows of all tables."""
    with reading() as db:
        return "\n".join(str(row) for one in Table.metadata.sorted_tables for row in db.execute(select(one)))


def test_a_secret_of_somebodys_own_pilot_is_seen_nowhere(place: Place) -> None:
    stamp = uuid4().hex
    place.client.post("/api/pilots/", {"pilot_stamp": stamp, "vo": VO})
    (given,) = place.client.post("/api/pilots/secrets", {"pilot_stamps": [stamp]})
    secret = given["pilot_secret"]
    path = Path(__file__).parents[2]
    text = PILOT.format(stamp=stamp, secret=secret, url=place.client.url, path=path, python=sys.executable)
    options = {"CEType": "Slurm", "Preamble": place.preamble, "SharedArea": str(place.folder)}
    hpc = element("hpc01", options)
    (reference,) = hpc.submit("short", [PilotScript(stamp, "#!/bin/sh\n" + text)]).values()
    until(hpc, reference)
    out, errors = hpc.output(reference)
    assert "jobs: []" in out, errors
    assert sys.executable in out
    # It is used again, and badly written.
    again = {"pilot_stamp": stamp, "pilot_secret": secret, "nonce": "x" * 20}
    with pytest.raises(LoginNeeded, match="has been used"):
        Client(place.client.url, None).post("/api/pilots/token", again)
    urllib3.request("POST", f"{place.client.url}/api/pilots/token", json={**again, "nonce": ""})
    wait_for(lambda: f"the secret of the pilot {stamp}" in place.log, 30, lambda: place.log)
    assert "/api/pilots/token" in place.log and stamp in stored() and stamp in place.listed()
    for seen in (place.log, stored(), place.listed(), out, errors):
        assert secret not in seen


def test_the_secrets_of_pilots_that_a_worker_submits_are_in_their_scripts_only(place: Place) -> None:
    waiting(2)
    place.client.post("/api/pilots/plan", {"dry_run": False})
    wait_for(lambda: len(submitted()) == 2, 60, lambda: place.log[-5000:])
    secrets = [secret_of(place, reference) for reference in submitted()]
    assert len(set(secrets)) == 2 and min(map(len, secrets)) >= 43
    for seen in (place.log, stored(), place.listed()):
        assert all(one not in seen for one in secrets)
        assert len(seen) > 1000


def submitted() -> list[str]:
    with reading() as db:
        return list(db.scalars(select(Pilot.reference).where(Pilot.reference.startswith("slurm://"))))


def secret_of(place: Place, reference: str) -> str:
    """What a pilot begins with, as it stands in the script that the batch system keeps."""
    text = place.slurm.client("scontrol", "write", "batch_script", reference.rpartition("/")[2], "-")
    found = re.search(r"(?:DIRACX_PILOT_SECRET|DIRACX_TOKEN)=(\S+)", text)
    assert found, "no secret in the script"
    return found[1].strip("'\"")
