"""Achievements as a service is usually written: Flask, SQLAlchemy, a row an award, and SQL that counts when asked."""

import os
from datetime import UTC, date, datetime
from typing import Any, ClassVar, Final

from flask import Flask, abort, jsonify, request
from flask.typing import ResponseReturnValue
from sqlalchemy import DateTime, ForeignKey, MetaData, Row, Text, create_engine, desc, select, text
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship, sessionmaker

SCHEMA: Final = "flask_service"
ADDRESS: Final = "BENCH_DATABASE_URL"


class Base(DeclarativeBase):
    """All tables, in a schema of their own."""

    metadata = MetaData(schema=SCHEMA)
    type_annotation_map: ClassVar[Any] = {datetime: DateTime(timezone=True)}


class User(Base):
    """A registered user."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(Text, unique=True)
    user_language: Mapped[str] = mapped_column(Text)
    user_timezone: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Achievement(Base):
    """What can be earned."""

    __tablename__ = "achievements"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    language: Mapped[str] = mapped_column(Text)
    point: Mapped[int]


class Award(Base):
    """Who earned what, and when."""

    __tablename__ = "awards"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    achievement_id: Mapped[int] = mapped_column(ForeignKey(Achievement.id))
    points: Mapped[int]
    awarded_at: Mapped[datetime]
    local_day: Mapped[date]
    recorded_at: Mapped[datetime]
    user: Mapped[User] = relationship()
    achievement: Mapped[Achievement] = relationship()


FILL: Final = (
    f"""
    INSERT INTO {SCHEMA}.users
    SELECT user_id, username, user_language, user_timezone, created_at, updated_at FROM generation_1.users
    """,
    f"""
    INSERT INTO {SCHEMA}.achievements
    SELECT a.achievement_id, t.name, t.description, t.language, a.achievement_point
    FROM generation_1.achievements a
    JOIN generation_1.achievement_texts t USING (achievement_id) WHERE t.language = a.achievement_language
    """,
    f"""
    INSERT INTO {SCHEMA}.awards
    SELECT award_id, user_id, achievement_id, points, awarded_at, local_day, recorded_at FROM generation_1.user_awards
    """,
    f"SELECT setval('{SCHEMA}.awards_id_seq', max(id)) FROM {SCHEMA}.awards",
)

TOTALS: Final = f"""
totals AS (
    SELECT user_id, count(*) AS achievements, sum(points) AS points, max(id) AS reached
    FROM {SCHEMA}.awards GROUP BY user_id
)
"""
MAX_COUNT: Final = f"""
WITH {TOTALS}
SELECT u.id AS user_id, u.username, t.achievements AS total_achievements,
       (SELECT count(*) FROM totals o WHERE o.achievements = t.achievements) AS tied_users
FROM totals t JOIN {SCHEMA}.users u ON u.id = t.user_id
ORDER BY t.achievements DESC, t.reached, t.user_id LIMIT 1
"""
MAX_POINTS: Final = f"""
WITH {TOTALS}
SELECT u.id AS user_id, u.username, t.points::bigint AS total_points,
       (SELECT count(*) FROM totals o WHERE o.points = t.points) AS tied_users
FROM totals t JOIN {SCHEMA}.users u ON u.id = t.user_id
ORDER BY t.points DESC, t.reached, t.user_id LIMIT 1
"""
RANKED: Final = f"""
WITH {TOTALS}, ranked AS (
    SELECT user_id, points, points - lag(points) OVER (ORDER BY points, reached DESC, user_id DESC) AS gap,
           reached FROM totals
)
SELECT r.user_id, u.username, r.points::bigint AS total_points, r.gap::bigint AS gap
FROM ranked r JOIN {SCHEMA}.users u ON u.id = r.user_id
"""
HIGHEST: Final = f"{RANKED} ORDER BY points DESC, reached, user_id LIMIT 1"
LOWEST: Final = f"{RANKED} ORDER BY points, reached, user_id LIMIT 1"
CLOSEST: Final = f"{RANKED} WHERE gap IS NOT NULL ORDER BY gap, points DESC, reached, user_id LIMIT 1"
FIRST_AT: Final = f"{RANKED} WHERE points = :points AND user_id <> :other ORDER BY reached, user_id LIMIT 1"
STREAKS: Final = f"""
WITH days AS (
    SELECT DISTINCT user_id, local_day FROM {SCHEMA}.awards
), runs AS (
    SELECT user_id, local_day, local_day - row_number() OVER (PARTITION BY user_id ORDER BY local_day)::int AS run
    FROM days
), streaks AS (
    SELECT user_id, min(local_day) AS started, max(local_day) AS ended, count(*) AS days FROM runs GROUP BY user_id, run
), longest AS (
    SELECT DISTINCT ON (user_id) * FROM streaks ORDER BY user_id, days DESC, started
)
SELECT l.user_id, u.username, l.days AS streak_days, l.started AS streak_started_on, l.ended AS streak_ended_on,
       coalesce((SELECT s.days FROM streaks s WHERE s.user_id = l.user_id
                   AND s.ended >= (now() AT TIME ZONE u.user_timezone)::date - 1
                   AND s.started <= (now() AT TIME ZONE u.user_timezone)::date), 0) AS current_streak_days
