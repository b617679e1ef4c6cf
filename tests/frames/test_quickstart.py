"""The models in the quickstart notebook, run from its own cells."""

from pathlib import Path

import nbformat
import pytest
import torch

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"


class RecordedStream:
    """Takes the place of GPUStream and keeps the frames."""

    def __init__(self, source=None) -> None:
        self.source = source
        self.pushed: list[torch.Tensor] = []

    def push(self, frame: torch.Tensor) -> None:
        self.pushed.append(frame)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture
def run(notebook, monkeypatch):
    """Run cells by their ids in one namespace, and return it."""
    monkeypatch.setattr("gpuview.GPUStream", RecordedStream, raising=False)
    threads = torch.get_num_threads()
    sources = {cell.id: cell.source for cell in notebook.cells}
    namespace: dict[str, object] = {"display": lambda shown: shown}

    def run_cells(*ids: str) -> dict[str, object]:
        for cell_id in ids:
            exec(compile(sources[cell_id], f"<cell {cell_id}>", "exec"), namespace)
        return namespace

    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield run_cells
    torch.set_num_threads(threads)


def test_the_notebook_is_saved_without_outputs(notebook):
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]

    assert notebook.metadata.kernelspec.name == "python3"
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@torch.inference_mode()
def test_the_water_moves_and_fills_with_ink(run):
    water = run("imports", "ink")["Ink"]()

    frames = torch.stack([water() for _ in range(40)])

    assert frames.shape == (40, 3, 360, 640)
    assert frames.isfinite().all()
    assert (frames[1:] != frames[:-1]).flatten(1).any(1).all()
    assert frames[-1].std() > 2 * frames[0].std()


@torch.inference_mode()
def test_the_water_stays_calm_however_long_it_runs(run):
    water = run("imports", "ink")["Ink"](36, 64)

    for _ in range(600):
        picture = water()

    assert water.flow.abs().max() < 20
    assert 0.05 < picture.mean() < 0.95


def test_the_ink_can_be_washed_away_while_it_plays(run):
    namespace = run("imports", "ink", "play")
    with torch.inference_mode():
        before = namespace["water"]().std()
        before = max(before, namespace["water"]().std())

    run("wash")

    with torch.inference_mode():
        assert namespace["water"]().std() < before


def test_the_network_is_shown_as_it_learns(run):
    namespace = run("imports", "ink", "painter", "stream")
    namespace["steps"] = 51
    run("train", "close")

    pushed = namespace["stream"].pushed
    errors = [
        (learnt - target).square().mean() for target, learnt in (p.chunk(2, 2) for p in pushed)
    ]
    assert len(pushed) == 11
    assert pushed[0].shape == (3, 144, 512)
    assert errors[-1] < errors[0] / 2
