INSERT INTO write_model.holdings (user_id, achievement_id)
SELECT f.user_id, a.achievement_id
FROM facts f JOIN write_model.achievements a ON a.achievement_id = (f.data ->> 'achievement_id')::bigint
WHERE f.type = 'achievement-awarded' AND NOT a.repeatable
    AND NOT EXISTS (SELECT FROM write_model.revocations r WHERE r.award_id = f.position)
