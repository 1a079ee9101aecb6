"""What a client accepts: media types and languages, by their weights."""

import pytest

from shared.http.negotiation import JSON, NDJSON, accepted_languages, accepts, check_accept
from shared.http.problems import Problem


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("application/json", True),
        ("APPLICATION/JSON", True),
        ("application/json; charset=utf-8", True),
        ("application/*", True),
        ("*/*", True),
        ("text/html, */*;q=0.1", True),
        ("text/html", False),
        ("application/xml, text/*", False),
        ("application/json;q=0", False),
        ("application/json; q=0.000", False),
        ("application/json;Q=0", False),
        ("application/json;q=soon", False),
        ("application/json;q=nan", False),
        ("", False),
    ],
)
def test_a_range_with_a_weight_accepts(header: str, accepted: bool) -> None:  # noqa: FBT001 - the expectation
    """A media type is accepted by its own range, that of its family or that of all, unless the weight is 0."""
    assert accepted is accepts(header, JSON)


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("application/json;q=0, application/*", False),
        ("application/*;q=0, application/json", True),
        ("*/*, application/*;q=0", False),
        ("*/*;q=0, application/*", True),
    ],
)
def test_the_most_specific_range_decides(header: str, accepted: bool) -> None:  # noqa: FBT001 - the expectation
    """A type goes before its family, and that before all, whatever the order in the header."""
    assert accepted is accepts(header, JSON)


def test_what_is_not_accepted_is_406() -> None:
    """One of the media types that are offered suffices, and an empty header asks for nothing."""
    check_accept(NDJSON, (JSON, NDJSON))
    check_accept("  ", (JSON,))
    with pytest.raises(Problem) as caught:
        check_accept(NDJSON, (JSON,))
    assert 406 == caught.value.status


@pytest.mark.parametrize(
    ("header", "languages"),
    [
        ("", []),
        ("ru", ["ru", "ru"]),
        ("ru-RU, en;q=0.5", ["ru-ru", "ru", "en", "en"]),
        ("en;q=0.5, ru;q=0.9", ["ru", "ru", "en", "en"]),
        ("en, ru", ["en", "en", "ru", "ru"]),
        ("*, en;q=0, ru;q=0.1", ["ru", "ru"]),
    ],
)
def test_languages_come_best_first(header: str, languages: list[str]) -> None:
    """Languages go by weight, then by place; one with a region asks for the language itself too."""
    assert languages == accepted_languages(header)


def test_few_languages_are_looked_at() -> None:
    """A header of any length becomes a short list."""
    assert 50 == len(accepted_languages(",".join(f"x{number}" for number in range(1000))))
