"""Gives every user of a dump a username that no other has."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import count

from shared.domain.names import USERNAME_LIMIT, USERNAME_RAW_LIMIT, InvalidName, Name, username


def allocate_usernames(displayed: Mapping[int, str], strangers: Iterable[int] = ()) -> dict[int, str]:
    """Give every user a name that no other has, in the order of `displayed` (id to display name), strangers last.

    The lowest id with a display name has it; the others, and those whose name is not allowed, are called `NAME-ID`.
    Strangers, whom the dump does not name, are called `user-ID`. Where even that is a user's display name, a number
    follows: `Bob-7-2`.
    """
    unnamed = sorted(set(strangers) - displayed.keys())
    allocated: dict[int, str] = {}
    taken: set[str] = set()
    for user_id in sorted(displayed):
        name = _allowed(displayed[user_id])
        if name and name.key not in taken:
            taken.add(name.key)
            allocated[user_id] = name.display
    for user_id in [*sorted(displayed.keys() - allocated.keys()), *unnamed]:
        name = _free_name(_cleaned(displayed.get(user_id, "")), user_id, taken)
        taken.add(name.key)
        allocated[user_id] = name.display
    return {user_id: allocated[user_id] for user_id in [*displayed, *unnamed]}


def _allowed(raw: str) -> Name | None:
    try:
        return username(raw)
    except InvalidName:
        return None


def _cleaned(displayed: str) -> str:
    """Return what of a display name may stand in a username, of any length and possibly nothing."""
    name = _allowed(displayed)
    if name:
        return name.display
    # Normalisation is quadratic in combining marks, and a username has no room for what is cut off here.
    normalized = unicodedata.normalize("NFKC", displayed[:USERNAME_RAW_LIMIT])
    kept = (character for character in normalized if _allowed(f"a{character}a"))
    return " ".join("".join(kept).split())


def _free_name(stem: str, user_id: int, taken: AbstractSet[str]) -> Name:
    """Return `STEM-ID`, cut to fit, or `STEM-ID-2` and so on, the first that is free."""
    return next(name for name in _suffixed_names(stem, f"-{user_id}") if name.key not in taken)


def _suffixed_names(stem: str, suffix: str) -> Iterator[Name]:
    for number in count(1):
        tail = suffix if number == 1 else f"{suffix}-{number}"
        cut = stem[: USERNAME_LIMIT - len(tail)].rstrip()
        # A name that was cut may break a rule about neighbouring characters; the plain form never does.
        yield (_allowed(cut + tail) if cut else None) or username("user" + tail)
