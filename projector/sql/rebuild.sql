:rebuilds
WHERE r.rebuild_id = $1
