"""A port in use is told in one line, with one that is free."""

from __future__ import annotations

import re
import socket

import pytest

from scripts import ports
from scripts.reporting import Failure


def test_a_port_in_use_is_refused_with_a_free_one() -> None:
    with socket.create_server((ports.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert ports.answers(port)
        with pytest.raises(Failure) as refused:
            ports.require(port, "make demo")

    said = re.fullmatch(
        rf"port {port} is in use by another program; try: make demo PORT=(\d+)", str(refused.value)
    )
    assert said
    assert int(said[1]) != port
    assert ports.is_free(int(said[1]))


def test_a_free_port_is_accepted_and_nobody_answers_there() -> None:
    port = ports.first_free(20_000)

    ports.require(port, "make run")
    assert not ports.answers(port)


@pytest.mark.parametrize("port", [0, 80, 65_536])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(Failure, match="choose one from 1024 to 65535"):
        ports.require(port, "make run")
