"""A notebook that was saved reveals nothing, and shows a picture where its stream was."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Lab
from tests.browser.views import wait_for_states
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

PICTURE_ALT = re.compile("GPUStream, picture of 2[0-9]{3}-.* UTC")

MAKE = """
import torch
from gpuview import GPUStream, Settings

stream = GPUStream(
    torch.zeros(360, 640, 3),
    settings=Settings(
        turn_url="turn:127.0.0.1:9", turn_username="marked-user", turn_credential="marked-secret"
    ),
)
"""


def test_a_saved_notebook_holds_neither_sdp_nor_credentials(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(MAKE, "stream")
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    wait_until(lambda: notebook.python("stream.answers") == {}, "the answer was taken away")

    saved = notebook.save()
    state = widget_state(saved)
    assert {"offers", "answers", "status"} <= state.keys()
    for code in ("_esm", "_css"):
        del state[code]  # the front end's own code has words such as candidate
    for cell in saved["cells"]:
        del cell["source"]
    text = json.dumps(saved)
    for secret in ("a=fingerprint", "candidate", "marked-user", "marked-secret", "127.0.0.1"):
        assert secret not in text


SHOW = """
import torch
from gpuview import GPUStream

rows, columns = torch.meshgrid(torch.linspace(0, 1, 360), torch.linspace(0, 1, 640), indexing="ij")
picture = torch.stack([rows, columns, 1 - rows], -1)
stream = GPUStream(lambda: picture)
"""


def test_a_notebook_that_is_reopened_shows_its_picture_until_its_cell_runs(
    open_notebook: OpenNotebook, lab: Lab, chromium: BrowserContext
) -> None:
    path = saved_notebook(open_notebook, lab)

    without_kernel = open_without_kernel(lab, chromium, path)
    expect_picture(without_kernel)
    assert lab.request("GET", "/api/sessions") == []
    without_kernel.close()

    with_new_kernel = open_notebook(path=path)
    expect_picture(with_new_kernel.page)
    with_new_kernel.run(0)
    expect_picture(with_new_kernel.page)
    with_new_kernel.run(1)
    wait_for_states(with_new_kernel, "playing")
    expect(with_new_kernel.page.locator(".gpuview-saved-picture")).to_have_count(0)


def test_a_view_that_comes_shows_no_picture_before(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(SHOW, "stream")
    notebook.page.evaluate(
        """() => new MutationObserver(() => {
            window.wasShown ||= document.querySelector(".gpuview-saved-picture") !== null;
        }).observe(document.body, { childList: true, subtree: true })"""
    )
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    assert "image/png" in notebook.outputs(1)[0]["data"]
    assert notebook.page.evaluate("window.wasShown") is False


def test_a_stream_that_is_closed_leaves_its_last_frame(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(
        SHOW, "stream = GPUStream(); display(stream)", "stream", "stream.push(picture)"
    )
    for cell in range(4):
        notebook.run(cell)
    wait_for_states(notebook, "playing", "playing")
    notebook.python("stream.close()")
    wait_for_states(notebook)
    cells = notebook.save()["cells"]
    for (output,) in (cells[1]["outputs"], cells[2]["outputs"]):
        assert set(output["data"]) == {"text/plain", "image/png"}
        image = Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"])))
        assert image.size == (640, 380)
    expect(notebook.page.locator(".jp-OutputArea img")).to_have_count(2)


def test_a_frame_that_comes_after_the_display_is_saved_and_the_view_stays(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(SHOW + "stream = GPUStream()", "stream", "stream.push(picture)")
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "waiting")
    notebook.page.locator(".gpuview").evaluate("view => view.dataset.mark = 'same'")
    (viewer,) = notebook.python("stream.viewers")
    notebook.run(2)
    wait_for_states(notebook, "playing")
    wait_until(lambda: "image/png" in notebook.outputs(1)[0]["data"], "the picture is put in")
    wait_for_states(notebook, "playing")
    assert notebook.page.locator(".gpuview").get_attribute("data-mark") == "same"
    assert notebook.python("stream.viewers") == (viewer,)


def saved_notebook(open_notebook: OpenNotebook, lab: Lab) -> str:
    """Return the path of a trusted notebook that showed a stream, and whose kernel has ended."""
    notebook = open_notebook(SHOW, "stream")
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing")
    saved = notebook.save()
    notebook.close()
    lab.shutdown_kernels()
    del saved["metadata"]["widgets"]  # as JupyterLab saves it unless told otherwise
    lab.write_trusted(notebook.path, saved)
    return notebook.path


def open_without_kernel(lab: Lab, chromium: BrowserContext, path: str) -> Page:
    """Open a copy of a notebook in a browser tab; there is no kernel of the kind that it names."""
    notebook = json.loads((lab.notebooks / path).read_text())
    gone = {"name": "gone", "display_name": "Gone", "language": "none"}
    notebook["metadata"] = {"kernelspec": gone}
    lab.write_trusted(f"copy-of-{path}", notebook)
    page = chromium.new_page()
    page.goto(lab.notebook_url(f"copy-of-{path}"))
    return page


def expect_picture(page: Page) -> None:
    picture = page.locator(".gpuview-saved-picture")
    expect(picture).to_be_visible(timeout=120_000)
    expect(picture.get_by_role("img")).to_have_attribute("alt", PICTURE_ALT)
    expect(picture).to_contain_text("Run the cell to see the stream live")
    assert picture.locator("img").evaluate("image => [image.naturalWidth, image.width]") == [
        640,
        640,
    ]
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)
    expect(page.get_by_text("Loading widget")).to_have_count(0)


def widget_state(saved: dict[str, Any]) -> dict[str, Any]:
    """Return the saved state of the stream's model."""
    models = saved["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    (state,) = (model["state"] for model in models.values() if "offers" in model["state"])
    found: dict[str, Any] = state
    return found
