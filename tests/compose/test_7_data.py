"""`down` and `up`: what stays, and what a changed .env changes."""

import httpx

from tests.compose.project import ADMIN_TOKEN, PASSWORD, Project

TOKEN = "producers-only-0123456789"
LEADER = "/users/achievements-stats/max-points/"


def test_the_data_outlive_their_containers(composed: Project) -> None:
    """After down and up everything is there, in the declared volumes alone, and the new settings hold."""
    before = httpx.get(composed.api + LEADER, timeout=30).json()
    composed.compose("down", "-t", "5")
    declared = {f"{composed.name}_{name}" for name in ("postgres", "kafka", "exports")}
    ours = {name for name in composed.volumes() if composed.engine.is_ours or name.startswith(composed.name)}

    composed.write_settings(
        LAURELS_PORT=str(composed.port),
        POSTGRES_PASSWORD=PASSWORD,
        LAURELS_ADMIN_TOKENS=ADMIN_TOKEN,
        LAURELS_WRITE_TOKENS=TOKEN,
    )
    composed.up()

    assert declared == ours
    assert before == httpx.get(composed.api + LEADER, timeout=30).json()
    user = {"username": "afterwards", "user_language": "en"}
    assert 401 == httpx.post(f"{composed.api}/users/", json=user, timeout=30).status_code
    with_token = {"Authorization": f"Bearer {TOKEN}"}
    assert 201 == httpx.post(f"{composed.api}/users/", json=user, headers=with_token, timeout=30).status_code
