"""The pilot, `diracx-pilot`: asks for jobs, runs them, asks again. It talks HTTP only."""

import logging
import os
import signal
import sys
import tempfile
import time
import uuid
from math import inf
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import click
import psutil

from diracx_tasks.core.errors import DiracXError
from diracx_tasks.node import batch_system
from diracx_tasks.node.attempt import discard
from diracx_tasks.node.container import AUTO, ENGINES, NONE, chosen
from diracx_tasks.node.cpu_power import cpu_power
from diracx_tasks.node.credentials import credentials
from diracx_tasks.node.filling import Bounds, Pilot
from diracx_tasks.node.gpus import cards
from diracx_tasks.node.halt import Stop
from diracx_tasks.node.lane import Lane
from diracx_tasks.node.log import Kept, Uploads
from diracx_tasks.node.offer import Slot
from diracx_tasks.node.time_left import TimeLeft

# TERM and INT from people and most batch systems; some warn with USR1 or USR2 before they kill.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)

log = logging.getLogger("diracx.pilot")


@click.command()
@click.option("--url", envvar="DIRACX_URL", help="Base URL of the API.")
@click.option("--site", envvar="DIRACX_SITE", required=True, help="Site for which jobs are asked.")
@click.option("--ce", default="", help="Computing element that has started this pilot.")
@click.option("--queue", default="", help="The computing element's queue.")
@click.option("--cores", type=click.IntRange(1), help="Cores for all jobs together [default: what it has].")
@click.option("--ram-mb", type=click.IntRange(1), help="Memory for all of them [default: the cores' share].")
@click.option("--disk-mb", default=0, help="What jobs may write; 0: what is free.")
@click.option("--wall-seconds", default=0, help="How long the pilot may run; 0: as the batch system says.")
@click.option("--cpu-seconds", default=0, help="CPU time of each core for the pilot; 0: no limit.")
@click.option("--job-wall-seconds", default=0, help="How long a job may run; 0: no limit.")
@click.option("--margin", type=float, help="Seconds at the end without new jobs [default: 5 %, at most 300].")
@click.option("--cpu-power", type=float, help="DB12 of a core, 0: not known [default: measured if needed].")
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
@click.option(
    "--log-seconds", default=300.0, show_default=True, help="How often to upload its log; 0: never."
)
@click.option("--grace", default=10.0, show_default=True, help="Seconds for the running jobs after SIGTERM.")
def main(*, url: str | None, work_dir: Path | None, **stated: Any) -> None:
    """Run jobs of a DiracX server on this machine, as many at once as it has room for.

    DIRACX_PILOT_STAMP is its name, which DIRACX_PILOT_SECRET or DIRACX_TOKEN proves. What the batch system
    grants is found out; of options about the same, the smaller number counts, but for cores.
    """
    kept = _log()
    stop, woken = Stop(stated["grace"]), SimpleQueue[Lane | None]()
    _listen(stop, woken)
    if work_dir:
        work_dir.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="pilot-", dir=work_dir)).resolve()
    try:
        client, time_left = credentials(url, stop=stop), _time_left(stated)
        slot = _slot(work, stated, time_left)
        with Uploads(client, slot.stamp, kept, stated["log_seconds"]) as uploads:
            pilot = Pilot(client, slot, stop, time_left, woken)
            sys.exit(_run(pilot, slot, Bounds(stated["max_jobs"], stated["idle_seconds"]), uploads))
    except DiracXError as error:
        log.error("%s", error)
        sys.exit(error.exit_code)
    finally:
        discard(work)


def _run(pilot: Pilot, slot: Slot, bounds: Bounds, uploads: Uploads) -> int:
    """Run jobs, tell how it ended; the exit code."""
    code = 1
    try:
        reason = pilot.run(bounds)
        code = int(pilot.tally.is_hopeless)
    except DiracXError as error:
        reason, code = str(error), error.exit_code
    except Exception as error:
        log.exception("the pilot failed")
        reason = f"the pilot failed: {error}"
    words = f"{reason}; {pilot.account()}"
    log.log(logging.ERROR if code else logging.INFO, "the pilot ends: %s", words)
    facts = {"BenchMark": slot.cpu_power} if slot.cpu_power else {}
    uploads.last_words(has_failed=bool(code), reason=words, **facts)
    return code


def _log() -> Kept:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    # What fails is told by who has asked; connections beyond the pool's are no news.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    kept = Kept(os.environ.get("DIRACX_TOKEN", ""), os.environ.get("DIRACX_PILOT_SECRET", ""))
    logging.getLogger().addHandler(kept)
    return kept


def _listen(stop: Stop, woken: "SimpleQueue[Lane | None]") -> None:
    def ask(*_: object) -> None:
        stop.request()
        # Unlike locks it may be used here, whatever this thread is doing.
        woken.put(None)

    for number in STOPPING:
        signal.signal(number, ask)


def _time_left(stated: dict[str, Any]) -> TimeLeft:
    cores = stated["cores"] = _cores(stated["cores"])
    # The script that became this process fetches the file first, while the server is away for minutes.
    ran = max(0.0, time.time() - psutil.Process().create_time())
    wall = min((stated["wall_seconds"] or inf) - ran, batch_system.wall_seconds())
    cpu = min(stated["cpu_seconds"] or inf, batch_system.cpu_seconds() / cores)
    return TimeLeft(wall, cpu, cores, stated["margin"])


def _cores(stated: int | None) -> int:
    found = batch_system.cores()
    if stated and stated > found:
        log.warning("%d cores are stated, the pilot has %d", stated, found)
    return stated or found


def _slot(work: Path, stated: dict[str, Any], time_left: TimeLeft) -> Slot:
    cores, power = stated["cores"], stated["cpu_power"]
    if power is None:
        # Only a pilot with little time has to know how much its node does in it.
        power = cpu_power() if time_left.seconds < inf else 0.0
    most = batch_system.ram_mb()
    share = int(most * min(1.0, cores / batch_system.cores()))
    slot = Slot(
        os.environ.get("DIRACX_PILOT_STAMP") or uuid.uuid4().hex,
        stated["site"],
        stated["ce"],
        cores,
        min(stated["ram_mb"] or share, most),
        stated["tags"],
        work,
        _engine(stated["containers"]),
        disk_mb=stated["disk_mb"],
        wall_seconds=stated["job_wall_seconds"],
        queue=stated["queue"],
        required_tags=stated["required_tags"],
        cards=cards(),
        cpu_power=power,
    )
    if not slot.offer(slot.room().left()):
        raise click.UsageError(f"--required-tag: the pilot does not offer {', '.join(slot.required_tags)}")
    left = "no limit of time" if time_left.shorter == inf else f"{time_left.seconds:.0f} s left"
    words = "%d cores (DB12 %g), %d MB of memory, %d GPUs, %s"
    log.info(words, cores, power, slot.ram_mb, len(slot.cards), left)
    return slot


def _engine(wanted: str) -> str:
    engine = chosen(wanted)
    if not engine and wanted not in (AUTO, NONE):
        log.error("%s does not work here: jobs that need a container will not be asked for", wanted)
    return engine


if __name__ == "__main__":
    main()
