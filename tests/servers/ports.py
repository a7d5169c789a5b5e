"""Ports of the loopback interface."""

import random
import socket

HOST = "127.0.0.1"

# Below the ports of outgoing connections: a client that keeps calling a killed server on one of those
# ends up connected to itself, and the server cannot have its port back.
_RANGE = range(20_000, 32_000)


def free_port() -> int:
    """A port on which nothing listens now."""
    for port in random.SystemRandom().sample(_RANGE, 100):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise OSError(f"none of 100 ports between {_RANGE.start} and {_RANGE.stop} is free")


def listens(port: int) -> bool:
    """Whether something accepts connections on a port."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
