"""JSON as the contract wants it: what is left open elsewhere is refused, and never echoed."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from shared.http import strict_json
from shared.http.problems import Problem
from shared.http.strict_json import elements, parse, validate

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


def refusal(work: Callable[[], object]) -> Problem | None:
    """Return the problem that the work raises, None if it raises nothing."""
    try:
        work()
    except Problem as problem:
        return problem
    return None


def problem_of(raw: bytes) -> Problem:
    problem = refusal(lambda: parse(raw))
    assert problem is not None
    return problem


@given(VALUES, st.booleans())
def test_json_is_read(value: object, ascii_only: bool) -> None:  # noqa: FBT001 - drawn
    """Whatever is well-formed comes out as it was written, escaped or not."""
    assert value == parse(json.dumps(value, ensure_ascii=ascii_only).encode())


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """No input raises anything but a 400."""
    problem = refusal(lambda: parse(raw))
    assert problem is None or problem.status == 400


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{'a':1}",
        b'{"a":1,}',
        b"01",
        b'"a\nb"',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1} x',
        b"\xff",
        b'"\xed\xa0\x80"',
        b"NaN",
        b"-Infinity",
        b"[1e999]",
        b"-1e999",
        b"9" * 5_000,
        b"[" * 100_000,
        b'{"a":1,"a":1}',
        b'[{"b":{"a":1,"\\u0061":2}}]',
        b'"\\u0000"',
        b'{"\\u0000":1}',
        b'["\\ud800"]',
        b'{"a":[{"b":"\\udc00\\ud800"}]}',
    ],
)
def test_what_json_leaves_open_is_refused(raw: bytes) -> None:
    """Malformed JSON, NaN, overflow, duplicate names, NUL and lone surrogates are all 400."""
    problem = problem_of(raw)
    assert (400, "invalid-input") == (problem.status, problem.code)
    assert [""] == [error.pointer for error in problem.errors]


@pytest.mark.parametrize(("raw", "value"), [(b"1.0", 1), (b"-2e2", -200), (b"9007199254740991.0", 2**53 - 1)])
def test_a_number_without_a_fraction_is_an_integer(raw: bytes, value: int) -> None:
    """How it is written does not matter, as long as a double holds it exactly."""
    assert isinstance(parse(raw), int)
    assert value == parse(raw)
    assert isinstance(parse(b"1.5"), float)
    assert isinstance(parse(b"9007199254740992.0"), float)


def listed(raw: bytes, longest: int = 1_000_000) -> list[Any]:
    return [value for piece in elements(raw, longest) for value in piece]


@given(st.lists(VALUES, max_size=6), st.booleans(), st.sampled_from([None, 1]))
def test_an_array_is_read_piece_by_piece(values: list[Any], ascii_only: bool, indent: int | None) -> None:  # noqa: FBT001 - drawn
    """Wherever the pieces end, in a number, an escape or a character, the elements are those of the whole."""
    raw = json.dumps(values, ensure_ascii=ascii_only, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(strict_json, "PIECE", 5)
        assert values == listed(raw)


@given(st.binary(max_size=40) | st.text('[]{},:"\\ 1.e-truefalsn', max_size=40).map(str.encode))
def test_any_array_is_read_or_refused_as_a_whole_text_is(raw: bytes) -> None:
    """Piece by piece exactly what is an array is taken, and what is none is a 400."""
    whole = refusal(lambda: parse(raw))
    expected = whole is None and isinstance(parse(raw), list)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(strict_json, "PIECE", 5)
        patched.setattr(strict_json, "TOKENS", 1_000)
        problem = refusal(lambda: listed(raw))
    assert expected == (problem is None)
    assert problem is None or problem.status == 400


def test_an_array_is_read_no_further_than_is_asked() -> None:
    """Whoever has counted enough elements stops, whatever follows."""
    pieces = elements(b"[" + b"1," * 1_000_000 + b"nonsense", 1_000_000)
    assert {1} == set(next(piece for piece in pieces if piece))


def test_an_element_has_a_limit() -> None:
    """One huge element is a 413, long before all of it is looked at."""
    problem = refusal(lambda: listed(b'["' + b"a" * 3_000_000 + b'"]'))
    assert problem is not None
    assert (413, "content-too-large") == (problem.status, problem.code)


@pytest.mark.parametrize("filling", [b"[],", b"{},", b"1,", b'"",', b'"\\"",', b"[[[[]]]],"])
def test_what_is_crowded_is_refused_before_it_is_decoded(filling: bytes) -> None:
    """A megabyte of tiny values is no command: it is a 400 at once, alone and within an array."""
    crowded = b"[" + filling * (1_000_000 // len(filling)) + b"1]"
    for work in (lambda: parse(crowded), lambda: listed(b"[" + crowded + b"]")):
        problem = refusal(work)
        assert problem is not None
        assert "The body has more in it than any command." == problem.detail


@pytest.mark.parametrize(
    "raw", [b'{"a":"%s"}' % (b"," * 900_000), b'["%s"]' % (b'\\",[' * 200_000), b" " * 900_000 + b"1"]
)
def test_a_long_text_is_not_crowded(raw: bytes) -> None:
    """What stands within a text does not count, however many brackets and commas it has."""
    assert json.loads(raw) == parse(raw)


def test_a_pair_of_surrogates_is_a_character() -> None:
    """An escaped pair is no lone surrogate."""
    assert "🏃" == parse(b'"\\ud83c\\udfc3"')


def test_nothing_of_the_input_is_echoed() -> None:
    """A refusal never repeats what was sent."""
    for raw in (b'{"s3cret":1,"s3cret":2}', b'{"s3cret"', b'"s3cret\\u0000"', b"s3cret", b"[1e999, s3cret]"):
        assert b"s3cret" not in problem_of(raw).json()


class Model(BaseModel):
    """A body."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    points: list[int] = []


@pytest.mark.parametrize(
    ("value", "pointers"),
    [
        ({}, ["/name"]),
        ({"name": 1, "points": ["x", 2, "y"]}, ["/name", "/points/0", "/points/2"]),
        ({"name": "a", "unknown": 1}, ["/unknown"]),
        ({"name": "a", "a/b~c": 1}, ["/a~1b~0c"]),
        ({"name": "a", "x\u202e\x1b\u200by": 1}, ["/x\ufffd\ufffd\ufffdy"]),
        ({"name": "a", "x" * 5_000: 1}, [f"/{'x' * 63}…"]),
        ({"name": "a", "": 1}, ["/"]),
        ([], [""]),
        (None, [""]),
        (math.inf, [""]),
    ],
)
def test_every_field_that_is_wrong_is_named(value: object, pointers: list[str]) -> None:
    """Each error points to its field; an unknown one is named by its pointer, shortened, and nothing of it can hide."""
    problem = refusal(lambda: validate(Model, value))
    assert problem is not None
    assert pointers == [error.pointer for error in problem.errors]
    assert all(error.detail.endswith(".") for error in problem.errors)


def test_twenty_errors_are_listed_and_the_rest_is_counted() -> None:
    """An answer is not as long as what is wrong with the question."""
    problem = refusal(lambda: validate(Model, {"name": "a"} | {f"f{number}": 1 for number in range(200)}))
    assert problem is not None
    assert [f"/f{number}" for number in range(20)] == [error.pointer for error in problem.errors]
    assert "Several fields are not valid. 180 more are not listed." == problem.detail
    assert len(problem.json()) < 4_000


def test_a_value_that_fits_is_a_model() -> None:
    """What a model allows comes out as the model."""
    assert Model(name="a", points=[1]) == validate(Model, {"name": "a", "points": [1]})
