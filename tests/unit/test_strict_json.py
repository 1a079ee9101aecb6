"""JSON as the contract wants it: what is left open elsewhere is refused, and never echoed."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from shared.runtime.problems import Problem
from shared.runtime.strict_json import parse, validate

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
        ({"name": "a", "s3cret": 1}, [""]),
        ([], [""]),
        (None, [""]),
        (math.inf, [""]),
    ],
)
def test_every_field_that_is_wrong_is_named(value: object, pointers: list[str]) -> None:
    """Each error points to its field; an unknown field's own name is not repeated."""
    problem = refusal(lambda: validate(Model, value))
    assert problem is not None
    assert pointers == [error.pointer for error in problem.errors]
    assert all(error.detail.endswith(".") for error in problem.errors)
    assert b"s3cret" not in problem.json()


def test_a_value_that_fits_is_a_model() -> None:
    """What a model allows comes out as the model."""
    assert Model(name="a", points=[1]) == validate(Model, {"name": "a", "points": [1]})
