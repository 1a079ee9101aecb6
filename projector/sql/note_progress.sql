UPDATE rebuilds SET phase = $2, position = $3, target = $4, events_per_second = $5, error = NULL WHERE rebuild_id = $1
