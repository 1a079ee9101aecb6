-- A run got its length with the award that filled its last gap: of each day the earliest award, of these the latest.
(
    SELECT max(award_id)
    FROM (
        SELECT min(a.award_id) AS award_id FROM user_awards a
        WHERE a.user_id = u.user_id AND a.local_day BETWEEN run.first AND run.last
          AND a.awarded_at BETWEEN run.first - interval '3 days' AND run.last + interval '3 days'
        GROUP BY a.local_day
    ) days
)
