-- Those that were served before, the latest first; what an interrupted rebuild left is none of them.
SELECT generation, version FROM generations
WHERE state = 'standby' AND served_until IS NOT NULL ORDER BY served_until DESC
