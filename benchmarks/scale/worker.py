"""A worker's process, until it is ended: ``python -m benchmarks.scale.worker WHAT RUN ...``.

``shows RUN WIDTH HEIGHT FPS`` pushes the scene. ``trains RUN`` trains by turns without and with a
push in each step, and says what each turn took. ``crowds RUN COUNT`` joins as so many ranks.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import gpuview
from benchmarks.link.scene import Texture
from gpuview.cluster.identity import Identity
from gpuview.cluster.join_file import JOIN_VARIABLE, read_join_file
from gpuview.cluster.published_view import PublishedView

_TURN_S = 0.5
_BATCH, _SIDE, _CHANNELS = 8, 64, 32
_COARSE, _SIZE = (1, 3, 9, 16), (180, 320)
_UNSET = ("layout", "value_range", "colormap", "size", "columns", "select", "caption")


def _say(**values: object) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def shows(run: str, width: str, height: str, fps: str) -> None:
    scene, period_s = Texture(int(width), int(height)), 1 / float(fps)
    _say(begins_us=time.time_ns() // 1000)
    view = gpuview.publish(run, fps=float(fps))
    due_s = time.monotonic()
    while True:
        view.push(torch.from_numpy(scene()))
        due_s = max(due_s + period_s, time.monotonic() - period_s)
        time.sleep(max(0.0, due_s - time.monotonic()))


class _Training:
    """A small network on random pictures, on one core."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self._model = nn.Sequential(
            nn.Conv2d(3, _CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_CHANNELS, 3, 3, padding=1),
        )
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=0.01)
        self._images = torch.rand(_BATCH, 3, _SIDE, _SIDE)  # (N, C, H, W)

    def step(self) -> None:
        self._optimizer.zero_grad()
        nn.functional.mse_loss(self._model(self._images), self._images).backward()
        self._optimizer.step()


def trains(run: str) -> None:
    view = gpuview.publish(run)
    training, picture = _Training(), nn.functional.interpolate(torch.rand(_COARSE), _SIZE)[0]
    for is_pushing in itertools.cycle((False, True)):
        n_steps, pushed_s, pushed_cpu_s = 0, 0.0, 0.0
        began_s, cpu_began_s = time.perf_counter(), time.process_time()
        while time.perf_counter() - began_s < _TURN_S:
            training.step()
            picture.add_(0.01).remainder_(1.0)  # in either turn: it is no part of the push
            n_steps += 1
            if is_pushing:
                push_began_s, push_cpu_began_s = time.perf_counter(), time.thread_time()
                view.push(picture)
                pushed_s += time.perf_counter() - push_began_s
                pushed_cpu_s += time.thread_time() - push_cpu_began_s
        turn = {
            "is_pushing": is_pushing,
            "is_watched": view.is_watched,
            "steps_per_s": n_steps / (time.perf_counter() - began_s),
            "cpu_ms_per_step": (time.process_time() - cpu_began_s) * 1000 / n_steps,
            "push_us": pushed_s * 1e6 / n_steps,
            "push_cpu_us": pushed_cpu_s * 1e6 / n_steps,
        }
        _say(turn=turn)


def crowds(run: str, count: str) -> None:
    find = partial(read_join_file, Path(os.environ[JOIN_VARIABLE]))
    options: dict[str, Any] = {"fps": 30, "max_bitrate_bps": 20_000_000, **dict.fromkeys(_UNSET)}
    ranks = [Identity(rank, int(count)) for rank in range(int(count))]
    views = [PublishedView(run, rank, find, **options) for rank in ranks]  # `publish` has one only
    _say(n_views=len(views))
    threading.Event().wait()


if __name__ == "__main__":
    {"shows": shows, "trains": trains, "crowds": crowds}[sys.argv[1]](*sys.argv[2:])
