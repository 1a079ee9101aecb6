"""Decisions: given what happened, when a command comes, then one event follows or it is refused."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest

from command_api.decisions import Command
from command_api.decisions.achievements import DefineAchievement, TranslateAchievement
from command_api.decisions.awards import AwardAchievement, RevokeAward
from command_api.decisions.state import Achievement, Catalogue, State, Text
from command_api.decisions.users import ChangeUser, CreateUser
from shared.domain.errors import (
    AchievementNameTaken,
    AlreadyAwarded,
    AmbiguousAchievementName,
    DomainError,
    InvalidInput,
    UnknownAchievement,
    UnknownAward,
    UnknownUser,
    UsernameTaken,
)
from shared.domain.names import Name, achievement_name, username
from shared.events.types import (
    AchievementAwarded,
    AchievementDefined,
    AchievementTranslated,
    AwardRevoked,
    Event,
    UserChanged,
    UserCreated,
)

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


# The language of these tests


@dataclass(frozen=True)
class Outcome:
    """What became of a command."""

    result: Event | DomainError

    def then(self, event: Event) -> None:
        """Expect exactly this event."""
        assert event == self.result

    def then_refused(self, error: type[DomainError]) -> DomainError:
        """Expect exactly this refusal, and return it."""
        assert error is type(self.result)
        assert isinstance(self.result, DomainError)
        return self.result


@dataclass(frozen=True)
class Given:
    """A past."""

    state: State

    def when(self, command: Command) -> Outcome:
        """Decide on a command."""
        before = self.state.position
        try:
            result: Event | DomainError = command.decide(self.state)
        except DomainError as error:
            result = error
        assert before == self.state.position, "deciding changes nothing; recording does"
        return Outcome(result)


def given(*events: Event, now: datetime = NOW) -> Given:
    state = State(now=NOW, position=0, last_user_id=0, last_achievement_id=0, catalogue=Catalogue())
    for event in events:
        state.record(event)
    state.now = now
    return Given(state)


# What happened


def user(user_id: int, name: str, *, language: str = "en", zone: str = "UTC") -> UserCreated:
    found = username(name)
    return UserCreated(
        user_id=user_id,
        username=found.display,
        username_key=found.key,
        user_language=language,
        user_timezone=zone,
    )


def changed(before: UserCreated, **changes: str) -> UserChanged:
    values: dict[str, Any] = {
        "user_id": before.user_id,
        "username": before.username,
        "username_key": before.username_key,
        "user_language": before.user_language,
        "user_timezone": before.user_timezone,
        **changes,
    }
    return UserChanged(**values)


def renamed(before: UserCreated, name: str) -> UserChanged:
    return changed(before, username=username(name).display, username_key=username(name).key)


def achievement(
    achievement_id: int, name: str, *, language: str = "en", point: int = 10, repeatable: bool = True
) -> AchievementDefined:
    found = achievement_name(name)
    return AchievementDefined(
        achievement_id=achievement_id,
        achievement_name=found.display,
        achievement_key=found.key,
        achievement_description="Well done.",
        achievement_language=language,
        achievement_point=point,
        repeatable=repeatable,
    )


def translated(achievement_id: int, name: str, language: str) -> AchievementTranslated:
    found = achievement_name(name)
    return AchievementTranslated(
        achievement_id=achievement_id,
        achievement_name=found.display,
        achievement_key=found.key,
        achievement_description="Text.",
        achievement_language=language,
    )


def awarded(award_id: int, user_id: int = 1, achievement_id: int = 1, points: int = 10) -> AchievementAwarded:
    return AchievementAwarded(
        award_id=award_id,
        user_id=user_id,
        achievement_id=achievement_id,
        points=points,
        awarded_at=NOW,
        local_day=NOW.date(),
    )


def revoked(award: AchievementAwarded, reason: str | None = None) -> AwardRevoked:
    return AwardRevoked(
        award_id=award.award_id,
        user_id=award.user_id,
        achievement_id=award.achievement_id,
        points=award.points,
        awarded_at=award.awarded_at,
        local_day=award.local_day,
        reason=reason,
    )


ADA = user(1, "Ada")
BOB = user(2, "Bob", language="ru", zone="Asia/Tokyo")
RUN = achievement(1, "First run")
ONCE = achievement(1, "Finisher", repeatable=False)


# What is asked for


def create(name: str, language: str = "en", zone: str = "UTC") -> CreateUser:
    return CreateUser(username=username(name), user_language=language, user_timezone=zone)


def define(name: str, language: str = "en", point: int = 10, *, repeatable: bool = True) -> DefineAchievement:
    return DefineAchievement(
        achievement_name=achievement_name(name),
        achievement_description="Well done.",
        achievement_language=language,
        achievement_point=point,
        repeatable=repeatable,
    )


def translate(achievement_id: int, name: str, language: str) -> TranslateAchievement:
    return TranslateAchievement(
        achievement_id=achievement_id,
        achievement_language=language,
        achievement_name=achievement_name(name),
        achievement_description="Text.",
    )


def award(name: str = "ada", at: datetime | None = None, achievement_id: int = 1) -> AwardAchievement:
    return AwardAchievement(username_key=name, achievement_id=achievement_id, awarded_at=at)


def award_named(key: str) -> AwardAchievement:
    return AwardAchievement(username_key="ada", achievement_key=key)


# Users


def test_the_first_user_is_number_one() -> None:
    """Ids of users count from 1."""
    given().when(create("Ada")).then(ADA)


def test_the_next_user_gets_the_next_id() -> None:
    """Ids are given in the order of registration, whatever lies between."""
    given(ADA, RUN).when(create("Bob", "ru", "Asia/Tokyo")).then(BOB)


@pytest.mark.parametrize("name", ["Ada", "ada", "ADA", "\uff21da"])
def test_a_username_is_taken_in_every_spelling(name: str) -> None:
    """Usernames are unique by how they compare, not by how they are shown."""
    given(ADA).when(create(name)).then_refused(UsernameTaken)


def test_a_profile_changes_field_by_field() -> None:
    """What a change does not mention stays as it is."""
    past = given(ADA, BOB)
    past.when(ChangeUser(username_key="bob", user_language="en")).then(changed(BOB, user_language="en"))
    past.when(ChangeUser(username_key="bob", user_timezone="UTC")).then(changed(BOB, user_timezone="UTC"))
    past.when(ChangeUser(username_key="bob", new_username=username("Rob"))).then(renamed(BOB, "Rob"))


def test_a_change_of_nothing_is_a_change() -> None:
    """An empty change repeats the profile, and moves `updated_at` with it."""
    given(ADA).when(ChangeUser(username_key="ada")).then(changed(ADA))


def test_nobody_can_be_changed_who_is_not_there() -> None:
    """A change needs a user with that name."""
    given(ADA).when(ChangeUser(username_key="bob", user_language="ru")).then_refused(UnknownUser)


def test_a_user_cannot_take_the_name_of_another() -> None:
    """A new name must be free."""
    given(ADA, BOB).when(ChangeUser(username_key="bob", new_username=username("ADA"))).then_refused(UsernameTaken)


def test_a_user_may_respell_the_own_name() -> None:
    """One's own name in another case is no conflict."""
    given(ADA).when(ChangeUser(username_key="ada", new_username=username("ADA"))).then(renamed(ADA, "ADA"))


