"""Questions about awards."""

from typing import Final

from query_api.reading import Lookup

# As `to_json` writes moments, so that an award reads here as it was answered to the command that made it.
MOMENT: Final = """
to_char({moment}, CASE {moment} WHEN date_trunc('second', {moment}) THEN 'YYYY-MM-DD"T"HH24:MI:SS"Z"'
                  ELSE 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' END)
"""

# The page is one text: as rows its two hundred values would cost more to pass on than to find. The user comes without
# awards where there are none. An award whose achievement has not arrived is not shown.
USER_AWARDS: Final = Lookup(
    """
SELECT page.*, EXISTS (SELECT FROM {g}.incomplete_users i WHERE i.user_id = u.user_id) AS incomplete
FROM (SELECT * FROM {g}.users WHERE username_key = $1 ORDER BY updated_position DESC LIMIT 1) u
CROSS JOIN LATERAL (
    SELECT '[' || coalesce(array_to_string((array_agg(award))[:$4], ','), '') || ']' AS awards,
           count(*) > $4 AS goes_on, (array_agg(awarded_at))[$4] AS awarded_at, (array_agg(award_id))[$4] AS award_id
    FROM (
        SELECT w.awarded_at, w.award_id, (SELECT row_to_json(shown) FROM (
            SELECT w.award_id, u.user_id, u.username, u.user_language, w.achievement_id, w.achievement_name,
                   w.achievement_description, w.achievement_language, w.points AS achievement_point,
                   {awarded_at} AS awarded_at, {recorded_at} AS recorded_at
        ) shown)::text AS award
        FROM (
            SELECT a.*, coalesce(translated.name, own.name) AS achievement_name,
                   coalesce(translated.description, own.description) AS achievement_description,
                   coalesce(translated.language, own.language) AS achievement_language
            FROM {g}.user_awards a
            JOIN {g}.achievements c ON c.achievement_id = a.achievement_id
            JOIN {g}.achievement_texts own
                ON own.achievement_id = a.achievement_id AND own.language = c.achievement_language
            LEFT JOIN {g}.achievement_texts translated
                ON translated.achievement_id = a.achievement_id AND translated.language = u.user_language
            WHERE a.user_id = u.user_id
              AND (a.awarded_at, a.award_id) < ($2::timestamptz, $3::bigint)
            ORDER BY a.awarded_at DESC, a.award_id DESC
            LIMIT $4 + 1
        ) w
    ) awards
) page
""".replace("{awarded_at}", MOMENT.replace("{moment}", "w.awarded_at")).replace(
        "{recorded_at}", MOMENT.replace("{moment}", "w.recorded_at")
    ),
    ("text", "timestamptz", "bigint", "int"),
    limit=8,
)
