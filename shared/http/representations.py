"""The JSON shapes that both sides answer with, documented in the OpenAPI document."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

Id = Annotated[int, Field(ge=1, lt=2**53, examples=[1])]


def to_json(body: Any) -> bytes:  # noqa: ANN401 - whatever orjson can write
    """Return JSON in UTF-8; datetimes become RFC 3339 with `Z`."""
    return orjson.dumps(body, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)


class Representation(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True)


class User(Representation):
    """A registered user."""

    user_id: Id
    username: Annotated[str, Field(examples=["ada"])]
    user_language: Annotated[str, Field(examples=["en"])]
    user_timezone: Annotated[str, Field(examples=["Europe/Moscow"])]
    created_at: datetime
    updated_at: datetime


class Achievement(Representation):
    """An achievement of the catalogue, with its text in one language."""

    achievement_id: Id
    achievement_name: Annotated[str, Field(examples=["First run"])]
    achievement_description: str
    achievement_language: Annotated[str, Field(examples=["en"])]
    achievement_point: Annotated[int, Field(ge=0, le=1_000_000, examples=[10])]
    repeatable: bool
    created_at: datetime
    updated_at: datetime


class Translation(Representation):
    """An achievement's text in one language."""

    achievement_name: str
    achievement_description: str
    achievement_language: str


class TranslatedAchievement(Achievement):
    """An achievement with its texts in all languages."""

    translations: list[Translation]


Incomplete = Annotated[
    bool, Field(default=False, description="Present, and true, while events of the user are in quarantine.")
]


class Award(Representation):
    """An award that stands, with texts in the user's language where there are any."""

    award_id: Id
    user_id: Id
    username: str
    user_language: str
    achievement_id: Id
    achievement_name: str
    achievement_description: str
    achievement_language: str
    achievement_point: int
    awarded_at: datetime
    recorded_at: datetime


class MaxCount(Representation):
    """Who holds most achievements."""

    user_id: Id
    username: str
    total_achievements: int
    tied_users: int
    incomplete: Incomplete


class UserPoints(Representation):
    """A user and their points."""

    user_id: Id
    username: str
    total_points: int
    incomplete: Incomplete


class MaxPoints(UserPoints):
    """Who has most points."""

    tied_users: int


class MaxDifference(Representation):
    """The two ends of the ranking."""

    max_points_user: UserPoints
    min_points_user: UserPoints


class MinDifference(Representation):
    """The two users who lie closest together."""

    higher_points_user: UserPoints
    lower_points_user: UserPoints


class Difference(Representation):
    """The greatest and the smallest difference of points; the smallest is null with fewer than two users."""

    max_difference: int
    users_with_max_difference: MaxDifference
    min_difference: int | None
    users_with_min_difference: MinDifference | None


class UserStats(Representation):
    """A user's totals and streaks, each with the log position of the latest standing award that changed it.

    A revoked award takes its position back with it, as in the ranking; before the first award totals have the position
    of the registration. Without a streak there are no days and no position.
    """

    user_id: Id
    username: str
    total_achievements: int
    total_achievements_position: int
    total_points: int
    total_points_position: int
    streak_days: int
    streak_started_on: date | None
    streak_ended_on: date | None
    streak_position: int | None
    current_streak_days: int
    current_streak_position: int | None
    incomplete: Incomplete


class Event(Representation):
    """An event of the log, its data in the newest schema version of its type."""

    position: Annotated[int, Field(ge=1, examples=[1])]
    event_id: UUID
    type: Annotated[str, Field(examples=["achievement-awarded"])]
    schema_version: int
    recorded_at: datetime
    data: dict[str, Any]


class Streak(Representation):
    """A user's run of consecutive days with an award."""

    user_id: Id
    username: str
    streak_days: int
    streak_started_on: date
    streak_ended_on: date
    current_streak_days: int
    incomplete: Incomplete
