"""An executed notebook that is saved with widget state reveals nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.browser.conftest import OpenNotebook
from tests.browser.views import wait_for_states
from tests.waiting import wait_until

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


def widget_state(saved: dict[str, Any]) -> dict[str, Any]:
    """Return the saved state of the stream's model."""
    models = saved["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    (state,) = (model["state"] for model in models.values() if "offers" in model["state"])
    found: dict[str, Any] = state
    return found
