"""The Accept header: the most specific range decides (RFC 9110, 12.5.1)."""

import pytest

from shared.http.negotiation import JSON, NDJSON, accepts, check_accept
from shared.http.problems import Problem


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("application/json", True),
        ("APPLICATION/JSON", True),
        ("application/*", True),
        ("*/*", True),
        ("text/html, */*;q=0.1", True),
        ("text/html", False),
        ("application/json;q=0", False),
        ("application/json;q=0, */*", False),
        ("application/*;q=0, */*", False),
        ("application/*;q=0, application/json", True),
        ("application/json ; q=0.001", True),
        ("application/json;q=high", False),
        ("application/jsonx", False),
    ],
)
def test_the_most_specific_range_decides(header: str, *, expected: bool) -> None:
    """A range with a quality of zero refuses, whatever a less specific one allows."""
    assert expected == accepts(header, JSON)


@pytest.mark.parametrize("header", ["", " ", "*/*", "application/json", "application/x-ndjson, text/html"])
def test_one_offered_type_is_enough(header: str) -> None:
    """An empty header allows everything, and any of the offered types will do."""
    check_accept(header, (JSON, NDJSON))


def test_what_is_not_offered_is_406() -> None:
    """The problem names what is offered."""
    with pytest.raises(Problem) as refused:
        check_accept("text/html", (JSON, NDJSON))
    assert 406 == refused.value.status
    assert JSON in refused.value.detail
    assert NDJSON in refused.value.detail
