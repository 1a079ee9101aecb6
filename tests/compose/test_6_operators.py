"""Every command of an operator, as the README shows it, by the service `laurels` of profile `tools`."""

import json
from pathlib import Path

import httpx

from tests.compose.project import ADMIN_TOKEN, PASSWORD, Project, until

BADGES = '<badges><row Id="1" UserId="2" Name="Teacher" Date="2015-03-03T16:00:00.000" Class="3" /></badges>'
GATEWAY = ("--url", "http://gateway:8000")
ELSEWHERE = "LAURELS_DATABASE_URL=postgresql://laurels@postgres/elsewhere"


def total(composed: Project) -> int:
    return int(json.loads(composed.compose("run", "--rm", "-T", "laurels", "status", "--json").stdout)["log_position"])


def test_read_models_are_rebuilt_verified_and_rolled_back(composed: Project) -> None:
    """What rebuilds and compares works beside the running services."""
    assert "Reads are served from generation" in composed.operate("rebuild")
    assert "Reads are served from generation 1 again" in composed.operate("rollback")
    assert "are what the log says" in composed.operate("verify")
    assert composed.operate("what-if", "--points", "First run=50")


def test_demo_data_and_dumps_come_in_by_the_gateway(composed: Project, tmp_path: Path) -> None:
    """The tools find the gateway by its name in the network, whatever LAURELS_HOSTS says; a dump is mounted."""
    before = total(composed)
    composed.operate("demo", *GATEWAY)
    after_demo = total(composed)
    (tmp_path / "Badges.xml").write_text(BADGES)
    tmp_path.chmod(0o755)
    mounted = ("run", "--rm", "-T", "-v", f"{tmp_path}:/dump:ro", "laurels")
    composed.compose(*mounted, "import", "stackexchange", "/dump", *GATEWAY)

    assert before < after_demo < total(composed)


def test_an_export_fills_another_database(composed: Project) -> None:
    """Exports are kept in a volume or printed; migrations and restore work on whatever database is named."""
    assert "are in log.zst" in composed.operate("export", "log.zst")
    printed = composed.compose("run", "--rm", "-T", "laurels", "export", "-").stdout
    psql = ("exec", "-T", "-e", f"PGPASSWORD={PASSWORD}", "postgres", "psql", "-h", "127.0.0.1", "-U", "laurels")
    composed.compose(*psql, "-c", "CREATE DATABASE elsewhere")
    there = ("run", "--rm", "-T", "-e", ELSEWHERE)
    composed.compose(*there, "migrate")

    assert "events are restored" in composed.compose(*there, "laurels", "restore", "--yes", "log.zst").stdout
    assert printed == composed.compose(*there, "laurels", "export", "-").stdout


def test_the_topic_and_the_quarantine_are_at_hand(composed: Project) -> None:
    """The log is published again, and what is in quarantine is listed; what is not there is one sentence."""
    assert "publishes again from position 1" in composed.operate("republish", "--yes")
    assert "Nothing is in quarantine" in composed.operate("quarantine", "list")
    for command in (["show"], ["retry"], ["drop", "--yes"]):
        assert "1" in composed.operate("quarantine", *command, "1", fails=True)


def test_operators_reach_admin_with_their_token(composed: Project) -> None:
    """With a token of LAURELS_ADMIN_TOKENS rebuilds are begun through the gateway, without one they are not."""
    address = f"{composed.url}/admin/rebuilds"
    assert 401 == httpx.get(address, timeout=30).status_code
    with httpx.Client(headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}, timeout=60) as operator:
        begun = operator.post(address, json={"dry_run": True})
        assert 202 == begun.status_code, begun.text
        until(lambda: operator.get(composed.url + begun.headers["Location"]).json()["state"] == "compared")
    assert 404 == httpx.get(f"{composed.url}/metrics", timeout=30).status_code
