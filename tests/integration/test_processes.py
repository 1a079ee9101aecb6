"""The ports that the other tests rely on."""

import errno
import socket

import pytest

from shared.http.server import bind
from shared.runtime.settings import Settings
from tests.support.processes import free_port


def test_nobody_else_is_given_a_port_by_chance() -> None:
    """A server that has not begun to listen yet keeps the port that was meant for it."""
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use") as refused:
        other.bind(("127.0.0.1", port))
    assert errno.EADDRINUSE == refused.value.errno


def test_a_server_may_listen_where_it_was_told() -> None:
    """The port that is kept free for a server is not in its way."""
    port = free_port()
    with bind(Settings(host="127.0.0.1", port=port)) as listener:
        assert port == listener.getsockname()[1]
