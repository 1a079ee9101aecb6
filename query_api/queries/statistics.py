"""Questions about the ranking. Each looks up the ends of an index: none depends on how many users there are.

With `$1` true, users who hold nothing count too; they stand at 0 since they were registered.
"""

from typing import Final

# The levels say which value is the greatest and how many stand there, the ranking who reached it first.
MAX_COUNT: Final = """
SELECT u.user_id, u.username, top.total_achievements, top.users AS tied_users,
       EXISTS (SELECT FROM {g}.incomplete_users i WHERE i.user_id = u.user_id) AS incomplete
FROM (
    SELECT total_achievements, users FROM {g}.count_levels
    WHERE total_achievements > 0 OR $1::boolean
    ORDER BY total_achievements DESC LIMIT 1
) top
CROSS JOIN LATERAL (
    SELECT t.user_id FROM {g}.user_totals t
    WHERE t.total_achievements = top.total_achievements
    ORDER BY t.count_position, t.user_id LIMIT 1
) leader
JOIN {g}.users u ON u.user_id = leader.user_id
"""

# Everybody's levels: those of users with awards, with the ones without any joining level 0.
LEVELS: Final = """
levels AS (
    SELECT (SELECT max(total_points) FROM {g}.points_levels) AS highest_awarded,
           (SELECT min(total_points) FROM {g}.points_levels) AS lowest_awarded,
           coalesce((SELECT users FROM {g}.count_levels WHERE total_achievements = 0 AND $1::boolean), 0) AS unawarded
), ends AS (
    SELECT coalesce(highest_awarded, 0) AS highest,
           CASE WHEN unawarded > 0 THEN 0 ELSE lowest_awarded END AS lowest,
           unawarded, lowest_awarded
    FROM levels
    WHERE highest_awarded IS NOT NULL OR unawarded > 0
)
"""

# The n users who reached a level first. At 0 there are two kinds, each with its own index.
FIRST_AT: Final = """
(
    (SELECT user_id, total_points, points_position FROM {{g}}.user_totals
     WHERE total_achievements > 0 AND total_points = {level} ORDER BY points_position, user_id LIMIT {count})
    UNION ALL
    (SELECT user_id, total_points, points_position FROM {{g}}.user_totals
     WHERE $1::boolean AND {level} = 0 AND total_achievements = 0 ORDER BY count_position, user_id LIMIT {count})
    ORDER BY points_position, user_id LIMIT {count}
)
"""


def _first_at(level: str, count: int = 1) -> str:
    return FIRST_AT.format(level=level, count=count).replace("{{g}}", "{g}")


MAX_POINTS: Final = f"""
WITH {LEVELS}
SELECT u.user_id, u.username, leader.total_points,
       coalesce((SELECT users FROM {{g}}.points_levels l WHERE l.total_points = ends.highest), 0)
           + CASE WHEN ends.highest = 0 THEN ends.unawarded ELSE 0 END AS tied_users,
       EXISTS (SELECT FROM {{g}}.incomplete_users i WHERE i.user_id = u.user_id) AS incomplete
FROM ends
CROSS JOIN LATERAL {_first_at("ends.highest")} leader
JOIN {{g}}.users u ON u.user_id = leader.user_id
"""

# The smallest difference is 0 at a level that two share, else the smallest gap; of equal ones, that with most points.
CLOSEST: Final = """
closest AS (
    SELECT difference, higher
    FROM (
        (SELECT 0 AS difference, total_points AS higher FROM {g}.points_levels
         WHERE users > 1 ORDER BY total_points DESC LIMIT 1)
        UNION ALL
        (SELECT 0, 0 FROM ends
         WHERE unawarded > 1
            OR (unawarded = 1 AND EXISTS (SELECT FROM {g}.points_levels l WHERE l.total_points = 0)))
        UNION ALL
        (SELECT gap_below, total_points FROM {g}.points_levels
         WHERE gap_below IS NOT NULL ORDER BY gap_below, total_points DESC LIMIT 1)
        UNION ALL
        (SELECT lowest_awarded, lowest_awarded FROM ends WHERE unawarded > 0 AND lowest_awarded > 0)
    ) candidates
    ORDER BY difference, higher DESC
    LIMIT 1
)
"""

DIFFERENCE: Final = f"""
WITH {LEVELS}, {CLOSEST}
SELECT ends.highest - ends.lowest AS max_difference,
       top.user_id AS top_id, top_user.username AS top_name, ends.highest AS top_points,
       bottom.user_id AS bottom_id, bottom_user.username AS bottom_name, ends.lowest AS bottom_points,
       closest.difference AS min_difference,
       higher.user_id AS higher_id, higher_user.username AS higher_name, closest.higher AS higher_points,
       lower.user_id AS lower_id, lower_user.username AS lower_name,
       closest.higher - closest.difference AS lower_points,
       ARRAY(SELECT user_id FROM {{g}}.incomplete_users i
             WHERE i.user_id IN (top.user_id, bottom.user_id, higher.user_id, lower.user_id)) AS incomplete
FROM ends
CROSS JOIN LATERAL {_first_at("ends.highest")} top
JOIN {{g}}.users top_user ON top_user.user_id = top.user_id
CROSS JOIN LATERAL {_first_at("ends.lowest")} bottom
JOIN {{g}}.users bottom_user ON bottom_user.user_id = bottom.user_id
LEFT JOIN closest ON true
LEFT JOIN LATERAL {_first_at("closest.higher")} higher ON true
LEFT JOIN {{g}}.users higher_user ON higher_user.user_id = higher.user_id
LEFT JOIN LATERAL (
    SELECT candidate.* FROM {_first_at("(closest.higher - closest.difference)", 2)} candidate
    WHERE candidate.user_id <> higher.user_id
    ORDER BY points_position, user_id LIMIT 1
) lower ON true
LEFT JOIN {{g}}.users lower_user ON lower_user.user_id = lower.user_id
"""
