UPDATE progress p SET position = l.position FROM progress l
WHERE p.generation = $1 AND l.generation = $2 AND p.partition = l.partition
