-- An append takes its time while it holds a lock on log_head. So later events have later times once no session holds
-- that lock, and also once the head has passed the moment.
SELECT clock_timestamp() < $1 AS future,
       clock_timestamp() > $1 AND (
           (SELECT recorded_at > $1 FROM log_head)
           OR NOT EXISTS (
               SELECT FROM pg_locks
               WHERE relation = 'log_head'::regclass AND mode IN ('RowShareLock', 'RowExclusiveLock')
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))) AS settled
