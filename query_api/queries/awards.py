"""Questions about awards."""

from typing import Final

from query_api.reading import Lookup

# The user comes with no award at all where there is none. An award whose achievement has not arrived is not shown.
USER_AWARDS: Final = Lookup(
    """
SELECT w.award_id, u.user_id, u.username, u.user_language, w.achievement_id, w.achievement_name,
       w.achievement_description, w.achievement_language, w.achievement_point, w.awarded_at, w.recorded_at,
       EXISTS (SELECT FROM {g}.incomplete_users i WHERE i.user_id = u.user_id) AS incomplete
FROM (SELECT * FROM {g}.users WHERE username_key = $1 ORDER BY updated_position DESC LIMIT 1) u
LEFT JOIN LATERAL (
    SELECT a.award_id, a.achievement_id, coalesce(translated.name, own.name) AS achievement_name,
           coalesce(translated.description, own.description) AS achievement_description,
           coalesce(translated.language, own.language) AS achievement_language,
           a.points AS achievement_point, a.awarded_at, a.recorded_at
    FROM {g}.user_awards a
    JOIN {g}.achievements c ON c.achievement_id = a.achievement_id
    JOIN {g}.achievement_texts own
        ON own.achievement_id = a.achievement_id AND own.language = c.achievement_language
    LEFT JOIN {g}.achievement_texts translated
        ON translated.achievement_id = a.achievement_id AND translated.language = u.user_language
    WHERE a.user_id = u.user_id
      AND (a.awarded_at, a.award_id) < ($2::timestamptz, $3::bigint)
    ORDER BY a.awarded_at DESC, a.award_id DESC
    LIMIT $4
) w ON true
""",
    ("text", "timestamptz", "bigint", "int"),
)
