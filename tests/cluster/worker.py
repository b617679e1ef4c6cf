"""A training loop as a process of its own: ``worker.py RUN [what]...``.

Each step pushes a picture whose grey says its rank. It prints a line when it begins, and its step
now and then, and ends when it is killed.
"""

from __future__ import annotations

import json
import os
import sys
import time

import torch

import gpuview

STEP_S = 0.03
GREY_OF_RANK = 0.2
"""The difference between two ranks' greys; the first is half as bright."""


def picture(rank: int, step: int) -> torch.Tensor:
    """Return a picture that differs from the one before, and has its rank's grey."""
    frame = torch.full((96, 128, 3), GREY_OF_RANK * (rank + 0.5))
    frame[:, : 8 * (step % 2)] = 0
    return frame


def rank_of(frame: object) -> int:
    """Return whose picture a viewer shows, by the grey of its right half."""
    grey = frame[:, frame.shape[1] // 2 :].mean() / 255  # type: ignore[attr-defined,index]
    return round(float(grey) / GREY_OF_RANK - 0.5)


def say(**values: object) -> None:
    sys.stdout.write(json.dumps(values) + "\n")  # at once: ranks share the output
    sys.stdout.flush()


def main(run: str, *what: str) -> None:
    rank = int(os.environ.get("RANK", "0"))
    if "with-peers" in what:
        torch.distributed.init_process_group("gloo")
    view = gpuview.publish(run)
    rate = view.slider("rate", 0.0, 1.0, value=0.5)
    if "that-forks" in what and os.fork() == 0:
        view.push(picture(4, 0))
        os._exit(0)
    say(pid=os.getpid(), rank=rank)
    step, taken = 0, rate.value
    while True:
        if "that-syncs" in what:
            view.sync()
            if rate.value != taken:
                taken = rate.value
                say(taken=[step, taken])
        if "with-peers" in what:
            torch.distributed.all_reduce(torch.ones(1))
        view.push("no picture" if "with-bad-frames" in what else picture(rank, step))
        step += 1
        if step % 10 == 0:
            shown = view.stats().frames_shown
            say(step=step, rate=rate.value, is_watched=view.is_watched, frames_shown=shown)
        time.sleep(STEP_S * (rank + 1) if "of-its-own-speed" in what else STEP_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
