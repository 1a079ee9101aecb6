"""Questions about users."""

from typing import Final

from query_api.reading import Lookup

COLUMNS: Final = "user_id, username, user_language, user_timezone, created_at, updated_at"

# Two users may have the same key for a moment, while a name passes from one to the other: the later holder has it.
USER_BY_NAME: Final = Lookup(
    f"SELECT {COLUMNS} FROM {{g}}.users WHERE username_key = $1 ORDER BY updated_position DESC LIMIT 1", ("text",)
)

USERS: Final = f"""
SELECT {COLUMNS} FROM {{g}}.users WHERE user_id > $1 ORDER BY user_id LIMIT $2
"""
