"""Redis with an append-only file: what was answered survives kill -9."""

from contextlib import closing

import redis

from .ports import HOST
from .process import Server
from .programs import need


class Redis(Server):
    """A Redis that refuses writes instead of forgetting keys, as a broker must."""

    programs = ("redis-server",)

    @property
    def url(self) -> str:
        """Address of database 0."""
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> list[str]:
        """Start redis-server without any settings file."""
        return [
            need("redis-server"),
            *("--bind", HOST, "--port", str(self.port), "--dir", str(self.folder)),
            *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--maxmemory-policy", "noeviction"),
        ]

    def is_ready(self) -> bool:
        """Whether it answers, its file loaded."""
        try:
            with closing(redis.Redis.from_url(self.url)) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def flush(self) -> None:
        """Forget every key of every database."""
        with closing(redis.Redis.from_url(self.url)) as client:
            client.flushall()
