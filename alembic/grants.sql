-- Who may do what in the database as the newest migration leaves it. Nothing runs this file but the test that builds a
-- database from the tables, functions and grants as the code declares them, and compares it with the migrations'.
-- A generation's own grants are made with it (projector/generation.py).
DO $$ BEGIN
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO laurels_command, laurels_relay, laurels_projector, laurels_query', current_database());
    EXECUTE format('GRANT CREATE ON DATABASE %I TO laurels_projector', current_database());
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO laurels_command, laurels_relay, laurels_projector, laurels_query;
GRANT USAGE ON SCHEMA write_model TO laurels_command, laurels_relay, laurels_projector;

-- laurels_command appends, and keeps the write model.
GRANT SELECT ON alembic_version, log_head, events, generations, rebuilds, progress, partition_troubles TO laurels_command;
GRANT INSERT ON events TO laurels_command;
GRANT UPDATE ON log_head TO laurels_command;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    write_model.users, write_model.achievements, write_model.achievement_texts, write_model.holdings,
    write_model.revocations, write_model.idempotency
    TO laurels_command;

-- laurels_relay reads the log and moves its lease.
GRANT SELECT ON alembic_version, log_head, events, generations, rebuilds, progress, partition_troubles TO laurels_relay;
GRANT SELECT, UPDATE ON write_model.relay_lease TO laurels_relay;

-- laurels_projector keeps the generations and what is noted about them; it compares its records with the relay's lease.
GRANT SELECT ON alembic_version, log_head, events TO laurels_projector;
GRANT SELECT, INSERT, UPDATE, DELETE ON generations, rebuilds, progress, partition_troubles, quarantine
    TO laurels_projector;
GRANT SELECT ON write_model.relay_lease TO laurels_projector;

-- laurels_query reads.
GRANT SELECT ON alembic_version, log_head, events, generations, rebuilds, progress, partition_troubles, quarantine
    TO laurels_query;
