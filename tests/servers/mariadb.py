"""MariaDB, as durable as in production: a committed row survives kill -9."""

import os

import pymysql

from .ports import HOST
from .process import Server
from .programs import need

# The socket's path is relative to the data folder: a path of more than 107 characters is refused.
_SETTINGS = """\
[mariadbd]
datadir = {folder}/data
socket = mariadb.sock
pid_file = mariadb.pid
tmpdir = {folder}/tmp
bind_address = 127.0.0.1
port = {port}
skip_name_resolve = 1
character_set_server = utf8mb4
max_connections = 300
performance_schema = off
innodb_flush_log_at_trx_commit = 1
innodb_buffer_pool_size = 128M
innodb_log_file_size = 64M
init_file = {folder}/user.sql
"""

_USER = """\
CREATE DATABASE IF NOT EXISTS {user};
CREATE USER IF NOT EXISTS '{user}'@'127.0.0.1' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON *.* TO '{user}'@'127.0.0.1' WITH GRANT OPTION;
"""


class MariaDB(Server):
    """A MariaDB with the database `diracx` and a user of that name who may also create others."""

    programs = ("mariadbd", "mariadb-install-db")
    user = "diracx"
    password = "diracx-tests"

    @property
    def url(self) -> str:
        """SQLAlchemy's address of the database `diracx`."""
        return self.url_of(self.user)

    def url_of(self, database: str) -> str:
        """SQLAlchemy's address of a database, which need not exist yet."""
        return f"mysql+pymysql://{self.user}:{self.password}@{HOST}:{self.port}/{database}?charset=utf8mb4"

    def prepare(self) -> None:
        """Fill the data folder with the system tables."""
        (self.folder / "tmp").mkdir()
        (self.folder / "user.sql").write_text(_USER.format(user=self.user, password=self.password))
        settings = _SETTINGS.format(folder=self.folder, port=self.port)
        # mariadbd refuses to run as root unless told to; others may not name a user.
        (self.folder / "my.cnf").write_text(settings + ("user = root\n" if os.geteuid() == 0 else ""))
        self.run("mariadb-install-db", f"--defaults-file={self.folder}/my.cnf", "--skip-test-db")

    def command(self) -> list[str]:
        """Start mariadbd with its own settings file only."""
        return [need("mariadbd"), f"--defaults-file={self.folder}/my.cnf"]

    def is_ready(self) -> bool:
        """Whether the user can log in."""
        try:
            pymysql.connect(
                host=HOST, port=self.port, user=self.user, password=self.password, connect_timeout=2
            ).close()
        except pymysql.Error:
            return False
        return True
