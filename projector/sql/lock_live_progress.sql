SELECT p.generation FROM progress p JOIN generations g USING (generation) WHERE g.state = 'live'
ORDER BY p.partition FOR UPDATE OF p
