"""Protection: what settings allow, whom tokens let in, and which hosts are answered."""

# ruff: noqa: S104 - addresses are read here, not bound

import pytest
from pydantic import ValidationError

from shared.http.problems import Problem
from shared.http.protection import Protection
from shared.runtime.settings import Settings

WRITE, READ = "w-0123456789abcdef", "r-0123456789abcdef"


def settings(**given: str) -> Settings:
    return Settings(_env_file=None, **given)  # type: ignore[arg-type]  # as strings, like the environment


@pytest.mark.parametrize("name", ["write_tokens", "read_tokens", "admin_tokens"])
@pytest.mark.parametrize(
    "value", [", ,", ",", " ", "short", f"{WRITE},", f"{WRITE},short", "has spaces in it, long", "é" * 20]
)
def test_a_token_that_protects_nothing_is_refused(name: str, value: str) -> None:
    """Empty and short tokens, and such as no header can carry, do not pass for protection."""
    with pytest.raises(ValidationError, match="at least 16 ASCII characters"):
        settings(**{name: value})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "laurels.example.org"])
def test_another_address_needs_tokens_or_a_word(host: str) -> None:
    """What others can reach is protected, or open because somebody said so."""
    with pytest.raises(ValidationError, match=r"LAURELS_WRITE_TOKENS.* or LAURELS_OPEN=yes"):
        settings(host=host)
    with pytest.raises(ValidationError):
        settings(host=host, open="no", admin_tokens=WRITE)
    for allowed in ({"open": "yes"}, {"write_tokens": WRITE}, {"read_tokens": READ}):
        settings(host=host, **allowed)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_this_machine_needs_nothing(host: str) -> None:
    """The default is usable without any setting."""
    assert host == settings(host=host).host


@pytest.mark.parametrize(("name", "value"), [("open", "true"), ("open", ""), ("hosts", ","), ("hosts", "http://a/")])
def test_what_opens_has_one_spelling(name: str, value: str) -> None:
    """Nobody has to guess what was understood."""
    with pytest.raises(ValidationError):
        settings(**{name: value})


def refused(protection: Protection, method: str, token: str | None) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        protection.check(method, f"Bearer {token}" if token else None)
    return caught.value.status, caught.value.detail


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_read_tokens_alone_close_commands(method: str) -> None:
    """Who protects reads does not mean to let everybody write."""
    protection = Protection(settings(read_tokens=READ))

    assert (401, 403) == (refused(protection, method, None)[0], refused(protection, method, READ)[0])
    assert "LAURELS_WRITE_TOKENS are not" in refused(protection, method, None)[1]
    assert "LAURELS_WRITE_TOKENS are not" in refused(protection, method, READ)[1]
    assert 401 == refused(protection, "GET", None)[0]
    protection.check("GET", f"Bearer {READ}")


def test_write_tokens_alone_leave_reads_open() -> None:
    """Each side is protected by itself."""
    protection = Protection(settings(write_tokens=WRITE))

    protection.check("GET", None)
    protection.check("POST", f"Bearer {WRITE}")
    assert 401 == refused(protection, "POST", None)[0]


OURS = ("localhost", "LOCALHOST:8000", "127.0.0.1:1", "127.5.5.5", "[::1]", "[::1]:8000")
STRANGE = (
    None,
    "",
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil@localhost",
    "localhost:80:80",
    "::1",
    "0.0.0.0",
    "192.0.2.1",
    "127.1",
    "localhost:" + "0" * 300,
)


def answers(protection: Protection, host: str | None) -> bool:
    try:
        protection.check_host(host)
    except Problem as problem:
        told = (problem.status, "LAURELS_HOSTS" in problem.detail)
    else:
        return True
    assert (421, True) == told
    return False


@pytest.mark.parametrize("given", [{}, {"read_tokens": READ}, {"host": "0.0.0.0", "open": "yes"}])
def test_without_write_tokens_only_this_machine_is_addressed(given: dict[str, str]) -> None:
    """A page whose name was made to mean this machine (DNS rebinding) still names itself in Host."""
    protection = Protection(settings(**given))

    assert [] == [host for host in OURS if not answers(protection, host)]
    assert [] == [host for host in STRANGE if answers(protection, host)]


def test_hosts_are_those_of_the_setting() -> None:
    """A name without a port stands for every port; case does not matter; the address that is listened on is one."""
    protection = Protection(
        settings(hosts="Laurels.example.org, other.example:81,[2001:db8::1]", host="192.0.2.1", open="yes")
    )

    for host in (
        "laurels.EXAMPLE.org",
        "laurels.example.org:443",
        "other.example:81",
        "[2001:DB8::1]:8",
        "192.0.2.1:8000",
        *OURS,
    ):
        assert answers(protection, host), host
    for other in ("other.example", "other.example:82", "a.laurels.example.org", "0.0.0.0", None):
        assert not answers(protection, other), other


def test_write_tokens_allow_any_host_unless_hosts_are_named() -> None:
    """What a page cannot do without a token needs no look at its name; a setting that is there still holds."""
    assert [] == [host for host in STRANGE if not answers(Protection(settings(write_tokens=WRITE)), host)]
    named = Protection(settings(write_tokens=WRITE, hosts="laurels.example.org"))
    assert answers(named, "laurels.example.org")
    assert not answers(named, "evil.example")
