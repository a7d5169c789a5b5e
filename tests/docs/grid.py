"""A system with sites, an extension, Flower, mail and its configuration in git, for the pages about them."""

import getpass
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.architecture.source import ROOT
from tests.docs.warm import warm
from tests.system import System, wait_for
from tests.unit.notices.receivers import Post

CONFIGURATION = """\
Registry:
  lhcb:
    DefaultGroup: user
    Users: {{{user}: {{PreferedUsername: {user}}}}}
    Groups:
      user: {{Properties: [NormalUser], Users: [{user}]}}
      admin: {{Properties: [NormalUser, JobAdministrator, ServiceAdministrator], Users: [{user}]}}
      lhcb_prod: {{Properties: [NormalUser, JobSharing], Users: [{user}], JobShare: 3000}}
Operations:
  lhcb:
    SiteDirector: {{FailuresInARow: 1}}
    # Nobody waits for a minute here.
    Tasks:
      pilots.plan_pilots: {{every: 3}}
      pilots.look_at_tests: {{every: 3}}
      matching.recompute_shares: {{every: 20}}
      # Nor is a core kept busy with what is of no use.
      muon.watch: {{every: 60}}
      sandboxes.clean_sandboxes: {{every: 60}}
Resources:
  Sites:
    LCG:
      LCG.CERN.ch:
        CEs:
          ce1.cern.ch:
            CEType: local
            SharedArea: {area}
            PilotInstalled: true
            PilotPython: {python}
            MaxRAM: 2000
            Queues:
              big: {{NumberOfProcessors: 8, MaxTotalJobs: 1, MaxWaitingJobs: 1}}
              long: {{MaxTotalJobs: 2, MaxWaitingJobs: 2}}
      LCG.RAL.uk:
        CEs:
          ce2.ral.uk:
            CEType: local
            SharedArea: /proc/none
            PilotInstalled: true
            Queues:
              long: {{MaxTotalJobs: 2, MaxWaitingJobs: 2}}
"""
GIT = (
    ("init", "-q", "-b", "main"),
    ("config", "user.name", "alice"),
    ("config", "user.email", "alice@example.org"),
    ("add", "default.yml"),
    ("commit", "-q", "-m", "Sites"),
)
# Who reads has more patience.
SOONER = {"--idle-seconds 300": "--idle-seconds 2"}
TABLES = "from muon.tables import create; create()"


@dataclass
class Place:
    """A running system, its VO, what shells there have in their environment, and what is called otherwise."""

    system: System
    vo: str
    programs: Path
    environment: Mapping[str, str]
    names: Mapping[str, str] = field(default_factory=dict)
    post: Post | None = None


@contextmanager
def grid(folder: Path, package: Mapping[str, str]) -> Iterator[Place]:
    """The system; of its two sites one takes pilots, on this machine."""
    area, configuration = folder / "area", folder / "configuration"
    _commit(configuration, area)
    path = os.pathsep.join([package["PYTHONPATH"], str(ROOT)])
    environment = {
        "PYTHONPATH": path,
        "DIRACX_VO": "lhcb",
        "DIRACX_CONFIG_BACKEND_URL": f"git+file://{configuration}",
    }
    try:
        with System(folder / "grid", environment, "--slots=0", with_flower=True) as system:
            kept = json.loads((system.folder / "environment.json").read_text())
            subprocess.run(
                [sys.executable, "-c", TABLES], env={**os.environ, **kept, **environment}, check=True
            )
            shown = {"PYTHONPATH": path, "CONFIGURATION": str(configuration)}
            with warm(folder, shown) as programs:
                yield Place(system, "lhcb", programs, shown, _names(system.folder))
    finally:
        end_pilots(area)


def end_pilots(area: Path) -> None:
    """End the pilots that a local computing element has started: they outlive the system."""
    running = [one for one in area.glob("*/*/process") if not one.with_name("exit").exists()]
    for one in running:
        os.killpg(int(one.read_text().split()[0]), signal.SIGTERM)
    wait_for(lambda: all(one.with_name("exit").exists() for one in running), 60, lambda: f"{running}")


def _commit(folder: Path, area: Path) -> None:
    """Make the repository of the configuration."""
    folder.mkdir()
    known = {"user": json.dumps(getpass.getuser()), "area": area, "python": sys.executable}
    (folder / "default.yml").write_text(CONFIGURATION.format(**known))
    for command in GIT:
        subprocess.run(["git", *command], cwd=folder, check=True)


def _names(folder: Path) -> dict[str, str]:
    port = json.loads((folder / "ports.json").read_text())["flower"]
    password = (folder / "keys" / "flower").read_text()
    return {"127.0.0.1:5555": f"127.0.0.1:{port}", "admin:secret": f"admin:{password}", **SOONER}
