"""A stream of another process, in a real JupyterLab: what its view says, and that it plays."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenNotebook
from tests.browser.remote_run import open_run, worker
from tests.browser.views import wait_for_frames, wait_for_states

pytestmark = pytest.mark.browser

WORK = """
import time, torch, gpuview

n = 0
with gpuview.publish("run1") as view:
    view.slider("lr", 0.0, 1.0)
    while True:
        n += 1
        view.push(torch.full((180, 320), n % 256, dtype=torch.uint8))
        time.sleep(1 / 30)
"""


def test_view_says_what_it_waits_for_and_plays_whenever_a_worker_is_there(
    open_notebook: OpenNotebook, tmp_path: Path
) -> None:
    join = tmp_path / "run1.json"
    notebook = open_run(open_notebook, join)
    view = notebook.page.locator(".gpuview")
    expect(view).to_contain_text("waiting for rank 0 of run1: start the job")
    for _ in range(2):  # one worker, and another one in its place
        with worker(WORK, join=join):
            wait_for_states(notebook, "playing")
            expect(view).not_to_contain_text("silent", timeout=60_000)
            wait_for_frames(notebook, 10)
            expect(view.get_by_label("lr")).to_be_visible()
        expect(view).to_contain_text("waiting for rank 0 on ", timeout=60_000)
        expect(view).to_contain_text("has been silent since")
