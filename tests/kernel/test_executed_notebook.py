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

MAKE = """
import threading, time, torch
from pathlib import Path
from gpuview import GPUStream, Settings
red = torch.tensor([1.0, 0, 0]).expand(48, 64, 3)
blue = torch.tensor([0, 0, 1.0]).expand(48, 64, 3)
def fail():
    raise SystemExit
"""
RED, BLUE = (255, 0, 0), (0, 0, 255)
NOISE = "GPUStream(torch.rand(480, 640, 3), settings=Settings(saved_picture_bytes={}))"

# A page's offer, as it comes from a front end, and the answer to it.
OFFERED = f"""
offer = Path({str(OFFER)!r}).read_bytes().decode()
offered = GPUStream()
offered.push(torch.zeros(32, 32, 3))
offered.set_state({{"offers": {{"v1": {{"type": "Offer", "view": "v1", "seq": 1, "sdp": offer}}}}}})
deadline = time.monotonic() + 60
while "v1" not in offered.answers and time.monotonic() < deadline:
    time.sleep(0.01)
assert offered.answers["v1"]["type"] == "Answer", offered.answers
offered._read_custom(None, {{"type": "Ack", "view": "v1", "seq": 1}}, [])
offered
"""

# What a cell is called, and what it runs, from the top.
CELLS = {
    "make": MAKE,
    "offered": OFFERED,
    "pulled": "GPUStream(lambda: red)",
    "panels": "GPUStream({'in': red, 'out': blue})",
    "value": "value = GPUStream()\nvalue",
    "display": "displayed = GPUStream()\ndisplay(displayed)",
    "push": "for stream in (value, displayed): stream.push(red)",
    "push again": "for stream in (value, displayed): stream.push(blue)",
    "closed value": "closed_value = GPUStream(fps=60)\nclosed_value",
    "closed display": "closed_display = GPUStream(fps=60)\ndisplay(closed_display)",
    "close": "for stream in (closed_value, closed_display): stream.push(blue); stream.close()",
    "hangs": "GPUStream(threading.Event().wait)",
    "fails": "GPUStream(fail)",
    "200 kB": NOISE.format(200_000),
    "20 kB": NOISE.format(20_000),
    "no picture": NOISE.format(0),
}


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    """The notebook of all `CELLS`, run as nbconvert does."""
    folder = tmp_path_factory.mktemp("executed")
    convert_cells(folder, [*CELLS.values()], "--to", "notebook", "--output", "executed")
    return nbformat.read(folder / "executed.ipynb", as_version=4)


def test_neither_the_notebook_nor_its_html_holds_a_credential_an_address_or_an_sdp(
    executed: NotebookNode,
) -> None:
    html, _ = HTMLExporter().from_notebook_node(executed)
    assert picture_of(executed, "offered"), "no picture was stored"
    for text in (nbformat.writes(executed), html):
        assert "GPUStream" in text
        for secret in [*SECRETS.values(), "fingerprint:sha-256"]:
            assert secret not in text
        # The front end's own code, where it is in there, knows the word.
        assert re.search(r"candidate:\S+ \d+ udp \d+", text) is None


def test_the_exported_page_has_the_picture_without_any_network(tmp_path: Path) -> None:
    convert_cells(tmp_path, [MAKE + "GPUStream(lambda: red)"], "--to", "html")

    page = (tmp_path / "made.html").read_text()
    assert "jupyter.widget-view" not in page
    (data,) = re.findall(r'<img\s[^>]*src="data:image/png;base64,([^"]+)"', page)
    assert colour_of(data) == RED


