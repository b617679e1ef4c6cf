"""Views can be read in both themes, and nothing in them is cut off where there is little room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import NotebookPage
from tests.browser.views import wait_for_states, wait_for_text

pytestmark = pytest.mark.browser

MAKE = """
import ipywidgets
import torch
from gpuview import GPUStream

turn = 0

def source():
    global turn
    turn += 1
    return torch.full((3, 180, 320), turn % 256 / 25)  # so that there is a hint

stream = GPUStream(source, fps=15, caption="step 120, loss 0.31")
stream.slider("learning rate", 1e-5, 1e-1, value=1e-3, log=True)
stream.slider("weights", 0.0, 1.0, value=[0.2, 0.3, 0.5])
stream.choice("optimizer", ["SGD", "Adam"])
stream.button("reset")
"""

# How much lighter the lighter one of text and background is, as WCAG 2.2 defines it.
CONTRAST = """element => {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  const painted = [];
  for (let at = element; at !== null; at = at.parentElement) {
    painted.unshift(getComputedStyle(at).backgroundColor);
  }
  const luminance = () => {
    const channels = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map(level => {
      const share = level / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2];
  };
  const paint = colour => {
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
  };
  ["white", ...painted].forEach(paint);
  const behind = luminance();
  paint(getComputedStyle(element).color);
  const [low, high] = [behind, luminance()].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}"""

READ = [
    ".gpuview-words",
    ".gpuview-figures",
    ".gpuview-caption",
    ".gpuview-hint",
    ".gpuview-replay-age",
    ".gpuview-knob-name",
    ".gpuview-knob select",
    ".gpuview-knob-button",
    ".gpuview-rows dt",
    ".gpuview-note",
    ".gpuview-graph-head",
    ".gpuview-toggle[aria-pressed=true]",
]

CUT_OFF = """view => {
  const parts = [view, ...view.querySelectorAll(":not(svg *, option)")];
  const cut = parts.filter(it => it.clientWidth > 0 && it.scrollWidth > it.clientWidth + 1);
  const right = view.getBoundingClientRect().right + 1;
  const out = parts.filter(it => it.getBoundingClientRect().right > right);
  return [...cut, ...out].map(it => it.getAttribute("class"));
}"""


@pytest.fixture
def played(open_notebook: OpenNotebook) -> Iterator[NotebookPage]:
    notebook = open_notebook(MAKE, "ipywidgets.HBox([stream, stream, stream])")
    notebook.run(0)
    notebook.run(1)
    wait_for_states(notebook, "playing", "playing", "playing")
    wait_for_text(notebook, "values reach")
    yield notebook
    use_theme(notebook, "Light")


def test_all_text_has_enough_contrast_in_both_themes(played: NotebookPage) -> None:
    open_all(played)
    for theme in ("Dark", "Light"):
        use_theme(played, theme)
        for name in READ:
            parts = played.page.locator(f".gpuview {name}")
            parts.first.wait_for(state="attached")
            found = parts.evaluate_all(f"all => all.map({CONTRAST})")
            assert min(found) >= 4.5, (theme, name, found)


def test_three_views_in_a_row_cut_nothing_off(played: NotebookPage) -> None:
    open_all(played)
    for width in (1000, 500, 320):
        style = f"it => it.style.cssText = 'flex: none; width: {width}px'"
        output = played.page.locator(".jp-OutputArea-output", has=played.page.locator(".gpuview"))
        output.evaluate(style)
        for view in played.page.locator(".gpuview").all():
            assert view.evaluate(CUT_OFF) == [], width
            room = box_width(view.locator(".gpuview-knob").first)
            for handle in view.locator("input[type=range]:visible").all():
                assert box_width(handle) >= 0.3 * room, width
            assert box_width(view.locator("select")) >= 50, width


def use_theme(notebook: NotebookPage, theme: str) -> None:
    """Change JupyterLab's theme, as its menu does."""
    notebook.page.evaluate(
        "theme => jupyterapp.commands.execute('apputils:change-theme', { theme })",
        f"JupyterLab {theme}",
    )
    is_light = str(theme == "Light").lower()
    notebook.page.locator(f"body[data-jp-theme-light={is_light}]").wait_for(state="attached")


def open_all(notebook: NotebookPage) -> None:
    """Pause the first view, and open the details of the second and the inspector of the third."""
    views = notebook.page.locator(".gpuview")
    views.nth(0).get_by_role("button", name="Pause", exact=True).click()
    views.nth(0).locator(".gpuview-replay input").press("ArrowLeft")
    views.nth(1).get_by_role("button", name="Details").click()
    views.nth(2).locator(".gpuview-inspect").click()
    views.nth(2).get_by_role("button", name="Box").click()
    views.nth(1).locator(".gpuview-note").first.wait_for()


def box_width(locator: Locator) -> float:
    return float(locator.evaluate("it => it.getBoundingClientRect().width"))
