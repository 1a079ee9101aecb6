"""Questions about where a user's numbers come from."""

from typing import Final

from query_api.queries.streaks import CURRENT_RUN, TODAY
from query_api.reading import Lookup

# Events that the answers of today do not show yet explain nothing. The user comes with no event at all after the last.
EVENTS: Final = """
SELECT e.position, e.event_id, e.type, e.schema_version, e.recorded_at, e.data,
       EXISTS (SELECT FROM {g}.incomplete_users i WHERE i.user_id = u.user_id) AS incomplete
FROM (SELECT * FROM {g}.users WHERE username_key = $1 ORDER BY updated_position DESC LIMIT 1) u
LEFT JOIN LATERAL (
    SELECT l.position, l.event_id, l.type, l.schema_version, l.recorded_at, l.data::text AS data
    FROM events l
    JOIN progress p ON p.generation = {generation} AND p.partition = l.partition AND p.position >= l.position
    WHERE l.user_id = u.user_id AND l.position > $2
    ORDER BY l.position
    LIMIT $3
) e ON true
ORDER BY e.position
"""

# A run got its length with the award that filled its last gap: of each day the earliest award, of these the latest.
_REACHED: Final = """
(
    SELECT max(award_id)
    FROM (
        SELECT min(a.award_id) AS award_id FROM {{g}}.user_awards a
        WHERE a.user_id = u.user_id AND a.local_day BETWEEN {first} AND {last}
          AND a.awarded_at BETWEEN {first} - interval '3 days' AND {last} + interval '3 days'
        GROUP BY a.local_day
    ) days
)
"""


def _reached(first: str, last: str) -> str:
    return _REACHED.format(first=first, last=last)


# $2 is the day that it is in each time zone, as for all questions about streaks.
STATS: Final = Lookup(
    f"""
SELECT u.user_id, u.username,
       t.total_achievements, t.count_position AS total_achievements_position,
       t.total_points, t.points_position AS total_points_position,
       coalesce(s.streak_days, 0) AS streak_days, s.streak_started_on, longest.ended_on AS streak_ended_on,
       {_reached("s.streak_started_on", "longest.ended_on")} AS streak_position,
       coalesce(upper(current.run) - lower(current.run), 0) AS current_streak_days,
       {_reached("lower(current.run)", "(upper(current.run) - 1)")} AS current_streak_position,
       EXISTS (SELECT FROM {{g}}.incomplete_users i WHERE i.user_id = u.user_id) AS incomplete
FROM (SELECT * FROM {{g}}.users WHERE username_key = $1 ORDER BY updated_position DESC LIMIT 1) u
JOIN {{g}}.user_totals t ON t.user_id = u.user_id
LEFT JOIN {{g}}.user_streaks s ON s.user_id = u.user_id
LEFT JOIN LATERAL (SELECT s.streak_started_on + s.streak_days - 1 AS ended_on) longest ON true
{TODAY.format(days="$2", zone="u.user_timezone")}
{CURRENT_RUN}
""",
    ("text",),
)
