"""Slurm on one node with two partitions, as root, without systemd and control groups."""

import os
import pwd
import socket
from pathlib import Path

from .mariadb import MariaDB
from .ports import HOST, listens
from .process import NotReady, Server
from .programs import need

# The real numbers of cores and megabytes are not asked for: config_overrides.
_SETTINGS = """\
ClusterName={cluster}
SlurmctldHost={host}({address})
SlurmctldPort={port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
DefMemPerCPU=100
MaxJobCount=20000
MessageTimeout=2
EnforcePartLimits=ALL
KillWait=1
MinJobAge=300
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
NodeName=node1 NodeHostname={host} NodeAddr={address} CPUs={cores} RealMemory=64000 State=UNKNOWN
PartitionName=short Nodes=node1 Default=YES DefaultTime=10 MaxTime=60 MaxCPUsPerNode={short} State=UP
PartitionName=long Nodes=node1 MaxTime=1440 MaxNodes=1 State=UP
{accounting}
"""
_WITH_ACCOUNTS = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={address}
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
AccountingStoreFlags=job_comment
"""
_DATABASE = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr={address}
DbdPort={port}
SlurmUser={user}
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost={address}
StoragePort={storage_port}
StorageUser={storage_user}
StoragePass={storage_password}
StorageLoc=slurm_accounts
"""


class Munge(Server):
    """Tells Slurm's programs who they talk to."""

    programs = ("munged",)

    def prepare(self) -> None:
        """Make its secret key."""
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)

    def command(self) -> list[str]:
        """Start munged with all its files in the folder."""
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "seed-file": "seed"}
        options = (f"--{name}={self.folder}/munge.{file}" for name, file in files.items())
        # Forced: pytest's folders are for us only, and munged wants others to reach its socket.
        return [need("munged"), "--foreground", "--force", *options, f"--log-file={self.folder}/munged.log"]

    def is_ready(self) -> bool:
        """Whether it makes credentials."""
        return (self.folder / "munge.socket").exists() and bool(
            self.run("munge", f"--socket={self.folder}/munge.socket", "--no-input")
        )


class Accounts(Server):
    """slurmdbd, which keeps jobs in MariaDB."""

    programs = ("slurmdbd",)

    def __init__(self, folder: Path, database: MariaDB) -> None:
        super().__init__(folder)
        self._database = database

    def prepare(self) -> None:
        """Write its settings, which must be its own: they hold a password."""
        where = {"address": HOST, "folder": self.folder, "port": self.port, "user": user()}
        storage = {
            "storage_port": self._database.port,
            "storage_user": self._database.user,
            "storage_password": self._database.password,
        }
        settings = self.folder / "slurmdbd.conf"
        settings.write_text(_DATABASE.format(**where, **storage))
        settings.chmod(0o600)

    def environment(self) -> dict[str, str]:
        """Where the settings are; slurmdbd looks for its own beside them."""
        return super().environment() | {"SLURM_CONF": f"{self.folder}/slurm.conf"}

    def command(self) -> list[str]:
        """Start slurmdbd."""
        return [need("slurmdbd"), "-D"]

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        return listens(self.port)


class Node(Server):
    """slurmd, which runs the jobs."""

    programs = ("slurmd",)

    def command(self) -> list[str]:
        """Start slurmd."""
        return [need("slurmd"), "-D", "-f", f"{self.folder}/slurm.conf"]

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        return listens(self.port)


class Slurm(Server):
    """A controller with a node of 16 cores; `kill` ends the controller only, jobs go on.

    With a MariaDB it has accounting, which `sacct` asks. Of the cores `short` may use so many.
    """

    programs = ("slurmctld", "sbatch", "squeue", "sacct", "scancel")
    cores = 16

    def __init__(self, folder: Path, database: MariaDB | None = None, short: int = cores) -> None:
        super().__init__(folder)
        self.short = short
        self.node = Node(folder)
        self.accounts = None if database is None else Accounts(folder, database)
        self._database = database
        between = () if self.accounts is None else (self.accounts,)
        self.parts = (Munge(folder), *between, self.node)

    @property
    def settings(self) -> Path:
        """What SLURM_CONF of clients must be."""
        return self.folder / "slurm.conf"

    def start(self) -> None:
        """Start the parts and the controller; the settings must be there before them."""
        if not self.settings.exists():
            self._write_settings()
        super().start()

    def prepare(self) -> None:
        """Make the cluster known to its accounts."""
        (self.folder / "state").mkdir(exist_ok=True)
        if self.accounts is not None:
            self.client("sacctmgr", "--immediate", "add", "cluster", self.cluster)

    @property
    def cluster(self) -> str:
        """Its name, one for each folder: accounts of several may be in one database."""
        return f"tests{self.port}"

    def command(self) -> list[str]:
        """Start slurmctld."""
        return [need("slurmctld"), "-D", "-f", str(self.settings)]

    def is_ready(self) -> bool:
        """Whether the node runs jobs, or would."""
        if not listens(self.port):
            return False
        try:
            states = self.client("sinfo", "--noheader", "--format=%T").split()
        except NotReady:
            return False
        return bool(states) and states[0] in {"idle", "mixed", "allocated"}

    def environment(self) -> dict[str, str]:
        """Where the settings are."""
        return super().environment() | {"SLURM_CONF": str(self.settings)}

    def client(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        return self.run(*command)

    def forget_jobs(self) -> None:
        """Start the controller again without any memory of its jobs, as it loses them after a while."""
        last = int(self.client("scontrol", "show", "config").partition("NEXT_JOB_ID")[2].split()[1])
        self.kill()
        with self.settings.open("a") as settings:
            settings.write(f"FirstJobId={last}\n")
        for file in (self.folder / "state").glob("job_state*"):
            file.unlink()
        self.start()

    def _write_settings(self) -> None:
        accounts = self.accounts
        accounting = (
            ""
            if accounts is None
            else _WITH_ACCOUNTS.format(address=HOST, port=accounts.port, folder=self.folder)
        )
        text = _SETTINGS.format(
            cluster=self.cluster,
            host=socket.gethostname().partition(".")[0],
            address=HOST,
            port=self.port,
            node_port=self.node.port,
            user=user(),
            folder=self.folder,
            cores=self.cores,
            short=self.short,
            accounting=accounting,
        )
        self.settings.write_text(text)


def user() -> str:
    """Who runs all of it."""
    return pwd.getpwuid(os.getuid()).pw_name
