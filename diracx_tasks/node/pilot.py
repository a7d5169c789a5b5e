"""The pilot, `diracx-pilot`: asks for jobs, runs them, asks again. It talks HTTP only."""

import logging
import os
import signal
import sys
import tempfile
import uuid
from math import inf
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import click

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import DiracXError
from diracx_tasks.node import prctl
from diracx_tasks.node.attempt import discard
from diracx_tasks.node.container import AUTO, ENGINES, NONE, chosen
from diracx_tasks.node.filling import Bounds, Pilot
from diracx_tasks.node.gpus import cards
from diracx_tasks.node.halt import Stop
from diracx_tasks.node.lane import Lane
from diracx_tasks.node.offer import Slot, memory_share
from diracx_tasks.node.time_left import TimeLeft

# TERM and INT from people and most batch systems; some warn with USR1 or USR2 before they kill.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)

log = logging.getLogger("diracx.pilot")


@click.command()
@click.option("--url", envvar="DIRACX_URL", help="Base URL of the API.")
@click.option("--site", envvar="DIRACX_SITE", required=True, help="Site for which jobs are asked.")
@click.option("--ce", default="", help="Computing element that has started this pilot.")
@click.option("--queue", default="", help="The computing element's queue.")
@click.option("--cores", default=1, show_default=True, help="Cores for jobs, for all of them together.")
@click.option("--ram-mb", type=int, help="Memory for jobs [default: the cores' share of the node].")
@click.option("--disk-mb", default=0, help="What jobs may write; 0: what is free.")
@click.option("--wall-seconds", default=0, help="How long the pilot may run; 0: no limit.")
@click.option("--cpu-seconds", default=0, help="CPU time of each core for the pilot; 0: no limit.")
@click.option("--job-wall-seconds", default=0, help="How long a job may run; 0: no limit.")
@click.option("--margin", type=float, help="Seconds at the end without new jobs [default: 5 %, at most 300].")
@click.option("--tag", "tags", multiple=True, help="Tag that jobs may require; may be repeated.")
@click.option("--required-tag", "required_tags", multiple=True, help="Of these, what jobs have to require.")
@click.option(
    "--containers",
    envvar="DIRACX_CONTAINERS",
    type=click.Choice([AUTO, NONE, *ENGINES]),
    default=AUTO,
    show_default=True,
    help="What containers run with; auto: the first that works.",
)
@click.option("--work-dir", type=click.Path(path_type=Path, file_okay=False), help="Folder for jobs' files.")
@click.option("--max-jobs", default=0, help="Stop after so many jobs; 0: no limit.")
@click.option("--idle-seconds", envvar="DIRACX_PILOT_IDLE_SECONDS", default=0.0, help="0: idle for ever.")
@click.option("--grace", default=10.0, show_default=True, help="Seconds for the running jobs after SIGTERM.")
def main(*, url: str | None, work_dir: Path | None, **stated: Any) -> None:
    """Run jobs of a DiracX server on this machine, as many at once as it has room for.

    The token is taken from DIRACX_TOKEN, the pilot's name from DIRACX_PILOT_STAMP.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    stop, woken = Stop(stated["grace"]), SimpleQueue[Lane | None]()
    _listen(stop, woken)
    if work_dir:
        work_dir.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="pilot-", dir=work_dir)).resolve()
    try:
        pilot = Pilot(_client(url), _slot(work, stated), stop, _time_left(stated), woken)
        reason = pilot.run(Bounds(stated["max_jobs"], stated["idle_seconds"]))
        log.info("the pilot ends: %s", reason)
        sys.exit(1 if pilot.tally.is_hopeless else 0)
    except DiracXError as error:
        log.error("%s", error)
        sys.exit(error.exit_code)
    finally:
        discard(work)


def _listen(stop: Stop, woken: "SimpleQueue[Lane | None]") -> None:
    def ask(*_: object) -> None:
        stop.request()
        # Unlike locks it may be used here, whatever this thread is doing.
        woken.put(None)

    for number in STOPPING:
        signal.signal(number, ask)


def _slot(work: Path, stated: dict[str, Any]) -> Slot:
    cores = stated["cores"]
    return Slot(
        os.environ.get("DIRACX_PILOT_STAMP") or uuid.uuid4().hex,
        stated["site"],
        stated["ce"],
        cores,
        stated["ram_mb"] or memory_share(cores),
        stated["tags"],
        work,
        _engine(stated["containers"]),
        disk_mb=stated["disk_mb"],
        wall_seconds=stated["job_wall_seconds"],
        queue=stated["queue"],
        required_tags=stated["required_tags"],
        cards=cards(),
    )


def _time_left(stated: dict[str, Any]) -> TimeLeft:
    return TimeLeft(
        stated["wall_seconds"] or inf, stated["cpu_seconds"] or inf, stated["cores"], stated["margin"]
    )


def _engine(wanted: str) -> str:
    engine = chosen(wanted)
    if not engine and wanted not in (AUTO, NONE):
        log.error("%s does not work here: jobs that need a container will not be asked for", wanted)
    return engine


def _client(url: str | None) -> Client:
    if url:
        os.environ["DIRACX_URL"] = url
    # Calls that must not be lost are repeated here, where an order to stop is heard.
    client = Client.from_environment(retries=1)
    # Payloads run as the same user: they must not find the pilot's token.
    os.environ.pop("DIRACX_TOKEN", None)
    prctl.hide_environment()
    return client


if __name__ == "__main__":
    main()
