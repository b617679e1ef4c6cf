"""What is tested: a plate that is heated on one side."""

from __future__ import annotations

import asyncio

import torch

from gpuview import GPUStream

HEIGHT, WIDTH = 192, 320


class Plate:
    """Warms a little with each call, from black to white."""

    def __init__(self) -> None:
        self.step = 0

    def __call__(self) -> torch.Tensor:
        self.step += 1
        return plate(self.step)


def plate(step: int) -> torch.Tensor:
    """Return its temperatures in (0, 1) after so many steps, ``(H, W)``."""
    warmth = torch.linspace(0.2, 1.0, WIDTH).expand(HEIGHT, WIDTH)
    return warmth * (step % 20 / 20)


async def heat(stream: GPUStream) -> None:
    """Push its temperatures for ever."""
    warm = Plate()
    while True:
        stream.push(warm())
        await asyncio.sleep(0.05)
