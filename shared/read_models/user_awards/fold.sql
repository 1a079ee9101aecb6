-- NOT IN becomes a hashed lookup whatever size the planner expects `batch` to have; NOT EXISTS would not.
CREATE OR REPLACE FUNCTION pg_temp.fold_user_awards() RETURNS void LANGUAGE plpgsql AS $fold$
BEGIN
    WITH revoked AS (
        DELETE FROM user_awards a USING batch b
        WHERE b.type = 'award-revoked'
          AND (a.user_id, a.awarded_at, a.award_id) = (b.user_id, b.awarded_at, b.award_id)
    )
    INSERT INTO user_awards (user_id, awarded_at, award_id, achievement_id, points, local_day, recorded_at)
    SELECT user_id, awarded_at, award_id, achievement_id, points, local_day, recorded_at
    FROM batch
    WHERE type = 'achievement-awarded'
      AND award_id NOT IN (SELECT award_id FROM batch WHERE type = 'award-revoked');
END $fold$;
