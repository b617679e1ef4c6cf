"""What happens to the link, and what is measured while it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.link.contenders import Viewer
from benchmarks.link.laboratory import FAST, NEIGHBOUR, Route, way
from benchmarks.link.measure import Session

__all__ = ["SCENARIOS", "Scenario"]

_STEP_S = 10.0
_OUTAGE_S = 0.3
_STILL_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One session: what is sent, on which route, and the steps."""

    play: Callable[[Session], None]
    route: Route = "direct"
    viewers: tuple[Viewer, ...] = (Viewer(),)
    width: int = 1280
    height: int = 720


def _rates(session: Session) -> None:
    for rate_mbps in (20, 2, 20, 1, 20):
        session.step(f"{rate_mbps} Mbit/s", _STEP_S, down=way(rate_mbps * 1e6), up=FAST)


def _loss(session: Session) -> None:
    for share in (0.02, 0.1):
        lossy = way(loss=share)
        session.step(f"{share:.0%} loss", _STEP_S, down=lossy, up=lossy)


def _jitter(session: Session) -> None:
    for jitter_ms in (30, 60):
        unsteady = way(jitter_s=jitter_ms / 1000)
        session.step(f"{jitter_ms} ms of jitter", _STEP_S, down=unsteady, up=unsteady)


def _outage(session: Session) -> None:
    outages_s = (_OUTAGE_S,) * 3
    name = "300 ms of nothing, three times"
    session.step(name, 1.5 * _STEP_S, down=FAST, up=FAST, outages_s=outages_s)


def _idle(session: Session) -> None:
    session.step("moving", _STEP_S, down=FAST, up=FAST)
    session.sender.move(False)
    time.sleep(_STILL_S)
    session.sender.move(True)
    session.step("moving after 60 s of a still", _STEP_S, down=FAST, up=FAST)


def _share(session: Session) -> None:
    narrow = way(4e6)
    session.step("two begin to share 4 Mbit/s", _STEP_S, down=narrow, up=FAST)
    session.step("two share 4 Mbit/s", 2 * _STEP_S, down=narrow, up=FAST)


def _neighbours(session: Session) -> None:
    for rate_mbps in (20, 1):
        session.step(f"one at {rate_mbps} Mbit/s", _STEP_S, down=way(rate_mbps * 1e6), up=FAST)


_HARDSHIPS = {"rates": _rates, "loss": _loss, "outage": _outage}

SCENARIOS: dict[str, Scenario] = {
    **{name: Scenario(play=play) for name, play in _HARDSHIPS.items()},
    # So small that the machine is not the limit.
    "loss-360p": Scenario(play=_loss, width=640, height=360),
    "idle": Scenario(play=_idle),
    # Two of 720p would be more than two cores can encode, decode and draw.
    "share": Scenario(
        play=_share,
        viewers=(Viewer(name="stream 1"), Viewer(name="stream 2", stream=1)),
        width=640,
        height=360,
    ),
    "jitter": Scenario(play=_jitter),
    **{
        f"{name}-{route}": Scenario(play=play, route=route)
        for route in ("turn-udp", "turn-tcp")
        for name, play in _HARDSHIPS.items()
    },
    # The last, because it starts another browser.
    "neighbours": Scenario(
        play=_neighbours,
        viewers=(Viewer(name="its viewer"), Viewer(name="the other viewer", address=NEIGHBOUR)),
    ),
}
"""By name, in the order of the table."""
