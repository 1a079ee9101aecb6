CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the event log is append-only: % on % is refused', tg_op, tg_table_name
            USING errcode = 'insufficient_privilege';
    END $$
