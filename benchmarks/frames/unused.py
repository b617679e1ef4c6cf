"""What a push costs with a look of its own, and beside handlers and knobs that nobody touches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import median

import torch

from benchmarks.frames.report import Row

__all__ = ["rows"]

Push = Callable[[], None]

_PAIRS_A_ROUND = 20
_BLOCK_S = 0.1


def rows(rounds: int) -> Iterator[Row]:
    """Compare two ways to push one picture, in turn, in CPU time of the kernel's process."""
    try:
        from gpuview import GPUStream, Panel
    except ImportError as exc:  # a source tree without its front end, as on a borrowed machine
        yield Row(f"not measured: {str(exc).splitlines()[0]}", {})
        return
    torch.set_num_threads(1)
    frame = torch.rand(3, 720, 1280)
    panel = Panel(frame)
    with ExitStack() as stack:
        plain, touched = (stack.enter_context(GPUStream()) for _ in range(2))
        _give_handlers_and_knobs(touched)
        pairs: dict[str, tuple[Push, Push]] = {
            "nothing against nothing": (lambda: plain.push(frame), lambda: plain.push(frame)),
            "tensor against Panel(tensor)": (
                lambda: plain.push(frame),
                lambda: plain.push(panel),
            ),
            "none against 2 handlers and 4 knobs": (
                lambda: plain.push(frame),
                lambda: touched.push(frame),
            ),
        }
        for is_watched in (False, True):
            for stream in (plain, touched):
                stream.push(frame)  # the first one is read in full
                stream._feed.watch(is_watched)
            for name, (first, second) in pairs.items():
                title = f"{name}, {'watched' if is_watched else 'while nobody watches'}"
                yield _row(title, first, second, rounds * _PAIRS_A_ROUND)


def _give_handlers_and_knobs(stream: object) -> None:
    from gpuview import GPUStream

    assert isinstance(stream, GPUStream)
    stream.add_event_handler(lambda event: None, "pointer_move", "pointer_down")
    stream.add_event_handler(lambda event: None, "wheel")
    stream.slider("rate", 0.0, 1.0)
    stream.slider("weights", 0.0, 1.0, value=[0.2, 0.8])
    stream.toggle("fast")
    stream.choice("mode", ["a", "b"])


def _row(name: str, first: Push, second: Push, n_pairs: int) -> Row:
    times = [_pair(first, second, is_turned=n % 2 == 1) for n in range(n_pairs)]
    figures = {
        "first, µs": median(us for us, _ in times),
        "second, µs": median(us for _, us in times),
        "second : first, %": median(100 * second_us / first_us for first_us, second_us in times),
    }
    return Row(name, figures)


def _pair(first: Push, second: Push, *, is_turned: bool) -> tuple[float, float]:
    """Measure both; the order alternates, so that none always has the warmer machine."""
    if is_turned:
        second_us, first_us = _cpu_us(second), _cpu_us(first)
    else:
        first_us, second_us = _cpu_us(first), _cpu_us(second)
    return first_us, second_us


def _cpu_us(push: Push) -> float:
    """Return this process's CPU time for one call, over calls for a tenth of a second."""
    push()
    calls, began, end = 0, time.process_time(), time.perf_counter() + _BLOCK_S
    while time.perf_counter() < end:
        push()
        calls += 1
    return (time.process_time() - began) * 1e6 / calls
