SELECT partition, user_id, convert_to(data::text, 'UTF8') AS record FROM events WHERE :range
