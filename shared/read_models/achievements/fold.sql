-- A translation only moves updated_at.
CREATE OR REPLACE FUNCTION pg_temp.fold_achievements() RETURNS void LANGUAGE plpgsql AS $fold$
BEGIN
    INSERT INTO achievements AS a (achievement_id, achievement_language, achievement_point, repeatable,
                                   created_at, updated_at)
    SELECT achievement_id, data ->> 'achievement_language', (data ->> 'achievement_point')::int,
           (data ->> 'repeatable')::boolean, recorded_at, recorded_at
    FROM batch
    WHERE type = 'achievement-defined';

    UPDATE achievements a SET updated_at = b.updated_at
    FROM (SELECT achievement_id, max(recorded_at) AS updated_at FROM batch
          WHERE type = 'achievement-translated' GROUP BY achievement_id) b
    WHERE a.achievement_id = b.achievement_id;
END $fold$;
