"""Which part of a frame is shown."""

import pytest
import torch
from torch import nn

from gpuview.errors import FrameError
from gpuview.frames.picture.select import as_select
from gpuview.frames.picture.tensor_layout import Values


@pytest.mark.parametrize(
    ("select", "frame", "picked"),
    [
        (1, "abc", "b"),
        (slice(1, None), "abc", "bc"),
        ("depth", {"depth": 3}, 3),
        (lambda frame: frame + 1, 2, 3),
    ],
)
def test_an_index_or_a_function_picks_what_is_shown(select, frame, picked):
    assert as_select(select)(frame) == picked


def test_a_tuple_picks_by_several_indices():
    frame = torch.arange(8).view(2, 2, 2)

    assert as_select((1, ..., slice(None, 1)))(frame).tolist() == [[4], [6]]


def test_a_slice_of_a_parameter_is_values_too():
    picked = as_select(0)(nn.Parameter(torch.eye(2)))

    assert isinstance(picked, Values)
    assert picked.tensor.tolist() == [1, 0]


def test_without_select_there_is_no_function():
    assert as_select(None) is None


def test_a_select_of_another_type_is_refused():
    with pytest.raises(FrameError, match=r"(?s)cannot select with .* float.*select=0"):
        as_select(0.5)


def test_an_error_of_select_is_explained():
    with pytest.raises(FrameError, match="select raised KeyError: 'depth'") as caught:
        as_select("depth")({})

    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, StopIteration])
def test_nothing_that_select_raises_ends_a_thread_or_an_iteration(kind):
    def select(frame):
        raise kind

    with pytest.raises(FrameError, match=f"select raised {kind.__name__}"):
        as_select(select)(0)


def test_the_users_interrupt_passes_through_select():
    def select(frame):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        as_select(select)(0)
