"""What is measured; each part has a kernel of its own, and returns its figures by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.scale.grid import grid
from benchmarks.scale.lab import laboratory, media_process
from benchmarks.sender.measure import measure as measure_sender
from gpuview.testing.peer import Image
from gpuview.testing.viewer import HeadlessViewer
from tests.cluster.jobs import Job
from tests.ports import free_port
from tests.turnserver import LOOPBACK, TurnServer

__all__ = ["PARTS"]

_SCENE = (640, 360)
_SMALL = (320, 180, 15)
_N_CELLS = 40
_ROUNDS = 3
_STRETCH_S = 6.0
_USAGE_S = 8.0
_N_RANKS = 3
_N_IDLE = 200
_N_RELAYED = 5
_N_TURNS = 40  # of each kind
_SETTLE_S = 3.0


def glass() -> dict[str, float]:
    """Glass to glass of one scene from the kernel and from a worker, by turns."""
    latencies: dict[str, list[float]] = {"local": [], "run1": []}
    width, height = _SCENE
    with laboratory() as lab:
        lab.kernel.run("local = GPUStream()\ndisplay(local)")
        lab.show("run1")
        push = "lambda frame: local.push(torch.from_numpy(frame))"
        lab.kernel.run(f"is_moving = play({push}, Texture({width}, {height}))")
        lab.start_worker("shows", "run1", width, height, 30)
        lab.wait_for_workers("run1", 1)
        for _ in range(_ROUNDS):
            for name, found in latencies.items():
                with lab.view(name) as viewer:
                    viewer.wait_for_frames(30)
                    found.extend(_latencies_ms(viewer))
    figures = {}
    for title, found in zip(("local source", "worker"), latencies.values(), strict=True):
        figures[f"glass to glass, {title}, p50, ms"] = median(found)
        figures[f"glass to glass, {title}, p95, ms"] = quantiles(found, n=20)[-1]
    more = median(latencies["run1"]) - median(latencies["local"])
    return {**figures, "glass to glass, worker more than local, p50, ms": more}


def _latencies_ms(viewer: HeadlessViewer) -> list[float]:
    found: list[float] = []
    end_s = time.monotonic() + _STRETCH_S

    def note(image: Image) -> bool:
        found.append(_age_us(image) / 1000)
        return time.monotonic() > end_s

    viewer.wait_until(note)
    return found


def _age_us(image: Image) -> int:
    """Return how long ago a frame was begun, by its second row of cells; see `Texture`."""
    now_us = time.time_ns() // 1000
    cell = image.shape[1] // _N_CELLS
    luma = image[cell + cell // 2, cell // 2 :: cell, 1]
    bits = np.packbits(luma[:_N_CELLS] > 128)
    return (now_us - int.from_bytes(bits.tobytes(), "big")) % 2**_N_CELLS


def training() -> dict[str, float]:
    """A training loop by turns: without a push, and with one, unwatched and then watched."""
    with laboratory() as lab:
        lab.show("run1")
        job = lab.start_worker("trains", "run1")
        lab.wait_for_workers("run1", 1)
        unwatched = _turns(job)
        with lab.view("run1", is_decoding=False) as viewer:
            viewer.wait_for_frames(10)
            watched = _turns(job)
    pushing = [turn for turn in watched if turn["is_pushing"]]
    assert all(turn["is_watched"] for turn in pushing)
    assert not any(turn["is_watched"] for turn in unwatched)
    return {
        "training step, without a push, ms": 1000 / median(_of(unwatched, False, "steps_per_s")),
        "push, unwatched, µs": median(_of(unwatched, True, "push_us")),
        "push, watched, µs": median(_of(watched, True, "push_us")),
        "push, watched, its thread's CPU time, µs": median(_of(watched, True, "push_cpu_us")),
        **_costs("unwatched", unwatched),
        **_costs("watched", watched),
    }


def _turns(job: Job) -> list[Mapping[str, float]]:
    """Return the next turns, beginning with one that was not under way."""
    n_before = len(job.said("turn")) + 1
    job.wait_for("turn", n_before + 2 * _N_TURNS)
    return list(job.said("turn")[n_before : n_before + 2 * _N_TURNS])


def _of(turns: list[Mapping[str, float]], is_pushing: bool, name: str) -> list[float]:
    return [turn[name] for turn in turns if turn["is_pushing"] == is_pushing]


def _costs(title: str, turns: list[Mapping[str, float]]) -> dict[str, float]:
    """Compare each turn that pushes with the one beside it, so that drifts take no part."""
    cpu, steps = _ratio(turns, "cpu_ms_per_step"), _ratio(turns, "steps_per_s")
    return {
        f"training loop, {title}, more CPU time, %": 100 * (cpu - 1),
        f"training loop, {title}, fewer steps per second, %": 100 * (1 - steps),
    }


def _ratio(turns: list[Mapping[str, float]], name: str) -> float:
    pairs = zip(_of(turns, True, name), _of(turns, False, name), strict=True)
    return median(pushing / plain for pushing, plain in pairs)


def ranks() -> dict[str, float]:
    """What ranks cost that are watched, each in a stream of its own with a viewer."""
    names = [f"run{n}" for n in range(_N_RANKS)]
    with laboratory() as lab, ExitStack() as viewers:
        for name in names:
            lab.show(name)
        jobs = [lab.start_worker("shows", name, *_SMALL) for name in names]
        for name in names:
            lab.wait_for_workers(name, 1)
        pids = {"notebook": lab.media_pid(names[0]), "worker": media_process(jobs[0].pid)}
        usages = []
        for name in names:
            viewers.enter_context(lab.view(name, is_decoding=False)).wait_for_frames(60)
            usages.append(lab.measure(pids, names, _USAGE_S))
    first, last = usages[0], usages[-1]
    more = (last["notebook"].cpu_percent - first["notebook"].cpu_percent) / (_N_RANKS - 1)
    return {
        "1 rank watched, with its viewer: notebook's media process, % of a core": first[
            "notebook"
        ].cpu_percent,
        "each further rank watched, with its viewer: notebook's media process, % of a core": more,
        f"each rank watched, of {_N_RANKS}: Mbit/s": last["notebook"].mbit_s / _N_RANKS,
        "1 rank watched: its worker's media process, % of a core": first["worker"].cpu_percent,
    }


def idle_ranks() -> dict[str, float]:
    """What ranks cost that have joined and that nobody watches."""
    with laboratory() as lab:
        lab.show("run1")
        pids = {"media": lab.media_pid("run1"), "kernel": lab.kernel.pid}
        time.sleep(_SETTLE_S)
        alone = lab.measure(pids, [], _USAGE_S)
        job = lab.start_worker("crowds", "run1", _N_IDLE)
        job.wait_for("n_views")
        lab.wait_for_workers("run1", _N_IDLE)
        time.sleep(_SETTLE_S)
        joined = lab.measure(pids, [], _USAGE_S)
    more = {key: joined[key].cpu_percent - alone[key].cpu_percent for key in pids}
    return {
        f"{_N_IDLE} ranks joined, unwatched: notebook's media process, % of a core": more["media"],
        f"{_N_IDLE} ranks joined, unwatched: notebook's kernel, % of a core": more["kernel"],
    }


def deaths() -> dict[str, float]:
    """How soon a worker's death and its silence are shown, and its return."""
    dead, returned, silent, resumed = [], [], [], []
    with laboratory() as lab:
        lab.show("run1")
        stream = lab.kernel.stream("run1")

        def seconds_until(hint: str) -> float:
            began_s = time.monotonic()
            stream.wait_for(lambda traits: hint in traits["status"]["hint"])
            return time.monotonic() - began_s

        job = lab.start_worker("shows", "run1", *_SMALL)
        lab.wait_for_workers("run1", 1)
        with lab.view("run1") as viewer:
            viewer.wait_for_frames(30)
            for _ in range(_ROUNDS):
                job.kill()
                dead.append(seconds_until("silent since"))
                job = lab.start_worker("shows", "run1", *_SMALL)
                returned.append(_plays_after_s(viewer, int(job.wait_for("begins_us"))))
            viewer.wait_for_frames(30)
            media = media_process(job.pid)
            os.kill(media, signal.SIGSTOP)
            silent.append(seconds_until("silent since"))
            began_us = time.time_ns() // 1000
            os.kill(media, signal.SIGCONT)
            resumed.append(_plays_after_s(viewer, began_us))
    return {
        f"a worker's death is shown after, worst of {_ROUNDS}, s": max(dead),
        f"its return plays after, worst of {_ROUNDS}, s": max(returned),
        "a worker's silence, as of a node that is gone, is shown after, s": max(silent),
        "it plays again after, s": max(resumed),
    }


