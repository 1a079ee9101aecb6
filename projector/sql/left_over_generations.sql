SELECT generation FROM generations g WHERE state = 'building'
AND NOT EXISTS (SELECT FROM rebuilds r WHERE r.generation = g.generation AND r.state = 'running')
