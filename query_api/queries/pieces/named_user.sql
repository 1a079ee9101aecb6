-- While a name passes from one user to another, two may have the same key for a moment: the later holder has it.
(SELECT * FROM users WHERE username_key = $1 ORDER BY updated_position DESC LIMIT 1)
