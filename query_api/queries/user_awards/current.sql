-- A page is one text: as rows its two hundred values would cost more to pass on than to find. Times are formatted as
-- the command's response formats them. A user without awards has an empty page. An award whose achievement has not
-- arrived is not shown.
SELECT page.*, EXISTS (SELECT FROM incomplete_users i WHERE i.user_id = u.user_id) AS incomplete
FROM :named_user u
CROSS JOIN LATERAL (
    SELECT '[' || coalesce(array_to_string((array_agg(award))[:$4], ','), '') || ']' AS awards,
           count(*) > $4 AS goes_on, (array_agg(awarded_at))[$4] AS awarded_at, (array_agg(award_id))[$4] AS award_id
    FROM (
        SELECT w.awarded_at, w.award_id, (SELECT row_to_json(shown) FROM (
            SELECT w.award_id, u.user_id, u.username, u.user_language, w.achievement_id, w.achievement_name,
                   w.achievement_description, w.achievement_language, w.points AS achievement_point,
                   to_char(w.awarded_at, CASE w.awarded_at WHEN date_trunc('second', w.awarded_at)
                       THEN 'YYYY-MM-DD"T"HH24:MI:SS"Z"' ELSE 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' END) AS awarded_at,
                   to_char(w.recorded_at, CASE w.recorded_at WHEN date_trunc('second', w.recorded_at)
                       THEN 'YYYY-MM-DD"T"HH24:MI:SS"Z"' ELSE 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' END) AS recorded_at
        ) shown)::text AS award
        FROM (
            SELECT a.*, coalesce(translated.name, own.name) AS achievement_name,
                   coalesce(translated.description, own.description) AS achievement_description,
                   coalesce(translated.language, own.language) AS achievement_language
            FROM user_awards a
            JOIN achievements c ON c.achievement_id = a.achievement_id
            JOIN achievement_texts own
                ON own.achievement_id = a.achievement_id AND own.language = c.achievement_language
            LEFT JOIN achievement_texts translated
                ON translated.achievement_id = a.achievement_id AND translated.language = u.user_language
            WHERE a.user_id = u.user_id
              AND (a.awarded_at, a.award_id) < ($2::timestamptz, $3::bigint)
            ORDER BY a.awarded_at DESC, a.award_id DESC
            LIMIT $4 + 1
        ) w
    ) awards
) page
