"""A corpus of raw requests: every one is served, refused with problem details, or closed on; none is a 5xx."""

import pytest

from tests.hostile.corpus import HEALTH, MALFORMED, SERVED, TOO_LARGE, post
from tests.hostile.raw import Reply, connect, say, send, wait_for_end
from tests.support.deployments import Laurels


def ports(laurels: Laurels) -> list[int]:
    """Return where the servers themselves listen, past any gateway."""
    names = {"postgres": ["up"], "kafka": ["command_api", "query_api"]}[laurels.transport]
    return [laurels.services[name][0].port for name in names]


def assert_serves(port: int) -> None:
    assert 200 == say(port, HEALTH).status


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_problems(laurels: Laurels, name: str) -> None:
    """What cannot be read, or could be read in two ways, is 400 in problem details, without an echo."""
    for port in ports(laurels):
        with connect(port) as connection:
            send(connection, [MALFORMED[name]])
            reply = wait_for_end(connection) if _ends(name) else say(port, MALFORMED[name])

        # A method that the other API of a split deployment would answer is refused before its body is looked at.
        reply.assert_problem(400, 405) if name in _READ_BY_APPLICATION else reply.assert_problem(400)
        assert_serves(port)


_READ_BY_APPLICATION = {"a Content-Length of 4,301 zeros"}
_KEPT = {"a target that is not UTF-8 when decoded", "an encoded NUL", *_READ_BY_APPLICATION}


def _ends(name: str) -> bool:
    """Tell whether the connection has to end, because nobody knows where the next request begins."""
    return name not in _KEPT


@pytest.mark.parametrize("name", TOO_LARGE)
def test_heads_and_framing_are_limited(laurels: Laurels, name: str) -> None:
    """What is no content is bounded too, and refused as soon as it is over its limit."""
    status, raw = TOO_LARGE[name]
    for port in ports(laurels):
        reply = say(port, raw)

        # An application may have refused the request before its body came.
        reply.assert_problem(status, *([405] if status == 400 else []))
        assert_serves(port)


@pytest.mark.parametrize("name", SERVED)
def test_unusual_requests_are_served(laurels: Laurels, name: str) -> None:
    """What HTTP allows is no attack."""
    status, raw = SERVED[name]
    for port in ports(laurels):
        assert status == say(port, raw).status


def test_another_protocol_ends_the_connection(laurels: Laurels) -> None:
    """After an offer of another protocol nothing more is read, so that nothing is smuggled behind it."""
    (port, *_) = ports(laurels)
    with connect(port) as connection:
        send(connection, [SERVED["another protocol offered"][1]])
        reply = wait_for_end(connection)

    assert (200, True) == (reply.status, reply.closed)
    assert "close" == reply.header("connection")


def test_an_unwelcome_body_that_waits_for_a_word_ends_the_connection(laurels: Laurels) -> None:
    """Whether the client sends it all the same, nobody could know; so what follows is never taken for a request."""
    port = ports(laurels)[0]
    with connect(port) as connection:
        send(connection, [post(b"Content-Length: 2000000", b"Expect: 100-continue")])
        reply: Reply = wait_for_end(connection)

    reply.assert_problem(413)
    assert reply.closed
