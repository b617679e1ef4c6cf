"""A picture that nobody can see is neither made nor sent, and is back as soon as it can be seen."""

from __future__ import annotations

import pytest

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import NotebookPage
from tests.browser.views import states, wait_for_states
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

TWO_STREAMS = """
import torch
from gpuview import GPUStream

asked = {"first": 0, "second": 0}

def source(name):
    def ask():
        asked[name] += 1
        return torch.full((90, 160), asked[name] % 256, dtype=torch.uint8)
    return ask

first, second = (GPUStream(source(name), fps=30) for name in asked)
"""

# As JupyterLab collapses it.
COLLAPSE = """
is_collapsed => {
  const output = document.querySelectorAll(".gpuview")[0].closest(".jp-Cell-outputArea");
  output.style.display = is_collapsed ? "none" : "";
}
"""


def test_output_that_is_collapsed_costs_its_source_nothing_until_it_is_opened(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook(TWO_STREAMS, "first", "second")
    for cell in range(3):
        notebook.run(cell)
    wait_for_states(notebook, "playing", "playing")
    wait_for_more(notebook, "first", 10)

    notebook.page.evaluate(COLLAPSE, True)
    wait_until(lambda: are_paused(notebook) == [True, False], "one view pauses")
    wait_for_more(notebook, "second", 5)  # by then the frame that was being made is finished
    n_asked = notebook.python("asked['first']")
    wait_for_more(notebook, "second", 30)
    assert notebook.python("asked['first']") == n_asked
    assert notebook.python("len(first.viewers)") == 1

    notebook.page.evaluate(COLLAPSE, False)
    wait_until(lambda: are_paused(notebook) == [False, False], "it goes on")
    wait_for_more(notebook, "first", 10)
    assert states(notebook) == ["playing", "playing"]


def wait_for_more(notebook: NotebookPage, name: str, more: int) -> None:
    """Wait until a source has been asked so many times more."""
    target = notebook.python(f"asked[{name!r}]") + more
    wait_until(
        lambda: notebook.python(f"asked[{name!r}]") >= target,
        f"{name} is asked {more} times more",
        describe=lambda: str(notebook.python("asked")),
    )


def are_paused(notebook: NotebookPage) -> list[bool]:
    found: list[bool] = notebook.page.evaluate(
        "[...document.querySelectorAll('.gpuview')].map(root => 'paused' in root.dataset)"
    )
    return found
