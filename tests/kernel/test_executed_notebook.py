"""A notebook that was executed by a program, saved and exported: what it shows and hides."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pytest
from nbconvert.exporters import (
    Exporter,
    HTMLExporter,
    LatexExporter,
    MarkdownExporter,
    SlidesExporter,
    WebPDFExporter,
)
from nbformat import NotebookNode
from PIL import Image
from playwright.async_api import BrowserType

from tests.chromium import CHROMIUM

PICTURES = ("image/png", "image/jpeg")

pytestmark = pytest.mark.kernel

OFFER = Path(__file__).parents[1] / "data" / "sdp" / "chromium-156.sdp"

SECRETS = {
    "GPUVIEW_TURN_URL": "turn:marked-turn.example.org",
    "GPUVIEW_TURN_USERNAME": "marked-user",
    "GPUVIEW_TURN_CREDENTIAL": "marked-credential",
    "GPUVIEW_PUBLIC_IP": "203.0.113.77",
}

# A page's offer, as it comes from a front end, and the answer to it.
CELL = f"""
import time, torch
from pathlib import Path
from gpuview import GPUStream
offer = Path({str(OFFER)!r}).read_bytes().decode()
stream = GPUStream()
stream.push(torch.zeros(32, 32, 3))
stream.set_state({{"offers": {{"v1": {{"type": "Offer", "view": "v1", "seq": 1, "sdp": offer}}}}}})
deadline = time.monotonic() + 60
while "v1" not in stream.answers and time.monotonic() < deadline:
    time.sleep(0.01)
