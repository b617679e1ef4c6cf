"""Every code block of docs/tensors.md runs."""

import re
from pathlib import Path

import pytest

from gpuview.testing.kernel import Kernel

pytestmark = pytest.mark.kernel

PAGE = Path(__file__).parents[2] / "docs" / "tensors.md"


def test_every_block_of_the_page_runs(kernel: Kernel, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
    kernel.run(f"import os; os.chdir({str(tmp_path)!r})")
    for block in blocks:
        kernel.run(block)
    assert (tmp_path / "logits.png").exists()
    with kernel.view(kernel.stream("check")) as viewer:
        viewer.wait_until(lambda image: is_magenta(image[120, 160]))


def is_magenta(colour: list[int]) -> bool:
    red, green, blue = map(int, colour)
    return red > 200 > 60 > green and blue > 200
