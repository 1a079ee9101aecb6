REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO laurels_command, laurels_relay, laurels_projector, laurels_query;
GRANT SELECT ON alembic_version, events, log_head, generations, rebuilds, progress, partition_troubles
    TO laurels_command, laurels_relay, laurels_projector, laurels_query;

GRANT INSERT ON events TO laurels_command;
GRANT UPDATE ON log_head TO laurels_command;
GRANT USAGE ON SCHEMA write_model TO laurels_command, laurels_relay, laurels_projector;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    write_model.users, write_model.achievements, write_model.achievement_texts, write_model.holdings,
    write_model.revocations, write_model.idempotency
    TO laurels_command;

GRANT SELECT, UPDATE ON write_model.relay_lease TO laurels_relay;
-- Projectors compare what was published, and where, with what they get.
GRANT SELECT ON write_model.relay_lease TO laurels_projector;

GRANT INSERT, UPDATE, DELETE ON generations, rebuilds, progress, partition_troubles TO laurels_projector;
GRANT SELECT, INSERT, UPDATE, DELETE ON quarantine TO laurels_projector;
GRANT SELECT ON quarantine TO laurels_query;