def test_a_renamed_user_sets_the_old_name_free() -> None:
    """An old name may be registered anew, by a user with an id of its own."""
    given(ADA, renamed(ADA, "Countess")).when(create("Ada")).then(replace(ADA, user_id=2))


def test_a_renamed_user_is_not_found_by_the_old_name() -> None:
    """Whoever was renamed answers to the new name only."""
    past = given(ADA, renamed(ADA, "Countess"), RUN)
    past.when(award("ada")).then_refused(UnknownUser)
    past.when(award("countess")).then(awarded(4))


def test_two_users_can_swap_their_names() -> None:
    """Names pass between users by way of a third name."""
    past = given(ADA, BOB, renamed(ADA, "x"), renamed(BOB, "Ada"))
    past.when(ChangeUser(username_key="x", new_username=username("Bob"))).then(renamed(ADA, "Bob"))


# The catalogue


def test_the_first_achievement_is_number_one() -> None:
    """Ids of achievements count from 1, whatever lies before."""
    given(ADA).when(define("First run")).then(RUN)


def test_the_next_achievement_gets_the_next_id() -> None:
    """An achievement keeps its points and whether it repeats."""
    then = achievement(2, "Finisher", language="ru", point=0, repeatable=False)
    given(RUN).when(define("Finisher", "ru", 0, repeatable=False)).then(then)


