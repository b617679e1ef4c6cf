"""A tensor that is like the one before it: the same picture for less."""

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from gpuview.errors import FrameError
from gpuview.frames.picture.look import Look
from gpuview.frames.writer import FrameWriter
from tests.frames.ring import RingSink

LOOK = Look()
SECOND_NS = 1_000_000_000


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def bytes_of(*shape: int) -> Tensor:
    return (noise(*shape) * 255).to(torch.uint8)


def with_nan(*shape: int, row: int = 3) -> Tensor:
    values = noise(*shape)
    values[..., row, 5:9] = torch.nan
    return values


def negated(*shape: int) -> Tensor:
    return torch.complex(noise(*shape), -noise(*shape)).conj().imag


def shown(writer: FrameWriter, ring: RingSink, frame: Tensor, look: Look = LOOK) -> bytes:
    writer.write(frame, look)
    slot = ring.newest()
    return bytes((slot.pixel_format,)) + bytes(slot.data)


MAKE: dict[str, Callable[[], Tensor]] = {
    "planes": lambda: noise(3, 240, 96),
    "odd": lambda: noise(3, 241, 97),
    "interleaved": lambda: noise(240, 96, 3),
    "planes of interleaved": lambda: noise(240, 96, 3).permute(2, 0, 1),
    "cropped": lambda: noise(3, 300, 130)[:, 7:247, 5:101],
    "grey": lambda: noise(240, 96),
    "batch of one": lambda: noise(1, 3, 240, 96),
    "alpha": lambda: bytes_of(240, 96, 4),
    "bytes": lambda: bytes_of(3, 240, 96),
    "bytes interleaved": lambda: bytes_of(241, 97, 3),
    "half": lambda: noise(3, 240, 96).half(),
    "double": lambda: noise(3, 240, 96).double(),
    "with NaN": lambda: with_nan(3, 240, 96),
    "odd with NaN in the last row": lambda: with_nan(3, 241, 97, row=240),
    "grey with NaN": lambda: with_nan(240, 96),
    "out of range": lambda: noise(3, 240, 96) * 3 - 1,
    "leaf": lambda: noise(3, 240, 96).requires_grad_(),
    "negated": lambda: negated(3, 240, 96),
    "map": lambda: noise(4, 20, 30),
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_it_is_shown_as_if_it_were_the_first(make):
    frame, before = make(), torch.zeros_like(make().detach().resolve_neg())
    with RingSink() as ring, RingSink() as other:
        writer, fresh = FrameWriter(ring), FrameWriter(other)
        wanted = shown(fresh, other, frame)
        shown(writer, ring, before)

        assert shown(writer, ring, frame) == wanted
        assert shown(writer, ring, frame) == wanted
        assert writer.stats().n_nan == 2 * fresh.stats().n_nan


def test_one_of_the_same_shape_may_lie_otherwise_in_memory():
    planes, interleaved = noise(3, 240, 96), noise(240, 96, 3).permute(2, 0, 1)
    for first, second in ((planes, interleaved), (interleaved, planes)):
        with RingSink() as ring, RingSink() as other:
            wanted = shown(FrameWriter(other), other, second)
            writer = FrameWriter(ring)
            shown(writer, ring, first)

            assert shown(writer, ring, second) == wanted


def test_a_user_whose_numpy_raises_is_not_told_of_tiny_values():
    look = Look(value_range=(0, 1e6))
    frames = (torch.full((3, 240, 96), 1e-40), torch.full((240, 96), 1e-300, dtype=torch.float64))
    with RingSink() as ring, np.errstate(all="raise"):
        writer = FrameWriter(ring)
        for frame in frames:
            assert not any(shown(writer, ring, frame, look)[1:])


def test_each_has_a_range_of_its_own_if_that_is_asked_for():
    look = Look(value_range="frame")
    with RingSink() as ring, RingSink() as other:
        writer = FrameWriter(ring)
        for frame in (noise(240, 96), 5 * noise(240, 96), noise(3, 240, 96), 5 * noise(3, 240, 96)):
            wanted = shown(FrameWriter(other), other, frame, look)
            assert shown(writer, ring, frame, look) == wanted


def calls(work: Callable[[], object]) -> int:
    """Count the functions that are called, ours and a library's."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_it_is_not_read_and_planned_again():
    with RingSink() as ring:
        writer = FrameWriter(ring)
        writer.write({"first": noise(240, 96)}, LOOK)  # what is cached for all writers
        first = calls(lambda: writer.write(noise(3, 240, 96), LOOK))
        frame = noise(3, 240, 96)
        second = calls(lambda: writer.write(frame, LOOK))

    assert second < first / 2


def test_grey_with_nan_is_not_tried_as_if_it_had_none():
    frame = with_nan(240, 96)
    with RingSink() as ring:
        writer = FrameWriter(ring)
        writer.write(frame, LOOK)  # what is cached for all writers
        writer.write(noise(3, 240, 96), LOOK)
        first, second = (calls(lambda: writer.write(frame, LOOK)) for _ in range(2))

    assert second <= first


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_what_has_no_shape_is_refused_as_ever():
    nested = torch.nested.nested_tensor([noise(3, 4), noise(5, 4)])
    with RingSink() as ring:
        writer = FrameWriter(ring)
        writer.write(noise(3, 240, 96), LOOK)

        with pytest.raises(FrameError, match="nested tensor"):
            writer.write(nested, LOOK)


def test_what_has_no_strides_is_refused_as_ever():
    with RingSink() as ring:
        writer = FrameWriter(ring)
        writer.write(noise(3, 240, 96), LOOK)

        with pytest.raises(FrameError, match="sparse"):
            writer.write(noise(3, 240, 96).to_sparse(), LOOK)


@pytest.mark.parametrize(
    "other", [noise(3, 256, 128), noise(240, 96, 3), noise(4, 20, 30), {"a": noise(240, 96)}]
)
def test_a_frame_between_two_that_are_alike_has_a_map_of_its_own(other):
    frame = noise(3, 240, 96)
    with RingSink() as ring:
        writer = FrameWriter(ring)
        found = []
        for each in (frame, frame, other, frame, frame):
            writer.write(each, LOOK)
            found.append((writer.map, dict(writer.readings)))
        writer.check(other, LOOK)
        writer.write(frame, LOOK)

    assert found[0] == found[1] == found[3] == found[4] != found[2]
    assert (writer.map, writer.readings) == found[0]


def test_another_look_is_followed_at_once():
    frame = noise(3, 240, 96)
    with RingSink() as ring:
        writer = FrameWriter(ring)
        first, second = (shown(writer, ring, frame) for _ in range(2))
        dark = shown(writer, ring, frame, Look(value_range=(0, 4)))

    assert first == second != dark


def test_it_is_measured_when_that_is_due(monkeypatch):
    now_ns = [SECOND_NS]
    monkeypatch.setattr("gpuview.frames.writer.time.monotonic_ns", lambda: now_ns[0])
    hints: list[str] = []
    with RingSink() as ring:
        writer = FrameWriter(ring, hints.append)
        writer.write(noise(3, 240, 96), LOOK)
        writer.write(noise(3, 240, 96) * 9, LOOK)
        assert hints == []
        now_ns[0] += SECOND_NS
        writer.write(noise(3, 240, 96) * 9, LOOK)
        assert len(hints) == 1
        writer.write(noise(3, 240, 96), LOOK)

    assert "values reach" in hints[0]
    assert hints[1:] == [""]


def test_memory_that_was_freed_is_not_read():
    frames = [noise(3, 240, 96), noise(6, 240, 96)[3:]]
    with RingSink() as ring:
        writer = FrameWriter(ring)
        for frame in frames:
            writer.write(noise(3, 240, 96), LOOK)
            frame.untyped_storage().resize_(0)
            with pytest.raises(FrameError, match="whose memory was freed"):
                writer.write(frame, LOOK)


def test_the_inside_of_a_transform_is_refused_each_time():
    with RingSink() as ring:
        writer = FrameWriter(ring)
        writer.write(noise(3, 240, 96), LOOK)

        def work(each: Tensor) -> Tensor:
            with pytest.raises(FrameError):
                writer.write(each, LOOK)
            return each

        torch.func.vmap(work)(noise(2, 3, 240, 96))
