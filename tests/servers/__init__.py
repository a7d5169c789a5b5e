"""Real servers for the tests: each one on loopback, in its own folder, free to be killed."""

from .condor import Condor
from .mariadb import MariaDB
from .ports import free_port
from .process import NotReady, Server
from .programs import Missing, need
from .rabbitmq import RabbitMQ
from .redis import Redis
from .rgw import Rgw
from .slurm import Slurm
from .sshd import Sshd

__all__ = [
    "Condor",
    "MariaDB",
    "Missing",
    "NotReady",
    "RabbitMQ",
    "Redis",
    "Rgw",
    "Server",
    "Slurm",
    "Sshd",
    "free_port",
    "need",
]
