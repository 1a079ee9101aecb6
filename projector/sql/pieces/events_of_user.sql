user_id = $1 AND :applicable
