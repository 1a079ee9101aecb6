"""Names: which are refused, which are the same, and that the short cut for plain names is only a short cut."""

import string
import time
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from precis_i18n import get_profile

from shared.domain.names import (
    InvalidName,
    Name,
    achievement_description,
    achievement_name,
    lookup_key,
    settled,
    username,
)

PLAIN = string.ascii_letters + string.digits + "_-."
ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=70)
INVISIBLE_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
INVISIBLE = [chr(point) for point in range(0x11_0000) if unicodedata.category(chr(point)) in INVISIBLE_CATEGORIES]


def error_of(check: Callable[[str], object], raw: str) -> InvalidName | None:
    """Return the error with which `check` refuses `raw`; None if it does not."""
    try:
        check(raw)
    except InvalidName as refused:
        return refused
    return None


def allowed(raw: str) -> bool:
    """Say whether `raw` may be a username."""
    return error_of(username, raw) is None


@pytest.mark.parametrize(
    ("raw", "display", "key"),
    [
        ("Ada", "Ada", "ada"),
        ("ada.lovelace_1815-11", "ada.lovelace_1815-11", "ada.lovelace_1815-11"),
        ("  Ada \u00a0 Lovelace ", "Ada Lovelace", "ada lovelace"),
        ("Ольга", "Ольга", "ольга"),
        ("\uff21\uff44\uff41", "Ada", "ada"),
        ("A\u030angstrom", "\u00c5ngstrom", "\u00e5ngstrom"),
        ("\u2102arl", "Carl", "carl"),
        ("שָׁלוֹם", unicodedata.normalize("NFKC", "שָׁלוֹם"), unicodedata.normalize("NFKC", "שָׁלוֹם")),
        ("...", "...", "..."),
        ("👩", "👩", "👩"),
    ],
)
def test_a_username_is_shown_in_its_case_and_compared_without(raw: str, display: str, key: str) -> None:
    """The display form keeps the case, the key does not, and both are normalised."""
    assert Name(display, key) == username(raw)


@pytest.mark.parametrize(
    "raw",
    [
        *[
            "",
            " ",
            "\u3000",
            ".",
            "..",
            "a/b",
            "a\\b",
            "a\x00b",
            "tab\there",
            "a\u200bb",
            "a\ufeffb",
            "a\u00adb",
            "\u3164",
        ],
        *["a\ufe0f", "a\u202eb", "a\u2066b", "\ufffd", "a\ufffdb", "\ud800", "a\udfffb", "क्\u200dष", "क्\u200cष"],
        *["a" * 65, "я" * 65, "a" * 9_999, "achievements", "Achievements-STATS", " achievements ", "\uff41chievements"],
    ],
)
def test_a_username_that_could_mislead_is_refused(raw: str) -> None:
    """What cannot stand in a path, cannot be seen or is reserved is no username."""
    assert not allowed(raw)


@pytest.mark.parametrize("raw", ["a\uff0fb", "\u2100", "a\uff3cb", "a\ufe68b", "\u2024", "\uff0e\uff0e", "\u2025"])
def test_a_compatibility_form_is_refused_for_what_it_becomes(raw: str) -> None:
    """A character is judged by what normalisation makes of it, too."""
    assert not allowed(raw)


@pytest.mark.parametrize("pattern", ["{}", "a{}b"])
def test_no_invisible_character_enters_a_username(pattern: str) -> None:
    """Every control, format, surrogate and line-separating character of Unicode is refused, wherever it stands."""
    assert [] == [ascii(character) for character in INVISIBLE if allowed(pattern.format(character))]


def test_a_username_is_measured_after_enforcement() -> None:
    """Spaces that enforcement takes away do not count, ligatures it takes apart do."""
    assert "a b" == username(" " * 100 + "a" + " " * 100 + "b").display
    assert 64 == len(username("\ufb01" * 32).display)
    assert 64 == len(username("\u03b1\u0314\u0342\u0345" * 64).display)
    assert not allowed("\ufb01" * 33)


@pytest.mark.parametrize("filling", ["a", " ", "\u0301\u0316", "\ufdfa", "\u1112\u1161\u11ab"])
def test_a_text_too_long_to_be_a_username_is_not_looked_at(filling: str) -> None:
    """A megabyte, of whatever, is refused at once, also where it only addresses somebody."""
    raw = "a" + filling * 1_000_000
    started = time.process_time()

    assert not allowed(raw)
    assert "" == lookup_key(raw)

    assert time.process_time() - started < 1


