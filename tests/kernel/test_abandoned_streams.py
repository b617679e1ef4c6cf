"""A stream is closed when no variable and no output refers to it, and never before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gpuview.testing.kernel import Kernel
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel

# Wraps the class, so that a cell needs no variable for its stream to be found.
PREPARE = """
import gc, threading, types, weakref
import ipywidgets, torch
import gpuview
from IPython.utils.capture import capture_output

made = []

def GPUStream(*args, **options):
    stream = gpuview.GPUStream(*args, **options)
    made.append(weakref.ref(stream))
    return stream

def is_alive(number=0):
    stream = made[number]()
    return stream is not None and stream._published.state.is_closed is False
"""
CLOSE = """
for ref in made:
    stream = ref()
    if stream is not None:
        stream.close()
stream, GPUStream = None, gpuview.GPUStream
gc.enable()
"""
ABANDONED = {
    "a display": "display(GPUStream())",
    "a cell's value": "GPUStream()",
    "a variable that is assigned anew": "stream = GPUStream()\ndisplay(stream)",
    "a value that is a variable": "stream = GPUStream()\nstream",
    "a source that refers to its stream": """
def show():
    stream = GPUStream(lambda: stream.fps)
    display(stream)
show()""",
    "a model that lives on": """
model = globals().get("model") or torch.nn.Identity()
display(GPUStream(model))""",
    "a closed stream": "stream = GPUStream()\ndisplay(stream)\nstream.close()",
    "a display on a thread": """
thread = threading.Thread(target=lambda: display(GPUStream()))
thread.start()
thread.join()""",
    "two displays": "stream = GPUStream()\ndisplay(stream, stream)\nstream",
}
# As garbage, the holder is freed by a collection only, so it still refers to the stream.
HELD_BY_A_THREAD = """
gc.disable()
class Holder:
    def __init__(self):
        self.stream, self.itself = GPUStream(), self
def hold(holder):
    may_end.wait()
may_end = threading.Event()
thread = threading.Thread(target=hold, args=[Holder()])
thread.start()
display(thread._args[0].stream)"""
KEPT = {
    "a variable": "kept = GPUStream()\ndisplay(kept)",
    "a list": "kept = [GPUStream()]\ndisplay(*kept)",
    "a value in a list": "kept = [GPUStream()]\nkept[0]",
    "a module": "types.kept = GPUStream()\ndisplay(types.kept)",
    "a closure": """
def keep(stream):
    return lambda: stream.stats()
kept = keep(GPUStream())
display(kept.__closure__[0].cell_contents)""",
    "a method": "kept = GPUStream().push\ndisplay(kept.__self__)",
    "a model": "model = torch.nn.Identity()\nmodel.kept = GPUStream(model)\ndisplay(model.kept)",
    "a box": "stream = GPUStream()\ndisplay(stream)\ndisplay(ipywidgets.Box([stream]))\ndel stream",
    "an output widget": """
output = ipywidgets.Output()
display(output)
with output:
    display(GPUStream())""",
    "an output widget's list": """
output = ipywidgets.Output()
output.append_display_data(GPUStream())
display(output)""",
    "captured output": """
with capture_output() as captured:
    display(GPUStream())
