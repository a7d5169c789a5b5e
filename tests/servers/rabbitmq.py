"""RabbitMQ with its own Erlang port mapper: two of them never meet."""

from pathlib import Path

from kombu.connection import Connection
from kombu.exceptions import OperationalError

from .ports import HOST, free_port, listens
from .process import Server
from .programs import need

# Debian's rabbitmq-server in the PATH changes to another user and writes to /var; this is what it calls.
_SCRIPT = "/usr/lib/rabbitmq/bin/rabbitmq-server"

_SETTINGS = """\
listeners.tcp.default = 127.0.0.1:{port}
default_user = diracx
default_pass = diracx-tests
log.console = true
log.console.level = info
log.file = false
disk_free_limit.absolute = 50MB
"""


class Epmd(Server):
    """Erlang's port mapper; without one of ours, RabbitMQ would leave a daemon behind."""

    programs = ("epmd",)

    def command(self) -> list[str]:
        """Start epmd on the loopback interface."""
        return [need("epmd"), "-port", str(self.port), "-address", HOST]

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        return listens(self.port)


class RabbitMQ(Server):
    """A RabbitMQ without plugins, with one user."""

    programs = (_SCRIPT,)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.epmd = Epmd(folder)
        self.parts = (self.epmd,)
        self._distribution_port = free_port()

    @property
    def url(self) -> str:
        """Address of the virtual host `/`."""
        return f"amqp://diracx:diracx-tests@{HOST}:{self.port}//"

    def environment(self) -> dict[str, str]:
        """RabbitMQ's folders, ports and node name."""
        return super().environment() | {
            "ERL_CRASH_DUMP": f"{self.folder}/crash.dump",
            "ERL_EPMD_PORT": str(self.epmd.port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": f"{self.folder}/rabbitmq.conf",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self.folder}/enabled_plugins",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{self.folder}/config",
            "RABBITMQ_LOG_BASE": f"{self.folder}/log",
            "RABBITMQ_MNESIA_BASE": f"{self.folder}/mnesia",
            "RABBITMQ_NODENAME": f"diracx{self.port}@localhost",
            "RABBITMQ_PID_FILE": f"{self.folder}/rabbitmq.pid",
            "RABBITMQ_SCHEMA_DIR": f"{self.folder}/schema",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # The script becomes the server instead of watching over it: TERM and KILL reach the server.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def prepare(self) -> None:
        """Write the settings."""
        (self.folder / "rabbitmq.conf").write_text(_SETTINGS.format(port=self.port))
        (self.folder / "enabled_plugins").write_text("[].\n")

    def command(self) -> list[str]:
        """Start the server in the foreground."""
        return [need(_SCRIPT)]

    def is_ready(self) -> bool:
        """Whether the user can log in."""
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
        except (OperationalError, OSError):
            return False
        return True
