"""What the package shows, what it costs to import, and that what is written about it is current."""

from __future__ import annotations

import json
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gpuview
from gpuview import errors
from gpuview.settings import Settings

ERRORS = [name for name in errors.__all__ if isinstance(getattr(errors, name), type)]
ROOT = Path(__file__).parents[2]
DOCS = "\n".join(path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def modules_after(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter has after ``statement``."""
    code = f"{statement}; import sys, json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return set(json.loads(done.stdout))


def test_the_public_names_are_these() -> None:
    assert sorted(gpuview.__all__) == [
        "ConnectTimeout",
        "FlyCamera",
        "FrameContext",
        "FrameError",
        "GPUStream",
        "GpuviewError",
        "MediaEndedError",
        "MediaError",
        "NetworkError",
        "OrbitCamera",
        "Panel",
        "Publication",
        "PublishError",
        "Recording",
        "RecordingError",
        "Settings",
        "SettingsError",
        "SignalError",
        "StreamClosedError",
        "StreamStats",
        "__version__",
        "publish",
    ]
    for name in gpuview.__all__:
        assert getattr(gpuview, name)
    assert dir(gpuview) == sorted(gpuview.__all__)


def test_help_lists_what_users_call_in_a_useful_order_and_nothing_inherited() -> None:
    class Mine(gpuview.GPUStream):
        _private = 1

        def shout(self) -> None:
            """What a user adds."""

    public = ["push", "frame", "snapshot", "remote", "stats"]
    public += ["record", "publish", "close", "doctor", "viewers"]
    touched = ["add_event_handler", "remove_event_handler", "slider", "toggle", "choice", "button"]
    text = pydoc.plain(pydoc.render_doc(gpuview.GPUStream))
    listed = re.findall(r"^ \|  ([a-z_]+)(?:\(.*)?$", text, re.MULTILINE)
    assert [name for name in listed if name not in touched] == public
    assert [name for name in listed if name in touched] == touched
    assert text.count("\n") < 300
    mine = pydoc.plain(pydoc.render_doc(Mine))
    assert "shout(self)" in mine
    assert "answered" not in mine
    assert gpuview.GPUStream.class_traits() == {**Mine.class_traits()}


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'GpuStream'"):
        _ = gpuview.GpuStream


def test_importing_gpuview_loads_nothing_heavy() -> None:
    heavy = {"torch", "av", "aiortc", "aioice", "numpy", "anywidget", "ipywidgets", "pydantic"}
    assert not modules_after("import gpuview") & heavy


def test_media_process_knows_neither_torch_nor_widgets() -> None:
    foreign = {"torch", "anywidget", "ipywidgets", "IPython", "pydantic"}
    assert not modules_after("import gpuview.media.worker") & foreign


def test_media_process_loads_zmq_only_where_there_are_other_machines() -> None:
    assert not modules_after("import gpuview.media.worker") & {"zmq", "gpuview.media.cluster"}


def test_a_media_process_is_started_before_anything_heavy_is_imported() -> None:
    heavy = {"torch", "av", "aiortc", "numpy", "msgspec", "pydantic", "anywidget"}
    assert not modules_after("import gpuview.engine.spare") & heavy


def test_media_process_does_without_the_library_for_names() -> None:
    start = "import gpuview.media.__main__ as media; media.leave_out_mdns()"
    assert "dns" not in modules_after(f"{start}; import gpuview.media.worker")


def test_the_public_names_for_tests_are_these_and_cost_nothing_until_used() -> None:
    import gpuview.testing as face

    assert face.__all__ == [
        "AsyncViewer",
        "CellError",
        "HeadlessViewer",
        "Kernel",
        "KernelDiedError",
        "NoSuchStreamError",
        "ViewerEndedError",
        "WaitTimeoutError",
        "WrongPictureError",
        "connect",
    ]
    for name in face.__all__:
        assert getattr(face, name).__name__ == name
        assert name in DOCS
    assert dir(face) == face.__all__
    with pytest.raises(AttributeError, match="has no attribute 'conect'"):
        _ = face.conect
    heavy = {"torch", "av", "aiortc", "numpy", "jupyter_client", "zmq", "ipywidgets"}
    assert not modules_after("import gpuview.testing") & heavy


def test_pytest_plugin_costs_other_peoples_tests_nothing() -> None:
    heavy = {"torch", "av", "aiortc", "numpy", "jupyter_client", "zmq", "ipywidgets"}
    assert not modules_after("import pytest, gpuview.testing.plugin") & heavy


def test_kernel_process_knows_neither_av_nor_aiortc_nor_dynamo() -> None:
    heavy = {"av", "aiortc", "aioice", "torch._dynamo"}
    assert not modules_after("import gpuview.widget") & heavy


def test_a_worker_needs_no_widgets_and_no_network_library() -> None:
    heavy = {"av", "aiortc", "aioice", "anywidget", "ipywidgets", "zmq", "ray", "torch._dynamo"}
    assert not modules_after("import gpuview.cluster.published_view") & heavy


@pytest.mark.parametrize("name", ["messages", "private_ranges"])
def test_generated_typescript_is_current(name: str) -> None:
    script = ROOT / "scripts" / f"generate_{name}.py"
    command = [sys.executable, script, "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    assert f"GPUVIEW_{name.upper()}" in DOCS


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_documented(name: str) -> None:
    assert name in DOCS


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_carries_three_parts_and_survives_pickling(name: str) -> None:
    import pickle

    error = getattr(errors, name)("a problem", expected="something else", fix="do it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == "a problem\n  expected: something else\n  try:      do it"
    assert (again.problem, again.expected, again.fix) == ("a problem", "something else", "do it")


def test_folders_that_the_unit_tests_leave_out_have_slow_tests_only() -> None:
    line = re.search(r"^SLOW_FOLDERS := (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert line is not None
    for folder in line[1].split():
        marked = re.compile(rf"^pytestmark = .*pytest\.mark\.{Path(folder).name}\b", re.M)
        paths = list((ROOT / folder).rglob("test_*.py"))
        assert paths
        assert [path.name for path in paths if not marked.search(path.read_text())] == []


def test_package_is_typed() -> None:
    assert (ROOT / "src" / "gpuview" / "py.typed").exists()
