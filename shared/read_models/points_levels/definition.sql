SELECT total_points, count(*), total_points - lag(total_points) OVER (ORDER BY total_points)
FROM defined_totals WHERE total_achievements > 0 GROUP BY total_points
