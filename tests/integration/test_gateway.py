"""The gateway's own answers, and what it passes on: haproxy.cfg as it is shipped, in front of a real instance."""

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.contract.helpers import API, assert_problem
from tests.support.deployments import embedded
from tests.support.gateway import SERVICES, haproxy_or_skip, launch
from tests.support.processes import Service, free_port

LINES = 5_000
ADMIN = "/admin/rebuilds"
TOKEN = "operators-only-0123456789"  # noqa: S105 - the test's own
HOST = b"Host: localhost\r\n"
SECONDS = 20.0


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run an instance that serves all that the gateway passes on."""
    haproxy_or_skip()
    with embedded(tmp_path_factory.mktemp("instance"), {"LAURELS_ADMIN_TOKENS": TOKEN}) as laurels:
        yield laurels.services["up"][0]


@pytest.fixture(scope="module")
def gateway(instance: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the gateway in front of it."""
    yield from _served(tmp_path_factory.mktemp("gateway"), dict.fromkeys(SERVICES, instance.port))


@pytest.fixture
def gateway_alone(tmp_path: Path) -> Iterator[str]:
    """Run the gateway in front of nothing."""
    yield from _served(tmp_path, {name: free_port() for name in SERVICES})


def _served(folder: Path, ports: Mapping[str, int]) -> Iterator[str]:
    service = launch(folder, ports)
    try:
        deadline = time.monotonic() + SECONDS
        while socket.socket().connect_ex(("127.0.0.1", service.port)):
            assert service.process.poll() is None, service.tail()
            assert time.monotonic() < deadline, service.tail()
        yield service.url
    finally:
        service.stop()


def answered(url: str, *parts: bytes) -> httpx.Response:
    """Send these very bytes, each part after the one before, and read the answer to its end."""
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=SECONDS) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.05)  # a part of its own on the way, so that the head is read before the rest comes
        connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    code = int(status.split()[1])
    return httpx.Response(code, headers=headers, content=body, request=httpx.Request("GET", url))


def test_a_stream_is_answered_while_it_is_sent(gateway: str, tmp_path: Path) -> None:
    """Request and answer flow at the same time, however many lines there are."""
    (tmp_path / "lines").write_text('{"type":"revoke-award","award_id":9007199254740991}\n' * LINES)
    command = ["curl", "-sS", "--max-time", "60", "-X", "POST", "-T", str(tmp_path / "lines")]

    done = subprocess.run(
        [*command, "-H", "Content-Type: application/x-ndjson", f"{gateway}{API}/commands"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert LINES == sum('"status":404' in line for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("status", "parts"),
    [
        (400, [b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n"]),
        (405, [b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n"]),
        (405, [b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"]),
        (405, [b"BREW /ready HTTP/1.1\r\n" + HOST + b"\r\n"]),
        (431, [b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"]),
        (431, [b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"]),
        (431, [b"GET /ready HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 100_000 + b"\r\n\r\n"]),
        (
            400,
            [
                b"POST " + API.encode() + b"/users/ HTTP/1.1\r\n" + HOST,
                b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"zz\r\n{}\r\n",
            ],
        ),
    ],
    ids=lambda value: value if isinstance(value, int) else repr(value[0][:12]),
)
def test_what_the_gateway_refuses_is_a_problem(gateway: str, status: int, parts: list[bytes]) -> None:
    """Malformed and oversized requests are refused in the common error format."""
    assert_problem(answered(gateway, *parts), status)


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/%6detrics", "/metrics?x=1"])
def test_metrics_are_not_passed_on(gateway: str, path: str) -> None:
    """However it is spelt, /metrics is nothing to the outside."""
    assert_problem(httpx.get(gateway + path), 404, "not-found")


def test_reads_commands_and_operators_are_passed_on(gateway: str) -> None:
    """Each is answered by its service, HEAD like GET; operators need their token."""
    assert 200 == httpx.get(f"{gateway}/ready", timeout=SECONDS).status_code
    assert b"" == httpx.head(f"{gateway}/ready", timeout=SECONDS).content
    user = {"username": "ada", "user_language": "en"}
    assert 201 == httpx.post(f"{gateway}{API}/users/", json=user, timeout=SECONDS).status_code
    assert_problem(httpx.get(gateway + ADMIN, timeout=SECONDS), 401)
    token = {"Authorization": f"Bearer {TOKEN}"}
    assert 200 == httpx.get(gateway + ADMIN, headers=token, timeout=SECONDS).status_code


def test_a_name_of_the_network_is_passed_on_as_this_machine(gateway: str) -> None:
    """The operators' tools say gateway:8000, which no LAURELS_HOSTS has to name; every other Host stays as it is."""
    path = f"{gateway}{API}/users/"
    assert 200 == httpx.get(path, headers={"Host": "gateway:8000"}, timeout=SECONDS).status_code
    assert_problem(httpx.get(path, headers={"Host": "elsewhere:8000"}, timeout=SECONDS), 421)


def test_without_services_the_gateway_says_when_to_try_again(gateway_alone: str) -> None:
    """A read is 503 with Retry-After within seconds; a command is told, too, what makes another try safe."""
    read = httpx.get(f"{gateway_alone}{API}/users/", timeout=SECONDS)
    command = httpx.post(f"{gateway_alone}{API}/users/", json={}, timeout=SECONDS)

    assert "Idempotency-Key" not in assert_problem(read, 503, "unavailable")["detail"]
    assert "Idempotency-Key" in assert_problem(command, 503, "unavailable")["detail"]
    assert ["1", "1"] == [read.headers["Retry-After"], command.headers["Retry-After"]]