@pytest.mark.parametrize("name", ["First run", "FIRST RUN", "\uff26irst run"])
def test_a_name_is_unique_within_its_language(name: str) -> None:
    """Names of achievements compare without regard to case and width."""
    given(RUN).when(define(name)).then_refused(AchievementNameTaken)


def test_a_name_may_be_used_again_in_another_language() -> None:
    """The same name in two languages is two achievements."""
    given(RUN).when(define("First run", "ru")).then(achievement(2, "First run", language="ru"))


def test_a_translation_takes_its_name_too() -> None:
    """A name that a translation has is taken in its language for new achievements."""
    given(RUN, translated(1, "Забег", "ru")).when(define("забег", "ru")).then_refused(AchievementNameTaken)


def test_an_achievement_gets_a_text() -> None:
    """A translation adds a language, and may replace the achievement's own text."""
    past = given(RUN)
    past.when(translate(1, "Забег", "ru")).then(translated(1, "Забег", "ru"))
    past.when(translate(1, "Run one", "en")).then(translated(1, "Run one", "en"))


def test_what_is_not_in_the_catalogue_has_no_translation() -> None:
    """A translation needs an achievement."""
    given(RUN).when(translate(2, "Забег", "ru")).then_refused(UnknownAchievement)


def test_a_translation_cannot_take_the_name_of_another_achievement() -> None:
    """Uniqueness within a language holds for translations."""
    past = given(RUN, achievement(2, "Забег", language="ru"))
    past.when(translate(1, "ЗАБЕГ", "ru")).then_refused(AchievementNameTaken)


def test_a_translation_may_repeat_its_own_name() -> None:
    """The name that an achievement has is no conflict for itself."""
    given(RUN).when(translate(1, "FIRST RUN", "en")).then(translated(1, "FIRST RUN", "en"))


def test_a_replaced_text_sets_its_name_free() -> None:
    """A name that no text has any more may be used, and finds nothing."""
    past = given(ADA, RUN, translated(1, "Run one", "en"))
    past.when(define("First run")).then(achievement(2, "First run"))
    past.when(award_named("first run")).then_refused(UnknownAchievement)
    past.when(award_named("run one")).then(awarded(4))


# Awards


def test_an_award_has_the_points_in_force() -> None:
    """An award carries its position as its id, and the achievement's points."""
    given(ADA, achievement(1, "Big", point=500)).when(award()).then(awarded(3, points=500))


def test_an_award_needs_a_user() -> None:
    """Nobody is awarded who is not registered."""
    given(RUN).when(award()).then_refused(UnknownUser)


def test_an_award_needs_an_achievement() -> None:
    """Neither an id nor a name may miss the catalogue."""
    past = given(ADA)
    past.when(award()).then_refused(UnknownAchievement)
    past.when(award_named("first run")).then_refused(UnknownAchievement)
    past.when(AwardAchievement(username_key="ada")).then_refused(UnknownAchievement)


def test_an_award_may_name_its_achievement_in_any_language() -> None:
    """A name is looked up in all languages."""
    past = given(ADA, RUN, translated(1, "Забег", "ru"))
    past.when(award_named("first run")).then(awarded(4))
    past.when(award_named("забег")).then(awarded(4))


