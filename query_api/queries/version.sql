-- The rows of a partition may move before the Read-Position does, and a retried record moves rows and no position.
SELECT s.generation, p.progress, read_position(s.generation) AS position,
       (SELECT count(*) FROM quarantine q WHERE q.generation = s.generation AND NOT q.applied) AS quarantined
FROM (:served) AS s, LATERAL (
    SELECT sum(position)::bigint AS progress FROM progress WHERE generation = s.generation
) AS p
