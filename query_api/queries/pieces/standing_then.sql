-- The awards that were not revoked at position $1, up to the time $2 (null for any). An award that was revoked later
-- counted then, and its revocation repeats what it said. One that is still in user_awards, because the revocation is
-- not projected yet, is not taken twice.
standing AS (
    SELECT user_id, award_id, points, local_day FROM user_awards
    WHERE award_id <= $1::bigint AND awarded_at <= coalesce($2::timestamptz, 'infinity')
    UNION ALL
    SELECT r.user_id, r.award_id, r.points, r.local_day
    FROM (
        SELECT user_id, (data ->> 'award_id')::bigint AS award_id, (data ->> 'points')::integer AS points,
               (data ->> 'awarded_at')::timestamptz AS awarded_at, (data ->> 'local_day')::date AS local_day
        FROM events WHERE type = 'award-revoked' AND position > $1
    ) r
    WHERE r.award_id <= $1 AND r.awarded_at <= coalesce($2, 'infinity')
      AND NOT EXISTS (
        SELECT FROM user_awards a
        WHERE a.user_id = r.user_id AND a.awarded_at = r.awarded_at AND a.award_id = r.award_id)
)
