type IN ('achievement-defined', 'achievement-translated') AND (data ->> 'achievement_id')::bigint = $1 AND :applicable
