CREATE TEMPORARY TABLE IF NOT EXISTS batch (
    position bigint, partition smallint, type text, user_id bigint, recorded_at timestamptz, data jsonb,
    award_id bigint, achievement_id bigint, points integer, awarded_at timestamptz, local_day date,
    :complete_award
) ON COMMIT DELETE ROWS