@pytest.mark.browser
def test_the_pdf_has_the_picture_and_no_secret(
    executed: NotebookNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = BrowserType.launch
    ours = {"executable_path": CHROMIUM}
    monkeypatch.setattr(BrowserType, "launch", lambda self, **own: launch(self, **ours, **own))
    picture_alone = with_one_cell(executed, "pulled")
    pdf, _ = WebPDFExporter(disable_sandbox=True).from_notebook_node(picture_alone)
    streams = re.findall(rb"<<((?:(?!<<).)*?)>>\s*stream\r?\n(.*?)endstream", pdf, re.DOTALL)
    packed = [(kind, data) for kind, data in streams if b"/FlateDecode" in kind]
    (picture,) = (zlib.decompress(data) for kind, data in packed if b"/Image" in kind)
    assert picture[:3] == bytes(RED)
    texts = [pdf, *(zlib.decompress(data) for _, data in packed)]
    assert not [secret for secret in SECRETS.values() if any(secret.encode() in t for t in texts)]


@pytest.mark.parametrize("exporter", [LatexExporter, MarkdownExporter, SlidesExporter])
def test_every_format_prefers_the_picture_to_its_description(
    executed: NotebookNode, exporter: type[Exporter]
) -> None:
    body, _ = exporter().from_notebook_node(with_one_cell(executed, "panels"))
    assert ".png" in body or "image/png" in body
    assert "GPUStream of in, out" not in body


def test_the_description_names_the_panels_and_says_from_when_the_picture_is(
    executed: NotebookNode,
) -> None:
    output = displayed(executed, "panels")
    assert re.fullmatch(
        r"GPUStream of in, out, picture of \d{4}-\d\d-\d\d \d\d:\d\d UTC", output.data["text/plain"]
    )
    assert "application/vnd.jupyter.widget-view+json" in output.data


@pytest.mark.parametrize("show", ["value", "display"])
def test_frames_that_come_after_the_display_are_put_in(executed: NotebookNode, show: str) -> None:
    assert colour_of(picture_of(executed, show)) == BLUE


@pytest.mark.parametrize("show", ["closed value", "closed display"])
def test_a_closed_stream_leaves_its_last_frame_and_no_view(
    executed: NotebookNode, show: str
) -> None:
    output = displayed(executed, show)
    assert set(output.data) == {"text/plain", "image/png"}
    assert colour_of(output.data["image/png"]) == BLUE


def test_a_source_that_hangs_or_fails_neither_delays_nor_breaks_the_display(
    executed: NotebookNode,
) -> None:
    for name in ("hangs", "fails"):
        assert set(displayed(executed, name).data) == {
            "text/plain",
            "application/vnd.jupyter.widget-view+json",
        }
    assert (
        displayed(executed, "hangs").data["text/plain"] == "GPUStream, live in a running notebook"
    )


def test_the_setting_bounds_the_pictures_bytes_and_zero_leaves_it_out(
    executed: NotebookNode,
) -> None:
    large, small = (
        len(base64.b64decode(picture_of(executed, name))) for name in ("200 kB", "20 kB")
    )
    assert 20_000 < large <= 200_000
    assert 2_000 < small <= 20_000
    assert not set(displayed(executed, "no picture").data) & set(PICTURES)


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


def with_one_cell(notebook: NotebookNode, name: str) -> NotebookNode:
    return nbformat.from_dict({**notebook, "cells": [cell_of(notebook, name)]})


def cell_of(notebook: NotebookNode, name: str) -> NotebookNode:
    return notebook.cells[list(CELLS).index(name)]


def displayed(notebook: NotebookNode, name: str) -> NotebookNode:
    """Return the one output of a cell that is not printed text."""
    outputs = cell_of(notebook, name).outputs
    (output,) = (each for each in outputs if each.output_type != "stream")
    return output


def picture_of(notebook: NotebookNode, name: str) -> str:
    data = displayed(notebook, name).data
    (picture,) = (data[kind] for kind in PICTURES if kind in data)
    return picture


def colour_of(data: str) -> tuple[int, int, int]:
    """Return the colour in the middle of a picture in base64."""
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    colour: tuple[int, int, int] = image.getpixel((image.width // 2, image.height // 3))
    return colour
