-- Each user's totals before and after the batch: written by the fold of totals, read by those of the levels.
CREATE TEMPORARY TABLE IF NOT EXISTS total_changes (
    old_achievements bigint, old_points bigint, total_achievements bigint, total_points bigint
) ON COMMIT DELETE ROWS
