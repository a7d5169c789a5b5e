"""OpenSSH's server for one user, whose key is in the folder."""

from pathlib import Path

import pytest

from diracx_tasks.core.settings import settings

from .ports import HOST, listens
from .process import Server
from .programs import need
from .slurm import user

_SETTINGS = """\
ListenAddress {host}
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
{forced}
"""


class Sshd(Server):
    """An sshd on loopback; the key `key` opens it, `known_hosts` knows it.

    A `command` is run whatever the client asks for.
    """

    programs = ("sshd", "ssh-keygen", "ssh")

    def __init__(self, folder: Path, command: str = "") -> None:
        super().__init__(folder)
        self.key, self.known_hosts = folder / "key", folder / "known_hosts"
        self._forced = f"ForceCommand {command}" if command else ""

    def prepare(self) -> None:
        """Make the keys of host and user."""
        for name in ("host_key", "key"):
            self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name)
        (self.folder / "authorized_keys").write_text((self.folder / "key.pub").read_text())
        host_key = (self.folder / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[{HOST}]:{self.port} {host_key}")
        text = _SETTINGS.format(host=HOST, port=self.port, folder=self.folder, forced=self._forced)
        (self.folder / "sshd_config").write_text(text)

    def trusted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process know the host, and have the user's key."""
        monkeypatch.setattr(settings(), "ssh_key", str(self.key))
        monkeypatch.setattr(settings(), "ssh_known_hosts", str(self.known_hosts))

    def command(self) -> list[str]:
        """Start sshd, which wants its whole path."""
        # Its folder of privilege separation is made at boot by Debian's unit.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        return [need("sshd"), "-D", "-e", "-f", f"{self.folder}/sshd_config"]

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        return listens(self.port)


def options(server: Sshd) -> dict[str, object]:
    """How a computing element reaches it."""
    return {"SSHHost": HOST, "SSHPort": server.port, "SSHUser": user()}
