"""The extension and the Hub's service alone, in environments that have no torch."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import gpuview
from tests.server.jupyter import JupyterServer
from tests.server.media import FakeMedia

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
HEAVY = ["torch", "av", "aiortc", "aioice", "msgspec", "pydantic", "numpy", "ipykernel"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    source = ROOT / "packages" / "gpuview-server"
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def test_wheel_holds_the_extension_the_hubs_service_and_little_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packed = {name for name in names if name.startswith("gpuview/")}
    source = ROOT / "src" / "gpuview"
    folders = [source / "server", source / "hub"]
    whole = {path for folder in folders for path in folder.iterdir() if path.is_file()}
    assert packed == {f"gpuview/{path.relative_to(source)}" for path in whole} | {
        "gpuview/__init__.py",
        "gpuview/errors.py",
        "gpuview/protocol/__init__.py",
        "gpuview/protocol/local_socket.py",
        "gpuview/signalling/__init__.py",
        "gpuview/signalling/rate_limit.py",
        "gpuview/static/view.css",
        "gpuview/static/view.js",
        "gpuview/webrtc/__init__.py",
        "gpuview/webrtc/addresses.py",
        "gpuview/webrtc/ice_url.py",
        "gpuview/webrtc/ephemeral_credentials.py",
    }


def test_kernels_of_another_environment_are_reached_from_a_server_without_torch(
    wheel: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*install, *constraints, str(wheel)], check=True, capture_output=True)
    look = f"from importlib.util import find_spec; print([*filter(find_spec, {HEAVY})])"
    found = subprocess.run([python, "-c", look], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
    # The Hub's service needs what jupyterhub brings, and no more of gpuview than this wheel has.
    hub = "import gpuview.hub.configuration, gpuview.hub.handlers, gpuview.hub.user_limits"
    subprocess.run([python, "-c", hub], check=True, capture_output=True)

    home = tmp_path / "jupyter"
    write_kernelspec(home / "data" / "kernels" / "elsewhere")
    options = {
        # What is installed enables it.
        "ServerApp.jpserver_extensions": {},
        "MultiKernelManager.default_kernel_name": "elsewhere",
    }
    command = (python, "-m", "jupyter_server")
    with JupyterServer(home, options, command=command, env={"PYTHONPATH": ""}) as server:
        kernel_id = server.start_kernel()
        health = server.get("/gpuview/health").json()
        assert health["version"] == gpuview.__version__
        assert health["kernels"] == {kernel_id: {"media_process": "none"}}
        place = f"{kernel_id}/s1"
        assert server.get(f"/gpuview/view/{place}").status == 200
        assert server.get("/static/gpuview/view.js").status == 200
        with (
            FakeMedia(server.runtime_dir, kernel_id) as media,
            contextlib.closing(server.connect(place)) as page,
        ):
            media.accept().send(b"a status")
            assert page.recv() == "a status"


def write_kernelspec(folder: Path) -> None:
    """Write the specification of a kernel that runs in the environment of these tests."""
    folder.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "elsewhere", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
