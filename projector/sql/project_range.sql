-- Advances, fills and folds a short range of the log in one call. Whatever is unusual raises, and nothing is written.
CREATE OR REPLACE FUNCTION pg_temp.project_range(
    int, smallint[], bigint[], bigint[], bigint[], bigint[], bigint, bigint, bigint[]
) RETURNS void LANGUAGE plpgsql AS $project$
DECLARE affected bigint;
BEGIN
    :advance;
    GET DIAGNOSTICS affected = ROW_COUNT;
    IF affected <> cardinality($2) THEN RAISE EXCEPTION 'a partition is not at its old position'; END IF;
    :fill;
    GET DIAGNOSTICS affected = ROW_COUNT;
    IF affected <> $8 - $7 THEN RAISE EXCEPTION 'an event is missing, or of another version'; END IF;
    PERFORM pg_temp.fold();
END $project$
