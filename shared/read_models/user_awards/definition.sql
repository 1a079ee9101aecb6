SELECT user_id, awarded_at, award_id, achievement_id, points, local_day, recorded_at FROM batch
WHERE type = 'achievement-awarded' AND award_id NOT IN (SELECT award_id FROM batch WHERE type = 'award-revoked')
