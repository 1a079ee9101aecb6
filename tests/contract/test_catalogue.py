"""The catalogue: achievements, their translations and their languages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .helpers import (
    FORGOTTEN_ID,
    Body,
    Laurels,
    assert_problem,
    assert_status,
    define_achievement,
    get,
    in_threads,
    instant,
    send,
    texts_in,
    translate,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS = {
    "achievement_id",
    "achievement_name",
    "achievement_description",
    "achievement_language",
    "achievement_point",
    "repeatable",
    "created_at",
    "updated_at",
}


def _body(name: str, language: str = "en") -> Body:
    return {
        "achievement_name": name,
        "achievement_description": "",
        "achievement_language": language,
    }


def _listed(
    laurels: Laurels,
    achievement_id: int,
    params: Mapping[str, str | int] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Body:
    listed = walk(laurels, "/users/achievements", params=params, headers=headers)
    found = [item for item in listed if item["achievement_id"] == achievement_id]
    assert len(found) == 1, f"achievement {achievement_id} is listed {len(found)} times"
    return found[0]


def test_defined_achievement_is_answered(laurels: Laurels) -> None:
    """A new achievement is 201 with the whole object, defaults included."""
    name = laurels.name("feat")

    achievement = define_achievement(laurels, name, achievement_description="Ran")

    assert set(achievement) == FIELDS
    assert (name, "Ran", "en", 10, True) == (
        achievement["achievement_name"],
        achievement["achievement_description"],
        achievement["achievement_language"],
        achievement["achievement_point"],
        achievement["repeatable"],
    )
    assert 0 < achievement["achievement_id"] < 2**53
    assert instant(achievement["created_at"]) == instant(achievement["updated_at"])


@pytest.mark.parametrize("points", [0, 1, 1_000_000])
def test_points_in_range_are_taken(laurels: Laurels, points: int) -> None:
    """Points are 0..1,000,000, the ends included."""
    achievement = define_achievement(laurels, achievement_point=points)

    assert points == achievement["achievement_point"]


def test_repeatable_can_be_switched_off(laurels: Laurels) -> None:
    """An achievement may be held once only."""
    assert define_achievement(laurels, repeatable=False)["repeatable"] is False


def test_longest_texts_are_taken(laurels: Laurels) -> None:
    """Names have up to 200 characters and descriptions 2,000, whatever their bytes."""
    name, description = laurels.name("feat").ljust(200, "é"), "\N{TROPHY}" * 2000

    achievement = define_achievement(laurels, name, achievement_description=description)

    assert (name, description) == (
        achievement["achievement_name"],
        achievement["achievement_description"],
    )


def test_name_is_unique_within_its_language(laurels: Laurels) -> None:
    """A name is taken whatever its letter case, in any script."""
    name = f"Éclair Жук {laurels.name()}"
    define_achievement(laurels, name)

    for again in (name, name.upper(), name.lower()):
        response = send(laurels, "POST", "/users/achievements", _body(again))
        assert_problem(response, 409, "achievement-name-taken")


def test_name_is_free_in_another_language(laurels: Laurels) -> None:
    """The same name in another language is another achievement."""
    name = laurels.name("feat")

    english = define_achievement(laurels, name)
    russian = define_achievement(laurels, name, achievement_language="ru")

    assert english["achievement_id"] != russian["achievement_id"]


def test_simultaneous_definitions_make_one_achievement(laurels: Laurels) -> None:
    """Of eight at once one is taken."""
    body = _body(laurels.name("feat"))

    responses = in_threads([lambda: send(laurels, "POST", "/users/achievements", body)] * 8)

    assert [201] + [409] * 7 == sorted(response.status_code for response in responses)


# Translations


def test_translation_is_created_then_changed(laurels: Laurels) -> None:
    """A new translation is 201, a changed one 200."""
    achievement_id = define_achievement(laurels)["achievement_id"]

    created = translate(laurels, achievement_id, "ru", laurels.name("first"))
    changed = translate(laurels, achievement_id, "ru", laurels.name("second"))

    assert [201, 200] == [created.status_code, changed.status_code]


def test_texts_of_the_own_language_are_changed(laurels: Laurels) -> None:
    """The achievement's own language has texts already."""
    achievement_id = define_achievement(laurels)["achievement_id"]
    name = laurels.name("renamed")

    response = translate(laurels, achievement_id, "en", name)

    assert_status(200, response)
    assert name == _listed(laurels, achievement_id, {"language": "en"})["achievement_name"]


def test_achievement_is_read_with_all_its_translations(laurels: Laurels) -> None:
    """One achievement shows every text it has."""
    achievement = define_achievement(laurels, achievement_description="Ran a mile")
    name, description = laurels.name("пробег"), "Пробежал версту"
    translate(laurels, achievement["achievement_id"], "ru", name, description)

    response = get(laurels, f"/users/achievements/{achievement['achievement_id']}")

    assert_status(200, response)
    assert achievement["achievement_id"] == response.json()["achievement_id"]
    wanted = {achievement["achievement_name"], "Ran a mile", name, description}
    assert wanted <= texts_in(response.json()), response.text


def test_unknown_achievement_is_404(laurels: Laurels) -> None:
    """An achievement that was never defined cannot be read or translated."""
    assert_problem(get(laurels, f"/users/achievements/{FORGOTTEN_ID}"), 404, "unknown-achievement")
    response = translate(laurels, FORGOTTEN_ID, "ru", laurels.name("feat"))
    assert_problem(response, 404, "unknown-achievement")


