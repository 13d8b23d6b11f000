"""What is refused before anything starts is refused in one sentence."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from hotline.runtime.problems import CannotStart
from hotline.runtime.readiness import (
    broker_answers,
    place_of,
    require_database,
    require_free_port,
    web_answers,
)

pytestmark = pytest.mark.enable_socket


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_taken_port_is_refused_with_the_way_out() -> None:
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"端口 {port} 不能使用.*PORT="):
            require_free_port("127.0.0.1", port)


def test_a_free_port_is_accepted_and_left_free() -> None:
    port = closed_port()
    require_free_port("127.0.0.1", port)
    require_free_port("127.0.0.1", port)


def test_an_unreachable_database_is_told_by_place_and_never_by_password() -> None:
    port = closed_port()
    with pytest.raises(CannotStart, match=rf"127\.0\.0\.1:{port}") as refusal:
        require_database(f"postgresql+psycopg://hotline:geheim@127.0.0.1:{port}/hotline")
    assert "geheim" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("url", ["sqlite:///hotline.db", "mysql://host/hotline", "localhost/hotline"])
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(CannotStart, match="PostgreSQL"):
        require_database(url)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{port}/0", "unix:///nowhere/broker.sock", "carrier-pigeon://roof"])
def test_a_broker_that_is_not_there_does_not_answer(url: str) -> None:
    assert broker_answers(url.format(port=closed_port())) is False


def test_a_web_application_that_is_not_there_does_not_answer() -> None:
    assert web_answers(closed_port()) is False


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql+psycopg://a:b@db.example:6432/hotline", "db.example:6432"),
        ("redis://:secret@broker/0", "broker"),
        ("postgresql+psycopg://hotline@/hotline?host=/run/x", "本机套接字"),
    ],
)
def test_the_place_of_an_address_has_no_account_and_no_password(url: str, place: str) -> None:
    assert place_of(url) == place
