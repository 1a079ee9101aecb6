-- A running rebuild holds a lock; one that is unfinished without it failed, or was interrupted.
SELECT r.rebuild_id, r.generation, r.transport, r.options ->> 'projection' AS projection,
       (r.options -> 'keep')::integer AS keep, (r.options -> 'dry_run')::boolean AS dry_run,
       t.state, r.phase, r.position, r.target, r.events_per_second,
       CASE WHEN t.state = 'running' AND r.phase IN ('load', 'catch up') AND r.events_per_second > 0
            THEN (r.target - r.position) / r.events_per_second END AS seconds_left,
       r.error, r.started_at, r.finished_at
FROM rebuilds r, LATERAL (
    SELECT CASE
        WHEN r.state = 'done' THEN CASE WHEN (r.options -> 'dry_run')::boolean THEN 'compared' ELSE 'switched' END
        WHEN r.state <> 'running' THEN r.state
        WHEN r.error IS NOT NULL THEN 'failed'
        WHEN (:rebuild_is_running) THEN 'running'
        ELSE 'interrupted' END AS state
) AS t
