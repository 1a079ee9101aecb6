"""The gateway of compose.yaml, run from its own haproxy.cfg in front of services on this machine."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support.processes import ROOT, Service, free_port, start

__all__ = ["CONFIGURATION", "haproxy_or_skip", "launch"]

CONFIGURATION: Final = ROOT / "haproxy.cfg"
SERVICES: Final = ("query_api", "command_api", "projector")


def haproxy_or_skip() -> str:
    """Return the path of HAProxy; without it skip the test, or fail it when LAURELS_REQUIRE_HAPROXY=1."""
    # Debian has it where only root looks.
    found = shutil.which("haproxy", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
    if found is None:
        refuse = pytest.fail if os.environ.get("LAURELS_REQUIRE_HAPROXY") == "1" else pytest.skip
        refuse("no HAProxy on this machine; it is Debian's package haproxy")
    return found


def launch(folder: Path, ports: Mapping[str, int]) -> Service:
    """Start the gateway over the loopback ports of `query_api`, `command_api` and `projector`."""
    port = free_port()
    environment = {name.upper(): f"127.0.0.1:{ports[name]}" for name in SERVICES}
    environment |= {"GATEWAY_ADDRESS": f"127.0.0.1:{port}", "GATEWAY_REPLICAS": "1"}
    command = [haproxy_or_skip(), "-db", "-f", str(CONFIGURATION)]
    return start("gateway", command, environment=environment, folder=folder, port=port)


def check(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Have HAProxy judge the configuration as it is read with these variables."""
    command = [haproxy_or_skip(), "-c", "-f", str(CONFIGURATION)]
    return subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=30, check=False)
