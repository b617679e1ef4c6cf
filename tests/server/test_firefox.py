"""A real stream of a real kernel, which Firefox is shown over the WebSocket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from tests.firefox import Firefox
from tests.server.jupyter import JupyterServer
from tests.server.notebook import ServedKernel
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.kernel]

# 328 x 200: decoders make whole blocks of it. Red, green and blue, a white edge at the right and at
# the bottom, and on black a white square that goes on by its own width with each frame.
SHOW = """
import itertools, torch
from gpuview import GPUStream

turns = itertools.count()

def source():
    picture = torch.full((200, 328, 3), 255, dtype=torch.uint8)
    for i in range(3):
        picture[:160, 107 * i : 107 * i + 107] = 20
        picture[:160, 107 * i : 107 * i + 107, i] = 220
    picture[160:196, :320] = 0
    left = 32 * (next(turns) % 10)
    picture[160:192, left : left + 32] = 255
    return picture

stream = GPUStream(source, fps=20)
display(stream)
"""
COLOURS = {
    (50, 80): (220, 20, 20),
    (160, 80): (20, 220, 20),
    (270, 80): (20, 20, 220),
    (325, 180): (255, 255, 255),
    (160, 198): (255, 255, 255),
}
LOOK = """
const main = document.querySelector("main");
const screen = document.querySelector("canvas.gpuview-video");
if (main?.dataset.state !== "playing" || screen === null) return {text: main?.innerText ?? ""};
const {width, height} = screen;
const {data} = screen.getContext("2d").getImageData(0, 0, width, height);
const at = (x, y) => [...data.slice(4 * (y * width + x), 4 * (y * width + x) + 3)];
return {
  text: main.innerText,
  carrier: main.dataset.carrier,
  size: [width, height],
  colours: arguments[0].map(([x, y]) => at(x, y)),
  square: [...Array(10).keys()].find((i) => at(32 * i + 16, 176)[0] > 127),
};
"""


@pytest.fixture(autouse=True)
def no_leaks() -> None:
    """Replace the check of the other tests, because Firefox keeps processes as it likes."""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedKernel]:
    """A kernel that shows a stream, for which the WebSocket is the only carrier."""
    env = {"GPUVIEW_CARRIERS": "socket"}
    with (
        JupyterServer(tmp_path_factory.mktemp("jupyter"), env=env) as server,
        ServedKernel(server) as kernel,
    ):
        kernel.run(SHOW)
        yield kernel


def with_h264(folder: Path) -> Firefox:
    """Start a Firefox that has the system's libraries for H.264, if PyAV's are the system's."""
    libraries = Path(av.__file__).parents[1] / "av.libs"
    links = folder / "libraries"
    links.mkdir()
    for library in libraries.glob("libav*.so.*"):  # such as libavcodec-5e6b81c2.so.62.28.102
        stem, _, version = library.name.partition(".so.")
        name = f"{stem.partition('-')[0]}.so.{version.partition('.')[0]}"
        (links / name).symlink_to(library)
    return Firefox(folder, env={"LD_LIBRARY_PATH": f"{links}:{libraries}"})


def without_webcodecs(folder: Path) -> Firefox:
    """Start a Firefox as it is on plain http."""
    return Firefox(folder, {"dom.media.webcodecs.enabled": False})


@pytest.mark.parametrize(
    ("start", "codec"),
    [
        pytest.param(with_h264, "H264", id="with the libraries for H.264"),
        pytest.param(Firefox, "VP8", id="without"),
        pytest.param(without_webcodecs, "JPEG", id="without WebCodecs"),
    ],
)
def test_firefox_shows_the_right_picture_and_it_moves(
    kernel: ServedKernel, tmp_path: Path, start: Callable[[Path], Firefox], codec: str
) -> None:
    server = kernel.server
    (stream,) = wait_until(lambda: streams_of(kernel), "the media process is up")
    with start(tmp_path) as firefox:
        firefox.open(f"{server.url}/gpuview/view/{kernel.id}/{stream}?token={server.token}")

        def look() -> dict[str, Any]:
            return dict(firefox.run(LOOK, list(COLOURS)))

        shown = wait_until(lambda: "square" in (seen := look()) and seen, "it plays", describe=look)
        assert (shown["carrier"], shown["size"]) == ("socket", [328, 200])
        assert largest_error(shown["colours"], list(COLOURS.values())) <= 6
        squares = set()
        wait_until(lambda: squares.add(look()["square"]) or len(squares) == 10, "it moves")
        firefox.press("Details")
        wait_until(lambda: codec in look()["text"], "the details name the codec", describe=look)


def streams_of(kernel: ServedKernel) -> list[str]:
    """Return the names of the kernel's streams; none before its media process is up."""
    state = kernel.server.get("/gpuview/health").json()["kernels"][kernel.id]
    return [str(stream["name"]) for stream in state.get("streams", ())]


def largest_error(found: list[list[int]], wanted: list[tuple[int, int, int]]) -> int:
    """Return by how many levels any channel of any colour differs from the wanted one."""
    return max(
        abs(a - b)
        for colour, right in zip(found, wanted, strict=True)
        for a, b in zip(colour, right, strict=True)
    )
