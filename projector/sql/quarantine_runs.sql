-- Where a run goes on, or is read again after a restart, there is a row that it begins in or right after.
WITH run AS (
    SELECT r.*, known.quarantine_id, known.last AS known_last
    FROM unnest($2::smallint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::text[])
        AS r (partition, first, last, record, error)
    LEFT JOIN LATERAL (
        SELECT quarantine_id, position, record, error,
               kafka_offset AS first, coalesce(last_offset, kafka_offset) AS last
        FROM quarantine q WHERE q.generation = $1 AND q.partition = r.partition AND q.kafka_offset <= r.first
        ORDER BY kafka_offset DESC, quarantine_id DESC LIMIT 1
    ) AS known ON known.position IS NULL AND known.last >= r.first - 1 AND known.error = r.error
        AND (known.first < r.first OR known.record IS NOT DISTINCT FROM r.record)
), longer AS (
    UPDATE quarantine q SET last_offset = run.last FROM run
    WHERE q.quarantine_id = run.quarantine_id AND run.last > run.known_last
)
INSERT INTO quarantine (generation, partition, kafka_offset, last_offset, record, error, applied)
SELECT $1, partition, first, last, record, error, true FROM run WHERE quarantine_id IS NULL
RETURNING partition, kafka_offset, error