FROM longest l JOIN {SCHEMA}.users u ON u.id = l.user_id
WHERE l.days >= :days ORDER BY l.days DESC, l.user_id LIMIT :limit
"""


def engine(url: str) -> Engine:
    """Connect to a PostgreSQL by its `postgresql://` URL."""
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"), pool_size=8)


def prepare(url: str) -> None:
    """Make the service's tables, with what Laurels has in its read models."""
    made = engine(url)
    with made.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        Base.metadata.create_all(connection)
        for statement in FILL:
            connection.execute(text(statement))
    with made.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    made.dispose()


def create_app() -> Flask:
    """Return the service over the database that the environment names."""
    app = Flask(__name__)
    sessions = sessionmaker(engine(os.environ[ADDRESS]))

    @app.get("/users/<username>/")
    def user(username: str) -> ResponseReturnValue:
        with sessions() as session:
            found = _user(session, username)
            return jsonify(
                user_id=found.id,
                username=found.username,
                user_language=found.user_language,
                user_timezone=found.user_timezone,
                created_at=_moment(found.created_at),
                updated_at=_moment(found.updated_at),
            )

    @app.get("/users/<username>/achievements/")
    def awards(username: str) -> ResponseReturnValue:
        with sessions() as session:
            asked = (
                select(Award)
                .where(Award.user_id == _user(session, username).id)
                .order_by(desc(Award.awarded_at), desc(Award.id))
                .limit(int(request.args.get("limit", 50)))
                .options(joinedload(Award.user), joinedload(Award.achievement))
            )
            return jsonify([_award(award) for award in session.scalars(asked)])

    @app.post("/users/<username>/achievements/")
    def award(username: str) -> ResponseReturnValue:
        with sessions.begin() as session:
            achievement = session.get(Achievement, request.get_json()["achievement_id"])
            if achievement is None:
                abort(404)
            now = datetime.now(UTC)
            made = Award(
                user=_user(session, username),
                achievement=achievement,
                points=achievement.point,
                awarded_at=now,
                local_day=now.date(),
                recorded_at=now,
            )
            session.add(made)
            session.flush()
            return jsonify(_award(made)), 201

    @app.get("/users/achievements-stats/max-count/")
    def max_count() -> ResponseReturnValue:
        return jsonify(_first(sessions, MAX_COUNT))

    @app.get("/users/achievements-stats/max-points/")
    def max_points() -> ResponseReturnValue:
        return jsonify(_first(sessions, MAX_POINTS))

    @app.get("/users/achievements-stats/max-min-difference/")
    def difference() -> ResponseReturnValue:
        with sessions() as session:
            highest, lowest = (session.execute(text(query)).one() for query in (HIGHEST, LOWEST))
            higher = session.execute(text(CLOSEST)).one()
            of = {"points": higher.total_points - higher.gap, "other": higher.user_id}
            lower = session.execute(text(FIRST_AT), of).one()
            return jsonify(
                max_difference=highest.total_points - lowest.total_points,
                users_with_max_difference={"max_points_user": _points(highest), "min_points_user": _points(lowest)},
                min_difference=higher.gap,
                users_with_min_difference={"higher_points_user": _points(higher), "lower_points_user": _points(lower)},
            )

    @app.get("/users/achievements-stats/streak/")
    def streak() -> ResponseReturnValue:
        with sessions() as session:
            rows = session.execute(text(STREAKS), {"days": int(request.args.get("days", 7)), "limit": 50})
            return jsonify([{name: _plain(value) for name, value in row.items()} for row in rows.mappings()])

    return app


def _user(session: Session, username: str) -> User:
    found = session.scalar(select(User).where(User.username == username))
    if found is None:
        abort(404)
    return found


def _first(sessions: sessionmaker[Session], query: str) -> dict[str, Any]:
    with sessions() as session:
        return dict(session.execute(text(query)).mappings().one())


def _points(row: Row[Any]) -> dict[str, Any]:
    return {"user_id": row.user_id, "username": row.username, "total_points": row.total_points}


def _award(award: Award) -> dict[str, Any]:
    return {
        "award_id": award.id,
        "user_id": award.user.id,
        "username": award.user.username,
        "user_language": award.user.user_language,
        "achievement_id": award.achievement.id,
        "achievement_name": award.achievement.name,
        "achievement_description": award.achievement.description,
        "achievement_language": award.achievement.language,
        "achievement_point": award.points,
        "awarded_at": _moment(award.awarded_at),
        "recorded_at": _moment(award.recorded_at),
    }


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


def _moment(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
