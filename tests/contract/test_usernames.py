"""Usernames by the Nickname profile of PRECIS (RFC 8266), and how they are found."""

from __future__ import annotations

import pytest

from .helpers import (
    Laurels,
    assert_problem,
    assert_status,
    create_user,
    get,
    quoted,
    send,
    user_path,
)

SCRIPTS = {
    "Cyrillic": "Иван",
    "Greek": "Δελφοί",
    "Arabic": "علي",
    "Hebrew": "דוד",
    "Han": "李小龙",
    "Hangul": "김철수",
    "Thai": "สมชาย",
    "Devanagari": "राम",
    "emoji": "🏆",
    "combining": "é́",
}

PUNCTUATION = [
    "50%",
    "a?b",
    "a#b",
    "a+b",
    "a&b=c",
    "a;b",
    "a:b@c",
    "%2F",
    "...",
    "'\"<>",
    "~!$*()",
]

# Written as they are sent, and as the profile keeps them.
ENFORCED = {
    "outer spaces": ("  {} x ", "{} x"),
    "inner spaces": ("{}   x", "{} x"),
    "no-break space": ("{}\u00a0x", "{} x"),
    "ideographic space": ("{}\u3000x", "{} x"),
    "fullwidth": ("{}ＡＤＡ", "{}ADA"),
    "ligature": ("{}ﬁ", "{}fi"),
    "decomposed": ("{}e\u0301", "{}\u00e9"),
    "circled": ("{}①", "{}1"),
}

SAME_NAMES = {
    "Latin": ("ÉLAN", "élan"),
    "Cyrillic": ("ИВАН", "иван"),
    "Greek": ("ΑΘΗΝΑ", "αθηνα"),
    "Armenian": ("ԱՐԱ", "արա"),
    "decomposed": ("José", "Jose\u0301"),
    "fullwidth": ("ada", "ＡＤＡ"),
    "Deseret": ("𐐀", "𐐨"),
}

