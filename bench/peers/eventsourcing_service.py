"""Achievements with the library `eventsourcing` on PostgreSQL: an aggregate a user, and their totals projected."""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner

THREADS: Final = 8
PATIENCE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Given:
    """An award to make."""

    user_id: int
    achievement_id: int
    points: int


Totals = Mapping[int, tuple[int, int]]
"""Achievements and points of every user."""


class User(Aggregate):
    """A user, as the sum of their awards."""

    class Registered(Aggregate.Created):
        """The user exists."""

        user_id: int

    class Awarded(Aggregate.Event):
        """The user earned something."""

        user_id: int
        achievement_id: int
        points: int

    @event(Registered)
    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        self.achievements = 0
        self.points = 0

    @staticmethod
    def create_id(user_id: int) -> UUID:
        """Return the aggregate's id."""
        return uuid5(NAMESPACE_URL, f"/users/{user_id}")

    @event(Awarded)
    def award(self, user_id: int, achievement_id: int, points: int) -> None:
        """Earn an achievement."""
        del user_id, achievement_id
        self.achievements += 1
        self.points += points


class Awards(Application[UUID]):
    """What the service does."""

    def register(self, user_id: int) -> None:
        """Register a user."""
        self.save(User(user_id))

    def award_each(self, awards: Iterable[Given]) -> None:
        """Make the awards, one after another."""
        for given in awards:
            user: User = self.repository.get(User.create_id(given.user_id))
            user.award(given.user_id, given.achievement_id, given.points)
            self.save(user)


class TotalsView(PostgresTrackingRecorder):
    """The table of totals."""

    def __init__(self, datastore: PostgresDatastore, **kwargs: Any) -> None:  # noqa: ANN401 - the library's own
        super().__init__(datastore, **kwargs)
        self._table = f"{self.tracking_table_name}_totals"

    def _create_table(self, curs: Any) -> None:  # noqa: ANN401 - the library's own
        super()._create_table(curs)
        curs.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} (user_id bigint PRIMARY KEY, achievements bigint, points bigint)"
        )

    def add(self, user_id: int, points: int, tracking: Tracking) -> None:
        """Count an award, once."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                f"INSERT INTO {self._table} AS t VALUES (%s, 1, %s) ON CONFLICT (user_id) DO UPDATE "
                "SET achievements = t.achievements + 1, points = t.points + excluded.points",
                (user_id, points),
                prepare=True,
            )

    def totals(self) -> Totals:
        """Return what was counted."""
        with self.datastore.transaction() as cursor:
            cursor.execute(f"SELECT user_id, achievements, points FROM {self._table}")
            return {row["user_id"]: (row["achievements"], row["points"]) for row in cursor.fetchall()}


class TotalsProjection(Projection[TotalsView]):
    """Counts awards."""

    name = "totals"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ANN401 - the library's own
        """Pass over what is no award."""
        del domain_event
        self.view.insert_tracking(tracking)

    @process_event.register
    def _(self, domain_event: User.Awarded, tracking: Tracking) -> None:
        self.view.add(domain_event.user_id, domain_event.points, tracking)


class RebuiltProjection(TotalsProjection):
    """The same once more, from the beginning into tables of its own."""

    name = "rebuilt"


def environment(url: str) -> dict[str, str]:
    """Return the library's settings for a PostgreSQL by its URL."""
    parts = urlsplit(url)
    where = parse_qs(parts.query)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.removeprefix("/"),
        "POSTGRES_HOST": where["host"][0],
        "POSTGRES_PORT": where["port"][0],
        "POSTGRES_USER": unquote(parts.username or ""),
        "POSTGRES_PASSWORD": unquote(parts.password or ""),
        "POSTGRES_POOL_SIZE": str(THREADS),
        "POSTGRES_MAX_OVERFLOW": str(THREADS),
    }


def award_all(url: str, users: Sequence[int], awards: Sequence[Given]) -> float:
    """Register the users and make the awards, each user's in order, over the threads; return awards a second."""
    app = Awards(environment(url))
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(app.register, users))
            shares = [[given for given in awards if given.user_id % THREADS == share] for share in range(THREADS)]
            started = time.perf_counter()
            list(pool.map(app.award_each, shares))
            return len(awards) / (time.perf_counter() - started)
    finally:
        app.close()


def project_all(url: str, *, rebuild: bool) -> tuple[float, Totals]:
    """Project everything that was recorded; return events a second, and the totals."""
    projection = RebuiltProjection if rebuild else TotalsProjection
    started = time.perf_counter()
    with ProjectionRunner(
        application_class=Awards, projection_class=projection, view_class=TotalsView, env=environment(url)
    ) as runner:
        last = runner.app.recorder.max_notification_id() or 0
        runner.wait(last, PATIENCE_SECONDS)
        return last / (time.perf_counter() - started), runner.projection.view.totals()