def test_a_name_of_two_achievements_is_ambiguous() -> None:
    """Where a name means different achievements in different languages, only an id tells."""
    past = given(ADA, RUN, achievement(2, "First run", language="ru"))
    past.when(award_named("first run")).then_refused(AmbiguousAchievementName)
    past.when(award(achievement_id=2)).then(awarded(4, achievement_id=2))


def test_a_name_that_one_achievement_has_twice_is_not_ambiguous() -> None:
    """The same name in two languages of one achievement means that achievement."""
    given(ADA, RUN, translated(1, "First run", "ru")).when(award_named("first run")).then(awarded(4))


def test_a_repeatable_achievement_is_awarded_again() -> None:
    """By default nothing keeps an achievement from being earned twice."""
    given(ADA, RUN, awarded(3)).when(award()).then(awarded(4))


def test_a_once_only_achievement_is_held_once() -> None:
    """A second award of it is refused, by id and by name."""
    past = given(ADA, ONCE, awarded(3))
    past.when(award()).then_refused(AlreadyAwarded)
    past.when(award_named("finisher")).then_refused(AlreadyAwarded)


def test_a_once_only_achievement_is_there_for_everybody() -> None:
    """Holding is a matter of each user."""
    past = given(ADA, BOB, ONCE, awarded(4))
    past.when(award("bob")).then(replace(awarded(5, user_id=2), local_day=date(2026, 1, 31)))


def test_a_revocation_sets_a_once_only_achievement_free() -> None:
    """After a revocation everything is as if the award had never been made."""
    given(ADA, ONCE, awarded(3), revoked(awarded(3))).when(award()).then(awarded(5))


def test_a_revocation_leaves_other_holdings() -> None:
    """A revocation of one award frees no other achievement, and no other user's."""
    other = achievement(2, "Other", repeatable=False)
    first, second, third = awarded(5), awarded(6, achievement_id=2), awarded(7, user_id=2)
    past = given(ADA, BOB, ONCE, other, first, second, third, revoked(second))
    past.when(award()).then_refused(AlreadyAwarded)
    past.when(award("bob")).then_refused(AlreadyAwarded)
    past.when(award(achievement_id=2)).then(awarded(9, achievement_id=2))


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(minutes=5), -timedelta(days=365_000)])
def test_an_award_may_lie_in_the_past_or_five_minutes_ahead(ahead: timedelta) -> None:
    """Any past time counts, and clocks of producers may be up to five minutes fast."""
    moment = NOW + ahead
    then = replace(awarded(3), awarded_at=moment, local_day=moment.date())
    given(ADA, RUN).when(award(at=moment)).then(then)


def test_an_award_from_the_future_is_refused() -> None:
    """One microsecond beyond five minutes ahead is too far, and the refusal says which field is wrong."""
    late = NOW + timedelta(minutes=5, microseconds=1)
    refused = given(ADA, RUN).when(award(at=late)).then_refused(InvalidInput)
    assert isinstance(refused, InvalidInput)
    assert "/awarded_at" == refused.pointer


def test_a_day_is_one_of_the_time_zone_in_force() -> None:
    """The same instant is another day elsewhere, and a move counts from the next award on."""
    late = datetime(2026, 1, 31, 11, 30, tzinfo=UTC)
    tokyo, honolulu = changed(ADA, user_timezone="Asia/Tokyo"), changed(ADA, user_timezone="Pacific/Honolulu")
    expected = replace(awarded(3), awarded_at=late)
    given(ADA, RUN).when(award(at=late)).then(expected)
    given(ADA, RUN, tokyo).when(award(at=late)).then(replace(expected, award_id=4))
    given(ADA, RUN, tokyo, honolulu).when(award(at=datetime(2026, 1, 31, 9, 59, tzinfo=UTC))).then(
        replace(awarded(5), awarded_at=datetime(2026, 1, 31, 9, 59, tzinfo=UTC), local_day=date(2026, 1, 30))
    )


# Revocations


def test_a_revocation_repeats_the_award() -> None:
    """Whoever takes an award out again needs no look-up."""
    given(ADA, RUN, awarded(3)).when(RevokeAward(award_id=3, reason="A mistake.")).then(
        revoked(awarded(3), "A mistake.")
    )


