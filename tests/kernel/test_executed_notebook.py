"""A notebook that was executed by a program, saved with its widgets' state, and exported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

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
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbformat.write(notebook, tmp_path / "made.ipynb")
    convert("--execute", "--to", "notebook", "--output", "executed", tmp_path / "made.ipynb")
    convert("--to", "html", tmp_path / "executed.ipynb")
    executed = nbformat.read(tmp_path / "executed.ipynb", as_version=4)
    assert "widgets" in executed.metadata, "the widgets' state was not stored"
    for name in ("executed.ipynb", "executed.html"):
        text = (tmp_path / name).read_text()
        assert "GPUStream" in text
        for secret in [*SECRETS.values(), "fingerprint:sha-256"]:
            assert secret not in text
        # The front end's own code, which is in there, knows the word.
        assert re.search(r"candidate:\S+ \d+ udp \d+", text) is None


def convert(*arguments: object) -> None:
    command = [sys.executable, "-m", "nbconvert", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **SECRETS})
