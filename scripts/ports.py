"""TCP ports on loopback: whether one is free, and what to say when it is not."""

from __future__ import annotations

import socket

from scripts.reporting import Failure

HOST = "127.0.0.1"
LAST = 65_535


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def first_free(start: int, taken: tuple[int, ...] = ()) -> int:
    """The first free port from `start` on that is not among `taken`."""
    for port in range(start, LAST + 1):
        if port not in taken and is_free(port):
            return port
    raise Failure(f"no port from {start} on is free.")


def answers(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def require(port: int, command: str) -> None:
    """Refuse to go on where the web port is taken, with a port that is free."""
    if not 1024 <= port <= LAST:
        raise Failure(f"port {port} can't be used; choose one from 1024 to {LAST}.")
    if not is_free(port):
        other = first_free(port + 1)
        raise Failure(f"port {port} is in use by another program; try: {command} PORT={other}")
