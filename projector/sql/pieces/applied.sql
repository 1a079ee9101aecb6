-- The parts of the log that have been projected, without what is in quarantine.
position <= (:projected::bigint[])[partition + 1] AND position NOT IN (
    SELECT position FROM quarantine WHERE generation = :generation AND NOT applied AND position IS NOT NULL)
