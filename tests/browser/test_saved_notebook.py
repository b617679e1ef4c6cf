"""A notebook that was executed and saved, widget state included, gives nothing away."""

from __future__ import annotations

import json

import pytest
from tests.browser.conftest import OpenNotebook
from tests.browser.views import wait_for_states

pytestmark = pytest.mark.browser

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

    saved = notebook.save()
    assert saved["metadata"]["widgets"], "the widget's state must be in the file for this to count"
    text = json.dumps(saved)
    for secret in ("a=fingerprint", "candidate", "marked-user", "marked-secret", "127.0.0.1"):
        assert secret not in text
