SELECT count(*) FROM events WHERE :range
