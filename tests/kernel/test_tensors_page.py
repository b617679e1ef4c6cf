"""Every code block of docs/tensors.md, docs/recipes.md and docs/gallery.md runs."""

import re
from pathlib import Path

import pytest

from gpuview.testing.kernel import Kernel

pytestmark = pytest.mark.kernel

DOCS = Path(__file__).parents[2] / "docs"
MAX_NBYTES = 60_000


def run_page(page: Path, kernel: Kernel, folder: Path) -> list[str]:
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    kernel.run(f"import os; os.chdir({str(folder)!r})")
    for block in blocks:
        kernel.run(block)
    return blocks


def test_every_recipe_runs_and_is_short_and_has_a_small_picture(
    kernel: Kernel, tmp_path: Path
) -> None:
    page = DOCS / "recipes.md"
    _, *recipes = run_page(page, kernel, tmp_path)
    assert all(len(recipe.splitlines()) <= 15 for recipe in recipes)
    pictures = re.findall(r"^!\[.+\]\((.+)\)$", page.read_text(), re.MULTILINE)
    assert len(pictures) == len(recipes) == 10
    assert all(0 < (DOCS / picture).stat().st_size < MAX_NBYTES for picture in pictures)
    assert {path.name for path in tmp_path.iterdir()} == {"samples.png", "run.mp4"}


def test_every_program_of_the_gallery_plays_and_has_a_small_picture(kernel: Kernel) -> None:
    page = (DOCS / "gallery.md").read_text()
    programs = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    pictures = re.findall(r"^!\[.+\]\((.+)\)$", page, re.MULTILINE)
    assert len(programs) == len(pictures) == 5
    assert all(0 < (DOCS / picture).stat().st_size < MAX_NBYTES for picture in pictures)
    for program in programs:
        assert len(program.splitlines()) < 80
        kernel.run(program)
        with kernel.view(kernel.stream("stream")) as viewer:
            viewer.wait_for_frames(10)
        assert kernel.evaluate("stream.status['problem']") == ""
        kernel.run("stream.close()")


def test_every_block_of_the_page_runs(kernel: Kernel, tmp_path: Path) -> None:
    run_page(DOCS / "tensors.md", kernel, tmp_path)
    assert (tmp_path / "logits.png").exists()
    with kernel.view(kernel.stream("check")) as viewer:
        viewer.wait_until(lambda image: is_magenta(image[120, 160]))


def is_magenta(colour: list[int]) -> bool:
    red, green, blue = map(int, colour)
    return red > 200 > 60 > green and blue > 200
