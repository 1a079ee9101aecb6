-- Before a user's row is deleted, the levels are told what the user's totals were.
INSERT INTO total_changes (old_achievements, old_points)
SELECT total_achievements, total_points FROM user_totals WHERE user_id = $1
