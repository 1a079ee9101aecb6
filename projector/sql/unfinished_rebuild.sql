SELECT r.rebuild_id, r.generation, r.phase, r.options::text AS options, g.version,
       g.state = 'live' AS is_live, g.state = 'standby' AND g.served_until IS NOT NULL AS rolled_back
FROM rebuilds r LEFT JOIN generations g USING (generation)
WHERE r.state = 'running' ORDER BY r.rebuild_id DESC LIMIT 1
