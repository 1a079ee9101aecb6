"""Profiles, as reads show them."""

import sqlalchemy as sa

from projector.projections.projection import Projection

metadata = sa.MetaData()

users = sa.Table(
    "users",
    metadata,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("username", sa.Text, nullable=False),
    sa.Column("username_key", sa.Text, nullable=False),
    sa.Column("user_language", sa.Text, nullable=False),
    sa.Column("user_timezone", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_position", sa.BigInteger, nullable=False),
    # Not unique: when a name passes from one user to another, their partitions may be projected in either order.
    sa.Index("users_by_name", "username_key", sa.desc("updated_position")),
)

PROJECT = """
WITH latest AS (
    SELECT DISTINCT ON (user_id)
        user_id, data ->> 'username' AS username, data ->> 'username_key' AS username_key,
        data ->> 'user_language' AS user_language, data ->> 'user_timezone' AS user_timezone,
        min(recorded_at) OVER (PARTITION BY user_id) AS created_at, recorded_at AS updated_at, position
    FROM batch
    WHERE type IN ('user-created', 'user-changed')
    ORDER BY user_id, position DESC
)
INSERT INTO users AS u (user_id, username, username_key, user_language, user_timezone,
                        created_at, updated_at, updated_position)
SELECT user_id, username, username_key, user_language, user_timezone, created_at, updated_at, position FROM latest
ON CONFLICT (user_id) DO UPDATE SET
    username = excluded.username, username_key = excluded.username_key, user_language = excluded.user_language,
    user_timezone = excluded.user_timezone, updated_at = excluded.updated_at,
    updated_position = excluded.updated_position
"""

PROJECTION = Projection(name="users", tables=(users,), types=("user-created", "user-changed"), statements=(PROJECT,))
