UPDATE progress p SET position = a.new, kafka_offset = coalesce(a.kafka_offset, p.kafka_offset)
FROM unnest($2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    AS a (partition, old, new, epoch, kafka_offset)
WHERE p.generation = $1 AND p.partition = a.partition AND p.position = a.old AND p.epoch = a.epoch