FORBIDDEN = {
    "slash": "a/b",
    "backslash": "a\\b",
    "fullwidth slash": "a／b",
    "fullwidth backslash": "a＼b",
    "dot": ".",
    "two dots": "..",
    "dot leader": "\u2024",
    "two dot leader": "\u2025",
    "spaced dots": " .. ",
    "empty": "",
    "space": " ",
    "ideographic space": "\u3000",
    "NUL": "a\0b",
    "tab": "a\tb",
    "line feed": "a\nb",
    "escape": "a\x1bb",
    "delete": "a\x7fb",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "left-to-right mark": "a\u200eb",
    "right-to-left mark": "a\u200fb",
    "Arabic letter mark": "a\u061cb",
    "right-to-left override": "a\u202eb",
    "left-to-right embedding": "a\u202ab",
    "pop formatting": "a\u202cb",
    "left-to-right isolate": "a\u2066b",
    "pop isolate": "a\u2069b",
    "zero-width space": "a\u200bb",
    "zero-width non-joiner": "a\u200cb",
    "zero-width joiner": "a\u200db",
    "joiner after virama": "क्\u200dष",
    "word joiner": "a\u2060b",
    "byte order mark": "\ufeffab",
    "soft hyphen": "a\u00adb",
    "variation selector": "a\ufe0fb",
    "tag": "a\U000e0041b",
    "Hangul filler": "a\u3164b",
    "replacement character": "a\ufffdb",
    "private use": "a\ue000b",
    "unassigned": "a\u0378b",
    "noncharacter": "a\uffffb",
    "reserved": "achievements",
    "reserved statistics": "achievements-stats",
    "reserved in capitals": "Achievements",
    "reserved in fullwidth": "ａｃｈｉｅｖｅｍｅｎｔｓ",
    "reserved with spaces": " achievements-STATS ",
    "65 characters": "é" * 65,
    "1000 characters": "é" * 1000,
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_any_script_is_allowed(laurels: Laurels, script: str) -> None:
    """A name may be written in any script, and is found by it."""
    name = f"{script} {laurels.name()}"

    created = create_user(laurels, name)

    assert created == get(laurels, user_path(name)).json()


@pytest.mark.parametrize("punctuation", PUNCTUATION)
def test_punctuation_is_allowed(laurels: Laurels, punctuation: str) -> None:
    """Whatever is not refused is allowed, and percent-encoded in paths."""
    name = f"{laurels.name()}{punctuation}"

    created = create_user(laurels, name)

    assert name == created["username"]
    assert created == get(laurels, user_path(name)).json()
    assert [] == get(laurels, user_path(name, "/achievements/")).json()


@pytest.mark.parametrize("space", ["%20", " "])
def test_inner_spaces_are_allowed(laurels: Laurels, space: str) -> None:
    """A name may have spaces, percent-encoded in its path."""
    name = f"Ada {laurels.name()}"
    created = create_user(laurels, name)

    response = get(laurels, f"/users/{name.replace(' ', space)}/")

    assert_status(200, response)
    assert created == response.json()


def test_plus_in_a_path_is_a_plus(laurels: Laurels) -> None:
    """Only queries write spaces as plus signs."""
    name = laurels.name()
    create_user(laurels, f"a {name}")

    assert_problem(get(laurels, f"/users/a+{name}/"), 404, "unknown-user")


@pytest.mark.parametrize(("sent", "kept"), ENFORCED.values(), ids=ENFORCED.keys())
def test_name_is_kept_as_the_profile_enforces_it(laurels: Laurels, sent: str, kept: str) -> None:
    """Spaces are folded and characters normalised; letter case is kept."""
    name = laurels.name("User")

    user = create_user(laurels, sent.format(name))

    assert kept.format(name) == user["username"]


@pytest.mark.parametrize(("one", "other"), SAME_NAMES.values(), ids=SAME_NAMES.keys())
def test_names_are_compared_by_the_profile(laurels: Laurels, one: str, other: str) -> None:
    """Names that the profile compares as equal are one name."""
    unique = laurels.name()
    user = create_user(laurels, one + unique)

    again = send(laurels, "POST", "/users/", {"username": other + unique, "user_language": "en"})
    found = get(laurels, user_path(other + unique))

    assert_problem(again, 409, "username-taken")
    assert_status(200, found)
    assert user == found.json()


def test_every_path_finds_names_whatever_their_case(laurels: Laurels) -> None:
    """Reads and commands below a user compare names alike."""
    user = create_user(laurels, f"Жанна-{laurels.name()}")
    other = user["username"].upper()

    changed = send(laurels, "PATCH", user_path(other), {"user_language": "ru"})
    listed = get(laurels, user_path(other, "/achievements/"))

    assert_status(200, changed)
    assert user["username"] == changed.json()["username"]
    assert_status(200, listed)


def test_letters_that_differ_are_other_names(laurels: Laurels) -> None:
    """Accents and look-alikes of another script make another name."""
    unique = laurels.name()

    ids = {create_user(laurels, word + unique)["user_id"] for word in ("ece", "écé", "есе")}

    assert len(ids) == 3


@pytest.mark.parametrize("character", ["x", "é", "李", "🏆"])
def test_name_may_have_64_characters(laurels: Laurels, character: str) -> None:
    """The limit counts characters, not bytes."""
    name = laurels.name().ljust(64, character)

    assert name == create_user(laurels, name)["username"]
    assert_status(200, get(laurels, user_path(name)))


def test_name_may_have_one_character(laurels: Laurels) -> None:
    """One character is enough."""
    response = send(laurels, "POST", "/users/", {"username": "ѣ", "user_language": "en"})

    # Whoever came first has it.
    assert response.status_code in {201, 409}, response.text


@pytest.mark.parametrize("name", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_forbidden_name_is_400(laurels: Laurels, name: str) -> None:
    """What the profile or the contract refuses cannot be registered or taken on."""
    user = create_user(laurels)

    created = send(laurels, "POST", "/users/", {"username": name, "user_language": "en"})
    renamed = send(laurels, "PATCH", user_path(user["username"]), {"username": name})

    problem = assert_problem(created, 400, "invalid-input")
    # What is refused before it is parsed has no place to point to.
    assert {error["pointer"] for error in problem["errors"]} <= {"/username", ""}
    assert_problem(renamed, 400, "invalid-input")


@pytest.mark.parametrize("near", ["achievement", "achievements2", "achievements stats", "stats"])
def test_only_the_reserved_names_are_reserved(laurels: Laurels, near: str) -> None:
    """Names near the reserved ones are free."""
    response = send(laurels, "POST", "/users/", {"username": near, "user_language": "en"})

    assert response.status_code in {201, 409}, response.text
    assert_status(200, get(laurels, f"/users/{quoted(near)}/"))
