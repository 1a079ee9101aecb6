-- The level of each role in the two differences, from `ends` and `closest`.
wanted AS (
    SELECT w.role, w.level
    FROM ends
    LEFT JOIN closest ON true
    CROSS JOIN LATERAL (
        VALUES ('top', ends.highest), ('bottom', ends.lowest), ('higher', closest.higher),
               ('lower', closest.higher - closest.difference)
    ) AS w (role, level)
)