assert stream.answers["v1"]["type"] == "Answer", stream.answers
stream._read_custom(None, {{"type": "Ack", "view": "v1", "seq": 1}}, [])
stream
"""


def test_neither_the_notebook_nor_its_html_holds_a_credential_an_address_or_an_sdp(
    tmp_path: Path,
) -> None:
    executed = execute(tmp_path, CELL)
    html, _ = HTMLExporter().from_notebook_node(executed)
    (tmp_path / "executed.html").write_text(html)
    assert pictures_of(executed), "no picture was stored"
    for name in ("executed.ipynb", "executed.html"):
        text = (tmp_path / name).read_text()
        assert "GPUStream" in text
        for secret in [*SECRETS.values(), "fingerprint:sha-256"]:
            assert secret not in text
        # The front end's own code, where it is in there, knows the word.
        assert re.search(r"candidate:\S+ \d+ udp \d+", text) is None


MAKE = """
import torch
from gpuview import GPUStream
red = torch.tensor([1.0, 0, 0]).expand(48, 64, 3)
blue = torch.tensor([0, 0, 1.0]).expand(48, 64, 3)
"""
RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_the_exported_page_has_the_picture_without_any_network(tmp_path: Path) -> None:
    convert_cells(tmp_path, [MAKE + "GPUStream(lambda: red)"], "--to", "html")

    page = (tmp_path / "made.html").read_text()
    assert "jupyter.widget-view" not in page
    (data,) = re.findall(r'<img\s[^>]*src="data:image/png;base64,([^"]+)"', page)
    assert colour_of(data) == RED


@pytest.mark.browser
def test_the_pdf_has_the_picture_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = BrowserType.launch
    ours = {"executable_path": CHROMIUM}
    monkeypatch.setattr(BrowserType, "launch", lambda self, **own: launch(self, **ours, **own))
    executed = execute(tmp_path, MAKE + "GPUStream(lambda: red)")
    pdf, _ = WebPDFExporter(disable_sandbox=True).from_notebook_node(executed)
    streams = re.findall(rb"<<((?:(?!<<).)*?)>>\s*stream\r?\n(.*?)endstream", pdf, re.DOTALL)
    packed = [(kind, data) for kind, data in streams if b"/FlateDecode" in kind]
    (picture,) = (zlib.decompress(data) for kind, data in packed if b"/Image" in kind)
    assert picture[:3] == bytes(RED)
    texts = [pdf, *(zlib.decompress(data) for _, data in packed)]
    assert not [secret for secret in SECRETS.values() if any(secret.encode() in t for t in texts)]


@pytest.mark.parametrize("exporter", [LatexExporter, MarkdownExporter, SlidesExporter])
def test_every_format_prefers_the_picture_to_its_description(
    tmp_path: Path, exporter: type[Exporter]
) -> None:
    executed = execute(tmp_path, MAKE + "GPUStream({'in': red, 'out': blue})")
    body, _ = exporter().from_notebook_node(executed)
    assert ".png" in body or "image/png" in body
    assert "GPUStream of in, out" not in body


def test_the_description_names_the_panels_and_says_from_when_the_picture_is(
    tmp_path: Path,
) -> None:
    executed = execute(tmp_path, MAKE + "GPUStream({'in': red, 'out': blue})")
    (output,) = displayed(executed)
    assert re.fullmatch(
        r"GPUStream of in, out, picture of \d{4}-\d\d-\d\d \d\d:\d\d UTC", output.data["text/plain"]
    )
    assert "application/vnd.jupyter.widget-view+json" in output.data


@pytest.mark.parametrize("show", ["stream", "display(stream)"])
def test_frames_that_come_after_the_display_are_put_in(tmp_path: Path, show: str) -> None:
    cells = (f"{MAKE}stream = GPUStream()\n{show}", "stream.push(red)", "stream.push(blue)")
    executed = execute(tmp_path, *cells)
    (picture,) = pictures_of(executed)
    assert colour_of(picture) == BLUE


@pytest.mark.parametrize("show", ["stream", "display(stream)"])
def test_a_closed_stream_leaves_its_last_frame_and_no_view(tmp_path: Path, show: str) -> None:
    cells = (f"{MAKE}stream = GPUStream(fps=60)\n{show}", "stream.push(blue); stream.close()")
    (output,) = displayed(execute(tmp_path, *cells))
    assert set(output.data) == {"text/plain", "image/png"}
    assert colour_of(output.data["image/png"]) == BLUE


def test_a_source_that_hangs_or_fails_neither_delays_nor_breaks_the_display(
    tmp_path: Path,
) -> None:
    hangs = "import threading, time\nGPUStream(threading.Event().wait)"
    fails = "def fail():\n    raise SystemExit\nGPUStream(fail)"
    executed = execute(tmp_path, MAKE, hangs, fails)
    assert [set(output.data) for output in displayed(executed)] == [
        {"text/plain", "application/vnd.jupyter.widget-view+json"}
    ] * 2
    assert displayed(executed)[0].data["text/plain"] == "GPUStream, live in a running notebook"


def test_the_setting_bounds_the_pictures_bytes_and_zero_leaves_it_out(tmp_path: Path) -> None:
    noise = "\nGPUStream(torch.rand(480, 640, 3), settings=Settings(saved_picture_bytes={}))"
    imports = MAKE + "from gpuview import Settings"
    executed = execute(tmp_path, imports, *(noise.format(n) for n in (200_000, 20_000, 0)))
    large, small = (len(base64.b64decode(each)) for each in pictures_of(executed))
    assert 20_000 < large <= 200_000
    assert 2_000 < small <= 20_000
    assert len(displayed(executed)) == 3


def execute(folder: Path, *cells: str) -> NotebookNode:
    """Run a notebook as nbconvert does, save it as ``executed.ipynb``, and return it."""
    convert_cells(folder, cells, "--to", "notebook", "--output", "executed")
    return nbformat.read(folder / "executed.ipynb", as_version=4)


def convert_cells(folder: Path, cells: Sequence[str], *arguments: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, folder / "made.ipynb")
    command = [
        sys.executable,
        "-m",
        "nbconvert",
        "--execute",
        *arguments,
        str(folder / "made.ipynb"),
    ]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **SECRETS})


def displayed(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the outputs that are not printed text."""
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    return [output for output in outputs if output.output_type != "stream"]


def pictures_of(notebook: NotebookNode) -> list[str]:
    outputs = displayed(notebook)
    return [data for each in outputs for kind, data in each.data.items() if kind in PICTURES]


def colour_of(data: str) -> tuple[int, int, int]:
    """Return the colour in the middle of a picture in base64."""
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    colour: tuple[int, int, int] = image.getpixel((image.width // 2, image.height // 3))
    return colour
