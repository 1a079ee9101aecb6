SELECT min(position) FROM (
    SELECT position, row_number() OVER (PARTITION BY data -> 'award_id' ORDER BY position) AS number
    FROM facts WHERE type = 'award-revoked'
) AS revocations WHERE number > 1