def _plays_after_s(viewer: HeadlessViewer, began_us: int) -> float:
    """Wait for a frame that was made since then, and return how long after it came."""
    viewer.wait_until(lambda image: 0 <= _age_us(image) <= time.time_ns() // 1000 - began_us)
    return time.time() - began_us / 1e6


def viewers() -> dict[str, float]:
    """What a viewer costs, of ``benchmarks.sender``: 1080p, at most 6.5 Mbit/s."""
    one, ten = measure_sender("gpuview", 1), measure_sender("gpuview", 10)
    more = (ten.cpu_ms * ten.fps - one.cpu_ms * one.fps) / 9 / 10
    return {
        "1 viewer, 1080p: media process, % of a core": one.cpu_ms * one.fps / 10,
        "each further viewer, 1080p: media process, % of a core": more,
        "each viewer, 1080p: Mbit/s": one.mbit_s,
    }


def relay() -> dict[str, float]:
    """What a relayed viewer costs a coturn."""
    port = free_port()
    lines = f"{LOOPBACK}\nlistening-port={port}\nlt-cred-mech\nrealm=bench\nuser=viewer:loopback\n"
    env = {
        "GPUVIEW_TURN_URL": f"turn:127.0.0.1:{port}?transport=udp",
        "GPUVIEW_TURN_USERNAME": "viewer",
        "GPUVIEW_TURN_CREDENTIAL": "loopback",
        "GPUVIEW_ICE_TRANSPORT_POLICY": "relay",
        "GPUVIEW_KERNEL_ICE_SERVERS": "[]",
    }
    width, height = _SCENE
    usages = {}
    with TemporaryDirectory(prefix="bench-scale-") as folder, ExitStack() as opened:
        coturn = opened.enter_context(TurnServer(Path(folder) / "turn", lines))
        lab = opened.enter_context(laboratory(**env))
        lab.kernel.run("local = GPUStream()\ndisplay(local)")
        push = "lambda frame: local.push(torch.from_numpy(frame))"
        lab.kernel.run(f"is_moving = play({push}, Texture({width}, {height}))")
        pids = {"coturn": coturn.pid}
        for count in (1, _N_RELAYED):
            while len(lab.kernel.viewers) < count:
                opened.enter_context(lab.view("local", is_decoding=False)).wait_for_frames(60)
            usages[count] = lab.measure(pids, ["local"], _USAGE_S)["coturn"]
        remotes = lab.kernel.evaluate("[each.remote for each in local.stats().viewers]")
        assert all(remote.startswith("relay ") for remote in remotes), remotes
    more = (usages[_N_RELAYED].cpu_percent - usages[1].cpu_percent) / (_N_RELAYED - 1)
    return {
        "1 relayed viewer: coturn, % of a core": usages[1].cpu_percent,
        f"each further relayed viewer, of {_N_RELAYED}: coturn, % of a core": more,
        "each relayed viewer: Mbit/s": usages[_N_RELAYED].mbit_s,
    }


PARTS: dict[str, Callable[[], dict[str, float]]] = {
    "glass": glass,
    "training": training,
    "ranks": ranks,
    "grid": grid,
    "idle-ranks": idle_ranks,
    "deaths": deaths,
    "viewers": viewers,
    "relay": relay,
}
