-- What came from the log knows no offsets, and would be followed from the beginning of the topic. Where it is behind the
-- live one, what lies between is missing from the records, and so comes from the log.
UPDATE progress p SET kafka_offset = l.kafka_offset FROM progress l JOIN generations g USING (generation)
WHERE g.state = 'live' AND p.generation = $1 AND p.partition = l.partition AND p.kafka_offset IS NULL
