INSERT INTO rebuilds (generation, transport, state, phase, options) VALUES ($1, $2, 'running', 'load', $3)
RETURNING rebuild_id
