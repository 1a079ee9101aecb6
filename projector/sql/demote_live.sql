UPDATE generations SET state = 'standby', served_until = clock_timestamp() WHERE state = 'live' RETURNING generation
