"""A personal HTCondor: one host submits and runs, as a user who is not root.

Where this release of Debian has no package of it, tests/install-servers lays that of a later one apart.
"""

import os
import pwd
from pathlib import Path
from shlex import join

from .ports import HOST
from .process import NotReady, Server
from .programs import PATH, need

LAID = Path("/opt/diracx-tests/condor/usr")
USER = "nobody"
_SETTINGS = """\
RELEASE_DIR = {release}
LOCAL_DIR = {folder}
LOCAL_CONFIG_FILE =
LOCAL_CONFIG_DIR =
BIN = {release}/bin
SBIN = {release}/sbin
LIB = {release}/lib/condor
LIBEXEC = {release}/libexec/condor
SHARE = {release}/share/condor
RUN = {folder}
LOG = {folder}
LOCK = {folder}
SPOOL = {folder}/spool
EXECUTE = {folder}/execute
ETC = {folder}
SEC_PASSWORD_DIRECTORY = {folder}
SEC_TOKEN_SYSTEM_DIRECTORY = {folder}
CONDOR_HOST = {address}
COLLECTOR_HOST = {address}:{port}
USE_SHARED_PORT = False
NETWORK_INTERFACE = {address}
BIND_ALL_INTERFACES = False
ENABLE_IPV6 = False
UID_DOMAIN = tests
FILESYSTEM_DOMAIN = tests
TRUST_UID_DOMAIN = True
DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD STARTD
SEC_DEFAULT_AUTHENTICATION = OPTIONAL
SEC_DEFAULT_AUTHENTICATION_METHODS = FS
ALLOW_READ = *
ALLOW_WRITE = *
ALLOW_ADMINISTRATOR = *
ALLOW_DAEMON = *
ALLOW_NEGOTIATOR = *
DISCARD_SESSION_KEYRING_ON_STARTUP = False
USE_PROCD = False
RUNBENCHMARKS = False
NUM_CPUS = 16
MEMORY = 16000
NUM_SLOTS_TYPE_1 = 1
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = True
START = True
NEGOTIATOR_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
SCHEDD_INTERVAL = 1
SCHEDD_MIN_INTERVAL = 1
UPDATE_INTERVAL = 2
SHUTDOWN_GRACEFUL_TIMEOUT = 5
PERIODIC_EXPR_INTERVAL = 1
"""


class Condor(Server):
    """A pool of one host, of the user `nobody` when root starts it: HTCondor runs no jobs of root."""

    programs = ("setpriv",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.release = release()
        self.user = USER if os.geteuid() == 0 else pwd.getpwuid(os.getuid()).pw_name

    def prepare(self) -> None:
        """Write the settings, and make the user's folders."""
        text = _SETTINGS.format(release=self.release, folder=self.folder, address=HOST, port=self.port)
        (self.folder / "condor_config").write_text(text)
        for name in ("spool", "execute", "home"):
            (self.folder / name).mkdir(exist_ok=True)
        if os.geteuid() == 0:
            entry = pwd.getpwnam(self.user)
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, entry.pw_uid, entry.pw_gid)

    def command(self) -> list[str]:
        """Start condor_master, which starts the others."""
        return [*self.become, str(self.release / "sbin/condor_master"), "-f"]

    @property
    def become(self) -> list[str]:
        """What makes a command one of the user."""
        if os.geteuid() != 0:
            return []
        entry = pwd.getpwnam(self.user)
        return [need("setpriv"), f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]

    def environment(self) -> dict[str, str]:
        """Where the settings and the commands are."""
        own = {"CONDOR_CONFIG": f"{self.folder}/condor_config", "PATH": f"{self.release}/bin:{PATH}"}
        return super().environment() | own | {"HOME": f"{self.folder}/home"}

    @property
    def shell(self) -> str:
        """The command of a shell of that user that knows the pool."""
        known = {name: value for name, value in self.environment().items() if name != "LC_ALL"}
        return join([*self.become, "env", "-i", *(f"{name}={value}" for name, value in known.items()), "sh"])

    def is_ready(self) -> bool:
        """Whether the node is in the pool, and jobs may be submitted."""
        try:
            found = self.run(*self.become, "env", "condor_status", "-af", "Name")
            self.run(*self.become, "env", "condor_q", "-af", "ClusterId")
        except NotReady:
            return False
        return bool(found.strip())


def release() -> Path:
    """The folder that has HTCondor's bin and sbin; skips the test, or fails it, when there is none."""
    if (LAID / "sbin/condor_master").exists():
        return LAID
    return Path(need("condor_master")).parents[1]
