-- A commit alone does not show a full disk: its WAL fits into a segment that exists. What is spilled makes a file grow,
-- by about a megabyte, without a row to clean up.
SET LOCAL lock_timeout = '500ms';
SET LOCAL work_mem = '64kB';
SELECT count(*) FROM generate_series(1, 40000);
UPDATE log_head SET position = position
