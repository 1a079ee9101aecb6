-- Sub-selects, so that neither is computed again for every row.
SELECT (:served) AS served,
       (SELECT read_position(current_setting('laurels.generation')::integer)) AS read_position,
       asked.number, answer.*
FROM :asked
LEFT JOIN LATERAL (SELECT true AS found, q.* FROM (:question) AS q) AS answer ON true
