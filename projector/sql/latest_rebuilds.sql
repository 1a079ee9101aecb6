:rebuilds
ORDER BY r.rebuild_id DESC LIMIT 100