@given(ANY_TEXT)
@example("\u0130")
@example("\u00b4")
@example("\u1d6ba\u2102\u03a3")
def test_a_username_is_stable(raw: str) -> None:
    """The display form of a display form is itself, and so is the key of a key."""
    if allowed(raw):
        name = username(raw)
        assert name == username(name.display)
        assert name.key == settled(name.key, get_profile("NicknameCaseMapped").apply_five_rules)


@given(st.lists(st.text(PLAIN, min_size=1, max_size=30), min_size=1, max_size=4).map(" ".join))
@example("ACHIEVEMENTS")
@example("..")
def test_the_short_cut_agrees_with_the_profile(raw: str) -> None:
    """A plain name skips the library because the library would say the same."""
    shown = get_profile("NicknameCasePreserved").enforce(raw)
    compared = get_profile("NicknameCaseMapped").enforce(raw)
    expected = len(shown) <= 64 and shown not in {".", ".."} and compared not in {"achievements", "achievements-stats"}
    assert expected == allowed(raw)
    if expected:
        assert Name(shown, compared) == username(raw)


@given(ANY_TEXT)
def test_the_profile_and_the_rules_on_top_are_the_whole_rule(raw: str) -> None:
    """A username is allowed exactly when the library enforces it and our own prohibitions find nothing."""
    try:
        shown = get_profile("NicknameCasePreserved").enforce(raw)
        reserved = get_profile("NicknameCaseMapped").enforce(raw) in {"achievements", "achievements-stats"}
    except UnicodeError:
        expected = False
    else:
        ours = set("/\\\ufffd\u200c\u200d")
        expected = not ours & set(raw + shown) and len(shown) <= 64 and shown not in {".", ".."} and not reserved
    assert expected == allowed(raw)


@given(ANY_TEXT.filter(lambda raw: len(raw) > 5))
def test_a_refusal_does_not_echo(raw: str) -> None:
    """The sentence that refuses a name does not repeat it, nor does the error's chain."""
    for check in (username, achievement_name, achievement_description):
        refused = error_of(check, raw)
        if refused:
            assert raw not in str(refused)
            assert refused.__cause__ is None
            assert str(refused).endswith(".")


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ("First run", "first run"),
        ("Первый забег", "первый забег"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("\uff26irst", "first"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("x" * 200, "x" * 200),
    ],
)
def test_an_achievement_name_is_shown_as_given(raw: str, key: str) -> None:
    """The display form of an achievement is untouched; its key ignores case and compatibility forms."""
    assert Name(raw, key) == achievement_name(raw)


@pytest.mark.parametrize("raw", ["", " ", "\u2003\u200b", "a\nb", "a\x00", "a\x85", "x\ud800", "x" * 201])
def test_an_achievement_name_is_one_visible_line(raw: str) -> None:
    """Blank, overlong and broken names are refused."""
    assert error_of(achievement_name, raw)


@given(ANY_TEXT)
@example("\u0345\u03b1")
def test_an_achievement_key_is_stable(raw: str) -> None:
    """The key of a key is the key, whatever the name was written in."""
    assume(error_of(achievement_name, raw) is None)
    name = achievement_name(raw)
    assert raw == name.display
    assert name.key == unicodedata.normalize("NFKC", name.key).casefold()
    assert name.key == settled(raw, lambda value: unicodedata.normalize("NFKC", value).casefold())


@pytest.mark.parametrize("raw", ["", "Two\nlines\r\n\tand a tab", "Описание", "x" * 2_000])
def test_a_description_is_kept_as_given(raw: str) -> None:
    """Descriptions may be empty and may have lines and tabs."""
    assert raw == achievement_description(raw)


@pytest.mark.parametrize("raw", ["x" * 2_001, "a\x00b", "\x1b[31m", "\x9b", "\udc80"])
def test_a_description_is_text(raw: str) -> None:
    """Overlong descriptions, controls and lone surrogates are refused."""
    assert error_of(achievement_description, raw)


def test_a_form_that_never_settles_is_refused() -> None:
    """After three more applications a changing form is given up, as RFC 8266 asks."""
    assert "aaa" == settled("", lambda value: "aaa"[: len(value) + 1])
    assert error_of(lambda raw: settled(raw, lambda value: value + "a"), "a")


def test_a_name_that_nobody_can_have_is_looked_up_in_vain() -> None:
    """Looking up never fails: what is no username leads to a key that no user has."""
    assert "ada" == lookup_key("Ada")
    assert "" == lookup_key("a/b")
