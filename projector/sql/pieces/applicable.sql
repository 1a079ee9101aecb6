position <= $2 AND position NOT IN (
    SELECT position FROM quarantine
    WHERE generation = $3 AND NOT applied AND position IS NOT NULL AND quarantine_id <> $4)
