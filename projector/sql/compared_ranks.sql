-- Ranks by points as they are and as they would be, for the transaction.
CREATE TEMPORARY TABLE compared ON COMMIT DROP AS
SELECT n.user_id, n.username, o.place AS place_before, n.place,
       o.total_points AS points_before, n.total_points AS points,
       coalesce(o.streak_days, 0) AS streak_before, coalesce(n.streak_days, 0) AS streak
FROM (:would_be) n
JOIN (:as_it_is) o USING (user_id)
