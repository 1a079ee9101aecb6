SELECT position, greatest(clock_timestamp(), recorded_at) AS recorded_at, partition_positions, catalogue_position,
       last_user_id, last_achievement_id
FROM log_head FOR UPDATE