def test_name_of_a_translation_is_unique_too(laurels: Laurels) -> None:
    """A translation cannot take the name of another achievement in its language."""
    taken = define_achievement(laurels, achievement_language="ru")["achievement_name"]
    achievement_id = define_achievement(laurels)["achievement_id"]

    response = translate(laurels, achievement_id, "ru", taken.upper())

    assert_problem(response, 409, "achievement-name-taken")


def test_name_of_a_translation_takes_the_name(laurels: Laurels) -> None:
    """A new achievement cannot take the name of a translation in its language."""
    achievement_id, name = (
        define_achievement(laurels)["achievement_id"],
        laurels.name("feat"),
    )
    translate(laurels, achievement_id, "ru", name)

    response = send(laurels, "POST", "/users/achievements", _body(name.upper(), "ru"))

    assert_problem(response, 409, "achievement-name-taken")


def test_changed_translation_frees_its_name(laurels: Laurels) -> None:
    """A name that is given up can be taken."""
    achievement_id, name = (
        define_achievement(laurels)["achievement_id"],
        laurels.name("feat"),
    )
    translate(laurels, achievement_id, "ru", name)

    translate(laurels, achievement_id, "ru", laurels.name("other"))

    define_achievement(laurels, name, achievement_language="ru")


def test_translation_does_not_collide_with_itself(laurels: Laurels) -> None:
    """The same name may be sent again, in another letter case too."""
    achievement_id, name = (
        define_achievement(laurels)["achievement_id"],
        laurels.name("feat"),
    )
    translate(laurels, achievement_id, "ru", name)

    assert_status(200, translate(laurels, achievement_id, "ru", name.upper()))


@pytest.mark.parametrize(
    "body",
    [
        {"achievement_name": "x"},
        {"achievement_description": "x"},
        {"achievement_name": "x", "achievement_description": None},
        {
            "achievement_name": "x",
            "achievement_description": "",
            "achievement_language": "ru",
        },
        {
            "achievement_name": "x",
            "achievement_description": "",
            "achievement_point": 1,
        },
    ],
    ids=str,
)
def test_translation_is_a_name_and_a_description(laurels: Laurels, body: Body) -> None:
    """A translation has these two fields and no other."""
    achievement_id = define_achievement(laurels)["achievement_id"]
    path = f"/users/achievements/{achievement_id}/translations/ru"

    assert_problem(send(laurels, "PUT", path, body), 400, "invalid-input")


# Languages of the list


def test_list_shows_each_in_its_own_language(laurels: Laurels) -> None:
    """Without a wish the texts are those of the achievement's own language."""
    english = define_achievement(laurels)
    russian = define_achievement(laurels, achievement_language="ru")
    translate(laurels, english["achievement_id"], "ru", laurels.name("перевод"))

    for defined in (english, russian):
        listed = _listed(laurels, defined["achievement_id"])
        texts = ("achievement_name", "achievement_description", "achievement_language")
        assert [defined[text] for text in texts] == [listed[text] for text in texts]


@pytest.mark.parametrize(
    ("params", "headers", "language"),
    [
        ({"language": "ru"}, {}, "ru"),
        ({"language": "en"}, {}, "en"),
        ({"language": "en"}, {"Accept-Language": "ru"}, "en"),
        ({"language": "ru"}, {"Accept-Language": "en"}, "ru"),
        ({}, {"Accept-Language": "ru"}, "ru"),
        ({}, {"Accept-Language": "RU"}, "ru"),
        ({}, {"Accept-Language": "ru-RU"}, "ru"),
        ({}, {"Accept-Language": "en, ru"}, "en"),
        ({}, {"Accept-Language": "en;q=0.2, ru;q=0.9"}, "ru"),
        ({}, {"Accept-Language": "ru;q=0.1, en;q=0.8, *;q=0.5"}, "en"),
        ({}, {"Accept-Language": "fr, ru;q=0.5"}, "ru"),
        ({}, {"Accept-Language": "ru-RU,ru;q=0.9,en-US;q=0.8,en;q=0.7"}, "ru"),
        ({}, {"Accept-Language": "ru;q=0, en"}, "en"),
        ({}, {"Accept-Language": "fr"}, "en"),
        ({}, {"Accept-Language": "*"}, "en"),
    ],
    ids=str,
)
def test_language_of_the_list_is_chosen(
    laurels: Laurels,
    params: Mapping[str, str | int],
    headers: Mapping[str, str],
    language: str,
) -> None:
    """The query comes first, then Accept-Language by weight, then the own language."""
    achievement = define_achievement(laurels)
    name = laurels.name("перевод")
    translate(laurels, achievement["achievement_id"], "ru", name, "Описание")
    names = {"en": achievement["achievement_name"], "ru": name}

    listed = _listed(laurels, achievement["achievement_id"], params, headers)

    assert (language, names[language]) == (
        listed["achievement_language"],
        listed["achievement_name"],
    )


@pytest.mark.parametrize(
    ("params", "headers"),
    [({"language": "ru"}, {}), ({}, {"Accept-Language": "ru"})],
    ids=str,
)
def test_missing_translation_falls_back(
    laurels: Laurels, params: Mapping[str, str | int], headers: Mapping[str, str]
) -> None:
    """An achievement without the wanted texts is listed in its own language."""
    achievement = define_achievement(laurels)

    listed = _listed(laurels, achievement["achievement_id"], params, headers)

    assert ("en", achievement["achievement_name"]) == (
        listed["achievement_language"],
        listed["achievement_name"],
    )