def test_an_award_is_revoked_once() -> None:
    """What does not stand cannot be revoked."""
    past = given(ADA, RUN, awarded(3), revoked(awarded(3)))
    past.when(RevokeAward(award_id=3)).then_refused(UnknownAward)
    past.when(RevokeAward(award_id=2)).then_refused(UnknownAward)


def test_an_award_is_revoked_under_the_name_of_its_user() -> None:
    """With a name, the award must be that user's."""
    past = given(ADA, BOB, RUN, awarded(4))
    past.when(RevokeAward(award_id=4, username_key="ada")).then(revoked(awarded(4)))
    past.when(RevokeAward(award_id=4, username_key="bob")).then_refused(UnknownAward)
    past.when(RevokeAward(award_id=4, username_key="eve")).then_refused(UnknownUser)


# The state behind


def test_the_state_knows_when_things_changed() -> None:
    """`created_at` stays, `updated_at` moves, and the catalogue knows the position of its last change."""
    state = given(ADA, RUN).state
    state.now = later = NOW + timedelta(hours=1)
    state.record(renamed(ADA, "Countess"))
    state.record(translated(1, "Забег", "ru"))
    profile, entry = state.user_by_id(1), state.catalogue.get(1)
    assert entry is not None
    assert (NOW, later) == (profile.created_at, profile.updated_at)
    assert (NOW, later) == (entry.created_at, entry.updated_at)
    assert 4 == state.catalogue.position


def test_a_text_is_shown_in_the_wanted_language_or_its_own() -> None:
    """Where a translation is missing, the achievement's own language stands in."""
    entry = given(RUN, translated(1, "Забег", "ru")).state.catalogue.get(1)
    assert entry is not None
    assert ["ru", "en", "en"] == [entry.language_for(wanted) for wanted in ("ru", "en", "de")]


def test_an_award_of_what_was_never_defined_is_a_fault() -> None:
    """A past that contradicts itself stops; nobody guesses."""
    with pytest.raises(LookupError, match="achievement 1 "):
        given(ADA, awarded(2))


def test_a_name_that_settles_to_another_user_is_taken_from_its_key() -> None:
    """The key decides: a display name of one's own choosing changes nothing."""
    given(ADA).when(CreateUser(username=Name("Somebody", "ada"), user_language="en", user_timezone="UTC")).then_refused(
        UsernameTaken
    )


def test_the_unions_are_closed() -> None:
    """What is no event changes nothing; the type checker refuses it."""
    past = given(ADA)
    past.state.record(cast("Event", object()))
    past.when(create("Bob", "ru", "Asia/Tokyo")).then(BOB)


def test_a_name_that_has_passed_on_stays_with_its_new_holder() -> None:
    """Changes may be taken in in any order: putting the former holder second takes nothing from the later one."""

    def achievement(achievement_id: int, name: str) -> Achievement:
        return Achievement(
            achievement_id=achievement_id,
            language="en",
            point=10,
            repeatable=True,
            texts={"en": Text(name, name, "")},
            created_at=NOW,
            updated_at=NOW,
        )

    catalogue = Catalogue()
    catalogue.put(achievement(1, "first"))

    catalogue.put(achievement(2, "first"))
    catalogue.put(achievement(1, "second"))

    assert 2 == catalogue.holder("en", "first")
    assert 1 == catalogue.holder("en", "second")


def test_recording_is_all_or_nothing() -> None:
    """An event that cannot be recorded leaves no trace: the next one has its position, its id and its name."""
    past = given(ADA, RUN)
    for impossible in (renamed(BOB, "Eve"), translated(2, "Забег", "ru"), replace(awarded(3), achievement_id=2)):
        with pytest.raises(LookupError):
            past.state.record(impossible)
    past.when(create("Bob", "ru", "Asia/Tokyo")).then(BOB)
    past.when(AwardAchievement(username_key="ada", achievement_id=1)).then(awarded(3))
    assert not past.state.awards
