SELECT count(*) OVER () AS differing, side, text FROM (
    SELECT 'missing' AS side, t::text AS text FROM ((:wanted) EXCEPT ALL (:found)) AS t
    UNION ALL
    SELECT 'unexpected', t::text FROM ((:found) EXCEPT ALL (:wanted)) AS t
) AS d ORDER BY text, side LIMIT $1
