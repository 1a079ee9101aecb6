SELECT count(*) FILTER (WHERE place <> place_before) AS moved,
       count(*) FILTER (WHERE streak <> streak_before) AS streaks
FROM compared
