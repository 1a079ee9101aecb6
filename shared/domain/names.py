"""What a name may be, and when two names are the same name.

Usernames follow the Nickname profile of PRECIS (RFC 8266), titles of achievements a looser rule of our own. A
`Name` keeps both forms: the one that is shown and the one that is compared.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from precis_i18n import get_profile

__all__ = [
    "ACHIEVEMENT_DESCRIPTION_LIMIT",
    "ACHIEVEMENT_NAME_LIMIT",
    "RESERVED_USERNAMES",
    "USERNAME_LIMIT",
    "USERNAME_RAW_LIMIT",
    "InvalidName",
    "Name",
    "achievement_description",
    "achievement_name",
    "lookup_key",
    "settled",
    "username",
]

USERNAME_LIMIT: Final = 64
USERNAME_RAW_LIMIT: Final = 4 * USERNAME_LIMIT
"""As it is sent: no character is composed of more than four, and the profile drops spaces; nothing else shrinks."""
ACHIEVEMENT_NAME_LIMIT: Final = 200
ACHIEVEMENT_DESCRIPTION_LIMIT: Final = 2_000
RESERVED_USERNAMES: Final = frozenset({"achievements", "achievements-stats"})

_USERNAME_LENGTH: Final = (
    f"A username has 1 to {USERNAME_LIMIT} characters, and at most {USERNAME_RAW_LIMIT} before it is normalised."
)

# RFC 8266, section 2.1: after the first application, at most three more.
_APPLICATIONS: Final = 4

_SHOWN: Final = get_profile("NicknameCasePreserved")
_COMPARED: Final = get_profile("NicknameCaseMapped")

# The profile leaves these words alone but for their case, so they need not go through it.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+(?: [A-Za-z0-9_.-]+)*")
# The profile itself refuses controls, bidirectional marks and surrogates; these are what it would let through.
_REFUSED_IN_USERNAMES: Final = re.compile("[/\\\\\ufffd\u200c\u200d]")
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_CONTROLS_BUT_LINES: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_INVISIBLE: Final = frozenset({"Cf", "Zl", "Zp", "Zs"})


class InvalidName(ValueError):
    """A name or a description that is refused; `str()` is one sentence that never repeats the input."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name as it is shown (`display`) and as it is compared (`key`); equal keys mean the same name."""

    display: str
    key: str


def username(raw: str) -> Name:
    """Return the enforced form of a username and its key, which may be longer than 64; raise InvalidName."""
    # Normalisation is quadratic in combining marks, so nothing looks at a text before its length is known.
    if len(raw) > USERNAME_RAW_LIMIT:
        raise InvalidName(_USERNAME_LENGTH)
    name = _plain_name(raw) or _nickname(raw)
    if not 1 <= len(name.display) <= USERNAME_LIMIT:
        raise InvalidName(_USERNAME_LENGTH)
    if name.display in {".", ".."}:
        message = "A username may not be one or two dots."
        raise InvalidName(message)
    if name.key in RESERVED_USERNAMES:
        message = "This username is reserved."
        raise InvalidName(message)
    return name


def lookup_key(raw: str) -> str:
    """Return the key under which a user is looked up; a name that no user can have leads to nobody."""
    try:
        return username(raw).key
    except InvalidName:
        return ""


def achievement_name(raw: str) -> Name:
    """Return the name of an achievement as given, and its case-insensitive key; raise InvalidName."""
    if not 1 <= len(raw) <= ACHIEVEMENT_NAME_LIMIT:
        message = f"An achievement name has 1 to {ACHIEVEMENT_NAME_LIMIT} characters."
        raise InvalidName(message)
    if raw.isascii() and raw.isprintable() and not raw.isspace():
        # The same in a fraction of the time.
        return Name(raw, raw.lower())
    if _CONTROLS.search(raw):
        message = "An achievement name may not contain control characters."
        raise InvalidName(message)
    _refuse_surrogates(raw, "An achievement name")
    if all(unicodedata.category(character) in _INVISIBLE for character in raw):
        message = "An achievement name may not be blank."
        raise InvalidName(message)
    return Name(raw, settled(raw, _folded))


def achievement_description(raw: str) -> str:
    """Return the description as given: 0 to 2,000 characters, lines and tabs welcome; raise InvalidName."""
    if len(raw) > ACHIEVEMENT_DESCRIPTION_LIMIT:
        message = f"An achievement description has at most {ACHIEVEMENT_DESCRIPTION_LIMIT:,} characters."
        raise InvalidName(message)
    if _CONTROLS_BUT_LINES.search(raw):
        message = "An achievement description may not contain control characters other than line breaks and tabs."
        raise InvalidName(message)
    _refuse_surrogates(raw, "An achievement description")
    return raw


def settled(value: str, step: Callable[[str], str]) -> str:
    """Apply `step` until it changes nothing more; raise InvalidName if it does not settle, as RFC 8266 asks."""
    for _ in range(_APPLICATIONS):
        applied = step(value)
        if applied == value:
            return value
        value = applied
    message = "A name must have one stable form."
    raise InvalidName(message)


def _plain_name(raw: str) -> Name | None:
    """Answer for plain ASCII without the profile, which costs some thirty times as much; None for the rest."""
    return Name(raw, raw.lower()) if _PLAIN.fullmatch(raw) else None


def _nickname(raw: str) -> Name:
    """Enforce the Nickname profile; raise InvalidName."""
    _refuse_characters(raw)
    display = settled(raw, _SHOWN.apply_five_rules)
    # Compatibility forms such as a full-width solidus only now show what they stand for.
    _refuse_characters(display)
    if len(display) <= USERNAME_LIMIT:
        _refuse_outside_profile(display)
    return Name(display, settled(display, _COMPARED.apply_five_rules))


def _refuse_characters(value: str) -> None:
    if _REFUSED_IN_USERNAMES.search(value):
        message = "A username may not contain slashes, backslashes, zero-width or replacement characters."
        raise InvalidName(message)


def _refuse_outside_profile(display: str) -> None:
    try:
        _SHOWN.base.enforce(display)
    except UnicodeError:
        message = "A username may contain only what RFC 8266 allows: no control, bidirectional or invisible characters."
        # The library's error repeats the input, so it does not travel on.
        raise InvalidName(message) from None


def _refuse_surrogates(value: str, subject: str) -> None:
    if _SURROGATES.search(value):
        message = f"{subject} must be valid Unicode text."
        raise InvalidName(message)


def _folded(value: str) -> str:
    return unicodedata.normalize("NFKC", value).casefold()
