-- A group marks what it changed with the position of its last change, and the events of a group share their time.
WITH changes AS (
    SELECT (data ->> 'achievement_id')::bigint AS achievement_id, type, data, recorded_at,
        max(position) OVER (PARTITION BY recorded_at) AS changed_position
    FROM facts WHERE type IN ('achievement-defined', 'achievement-translated')
), latest AS (
    SELECT achievement_id, max(recorded_at) AS updated_at, max(changed_position) AS changed_position
    FROM changes GROUP BY achievement_id
)
INSERT INTO write_model.achievements
    (achievement_id, achievement_language, achievement_point, repeatable, created_at, updated_at, changed_position)
SELECT achievement_id, c.data ->> 'achievement_language', (c.data ->> 'achievement_point')::integer,
    (c.data ->> 'repeatable')::boolean, c.recorded_at, l.updated_at, l.changed_position
FROM changes c JOIN latest l USING (achievement_id) WHERE c.type = 'achievement-defined'
