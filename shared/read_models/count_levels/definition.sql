SELECT total_achievements, count(*) FROM defined_totals GROUP BY total_achievements