captured.show()""",
    "a display id": "handle = display(GPUStream(), display_id=True)",
    "nowhere": "GPUStream();",
}


@pytest.fixture
def notebook(kernel: Kernel) -> Iterator[Kernel]:
    kernel.run(PREPARE)
    yield kernel
    kernel.run(CLOSE)


def is_alive(notebook: Kernel, number: int = 0) -> bool:
    return bool(notebook.evaluate(f"is_alive({number})"))


@pytest.mark.parametrize("code", ABANDONED.values(), ids=ABANDONED)
def test_a_stream_is_closed_when_its_cell_runs_again(notebook: Kernel, code: str) -> None:
    notebook.run(code, cell_id="usual")
    stream = notebook.stream("made[0]()")
    notebook.run("later = 1", cell_id="other")
    assert notebook.evaluate("made[0]() is not None")
    notebook.run(code, cell_id="usual")
    assert notebook.evaluate("made[0]() is None")
    assert notebook.evaluate("made[1]() is not None")
    engine = "gpuview.engine.shared_engine.shared_engine(gpuview.Settings())"
    assert notebook.evaluate(f"len({engine}._streams) <= 1")
    wait_until(lambda: not stream.is_open, "the page to be told")


def test_a_stream_that_a_thread_has_held_is_closed_after_it(notebook: Kernel) -> None:
    notebook.run(HELD_BY_A_THREAD, cell_id="usual")
    notebook.run("later = 1", cell_id="usual")
    assert is_alive(notebook)
    notebook.run("may_end.set()\nthread.join()\ndel thread", cell_id="other")

    def is_gone() -> bool:
        notebook.run("later = 2", cell_id="other")
        return bool(notebook.evaluate("made[0]() is None"))

    wait_until(is_gone, "the stream is closed")


@pytest.mark.parametrize("code", KEPT.values(), ids=KEPT)
def test_a_stream_that_is_kept_anywhere_stays_open(notebook: Kernel, code: str) -> None:
    notebook.run(code, cell_id="usual")
    notebook.run("display(GPUStream())", cell_id="another")
    for _ in range(3):
        notebook.run("later = 1", cell_id="usual")
        notebook.run("display(GPUStream())", cell_id="another")  # collects garbage each time
        assert is_alive(notebook)
    assert notebook.evaluate("made[1]() is None")


@pytest.mark.parametrize("code", ["display(shown)", "shown", "display(ipywidgets.Box([shown]))"])
def test_a_stream_that_another_cell_shows_stays_open(notebook: Kernel, code: str) -> None:
    notebook.run("shown = GPUStream()\ndisplay(shown)", cell_id="first")
    notebook.run(code, cell_id="second")
    for _ in range(3):
        notebook.run("shown = None", cell_id="first")
    assert is_alive(notebook)


def test_without_names_of_cells_nothing_is_closed(notebook: Kernel) -> None:
    for _ in range(3):
        notebook.run("display(GPUStream())")
    assert all(is_alive(notebook, number) for number in range(3))


def test_a_kept_stream_can_be_displayed_again(notebook: Kernel) -> None:
    notebook.run("kept = GPUStream()\nkept.push(torch.rand(96, 128, 3))", cell_id="made")
    for _ in range(3):
        notebook.run("display(kept)", cell_id="shown")
        notebook.run("later = 1", cell_id="shown")
    notebook.run("display(kept)", cell_id="shown")
    with notebook.view(notebook.stream("kept")) as viewer:
        viewer.next_frame()


def test_a_kept_result_stays_in_the_history(notebook: Kernel) -> None:
    notebook.run("kept = GPUStream()\nkept", cell_id="usual")
    notebook.run("display(GPUStream())", cell_id="another")
    notebook.run("number = max(Out)", cell_id="usual")
    notebook.run("display(GPUStream())", cell_id="another")
    assert notebook.evaluate("made[1]() is None")
    in_history = "Out[number], globals()[f'_{number}'], _, get_ipython().displayhook._"
    assert notebook.evaluate(f"[each is kept for each in ({in_history})]") == [True] * 4


def test_a_stream_is_closed_after_its_last_variable(notebook: Kernel) -> None:
    notebook.run("kept = GPUStream()\ndisplay(kept)", cell_id="usual")
    notebook.run("later = 1", cell_id="usual")
    assert is_alive(notebook)
    notebook.run("del kept", cell_id="other")
    assert notebook.evaluate("made[0]() is None")


def test_a_stream_that_is_watched_stays_open(notebook: Kernel) -> None:
    notebook.run("display(GPUStream(lambda: torch.rand(96, 128, 3)))", cell_id="usual")
    with notebook.view(notebook.stream()) as viewer:
        viewer.next_frame()
        for _ in range(3):
            notebook.run("later = 1", cell_id="usual")
        viewer.next_frame()
    notebook.wait_until("not made[0]().viewers")
    notebook.run("later = 1", cell_id="other")
    assert notebook.evaluate("made[0]() is None")


def test_a_stream_that_is_recorded_stays_open(notebook: Kernel, tmp_path: Path) -> None:
    path = str(tmp_path / "kept.mp4")
    notebook.run(
        f"stream = GPUStream()\ndisplay(stream)\nstream.record({path!r});", cell_id="usual"
    )
    for _ in range(3):
        notebook.run("stream = None", cell_id="usual")
    assert is_alive(notebook)
    notebook.run("made[0]()._recordings.close()", cell_id="other")
    assert notebook.evaluate("made[0]() is None")


def holdings(pids: list[int]) -> Counter[str]:
    """Count the threads, descriptors and shared memories of processes."""
    counts: Counter[str] = Counter()
    for pid in pids:
        counts[f"threads of {pid}"] = len(list(Path(f"/proc/{pid}/task").iterdir()))
        links = []
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed in the meantime
                links.append(str(each.readlink()))
        counts[f"descriptors of {pid}"] = len(links)
        counts[f"memories of {pid}"] = sum("memfd:gpuview" in each for each in links)
    return counts


def test_after_22_runs_a_kernel_holds_what_it_held_after_2(
    notebook: Kernel, media_pid: Callable[[Kernel], int]
) -> None:
    code = """
frame = torch.rand(96, 128, 3)
frames = [*globals().get("frames", ()), weakref.ref(frame)]
stream = GPUStream()
stream.push(frame)
display(stream)
"""
    pids = [notebook.pid, media_pid(notebook)]

    def run(count: int) -> None:
        for _ in range(count):
            shown = notebook.viewers
            notebook.run(code, cell_id="usual")
            for viewer in shown:  # as a page does when the new output comes
                viewer.close()
            notebook.view(notebook.stream()).next_frame()

    def held() -> Counter[str]:
        notebook.wait_until("not any(ref().viewers for ref in made[:-1] if ref())")
        notebook.run("later = 1", cell_id="other")
        alive = {
            "streams": "sum(ref() is not None for ref in made)",
            "frames": "sum(ref() is not None for ref in frames)",
        }
        return holdings(pids) | Counter({k: notebook.evaluate(v) for k, v in alive.items()})

    def held_for_one() -> Counter[str] | None:
        counts = held()
        return counts if (counts["streams"], counts["frames"]) == (1, 1) else None

    run(2)
    after_2 = wait_until(held_for_one, "one stream is left", describe=held)
    run(20)
    wait_until(lambda: held() <= after_2, f"no more than {after_2}", describe=held)
