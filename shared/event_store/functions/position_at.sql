-- The position of the last event that was recorded at a moment or before it. recorded_at never decreases as positions
-- increase, so a binary search finds it with a few lookups by key.
CREATE FUNCTION position_at(moment timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
    DECLARE
        low bigint := 0;
        high bigint := (SELECT position FROM log_head);
        middle bigint;
    BEGIN
        WHILE low < high LOOP
            middle := (low + high + 1) / 2;
            IF (SELECT recorded_at FROM events WHERE position = middle) <= moment THEN
                low := middle;
            ELSE
                high := middle - 1;
            END IF;
        END LOOP;
        RETURN low;
    END $$
