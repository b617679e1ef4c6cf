"""Ranks that call `view.sync()`: real workers, which take a knob at the same step."""

from __future__ import annotations

import pytest

from gpuview.protocol.interaction_messages import SetKnob
from gpuview.testing.carrier_page import CarrierPage, connect
from gpuview.testing.kernel import Kernel
from tests.cluster.jobs import WORKER, Job, StartJob
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel

SHOW = """
from gpuview import GPUStream
stream = GPUStream.remote("run1")  # of rank 0 only
display(stream)
environment = stream.join()
"""


def start_ranks(kernel: Kernel, start_job: StartJob, *what: str) -> list[Job]:
    kernel.run(SHOW, cell_id="cell")
    environment = kernel.evaluate("environment")
    command = (str(WORKER), "run1", "that-syncs", *what)
    jobs = [start_job(*command, env={**environment, "RANK": str(rank)}) for rank in range(3)]
    kernel.wait_until("[w.rank for w in stream.workers] == [0, 1, 2]", timeout_s=120.0)
    kernel.wait_until("[each['name'] for each in stream.interaction['knobs']] == ['rate']")
    for job in jobs:
        job.wait_for("step", 2)
    return jobs


def turn(page: CarrierPage, value: float) -> None:
    page.say(SetKnob(view=page.view, name="rate", value=value))


def wait_for_taken(job: Job, value: float) -> None:
    def has_taken() -> bool:
        return value in [value for _, value in job.said("taken")]

    wait_until(has_taken, f"{value} is taken", describe=lambda: job.log[-500:])


def test_all_ranks_take_a_knob_at_the_same_step_whatever_their_speed(
    kernel: Kernel, start_job: StartJob
) -> None:
    jobs = start_ranks(kernel, start_job, "of-its-own-speed")
    with connect(kernel.socket_path, kernel.evaluate("stream._handle.name")) as page:
        for value in (0.25, 0.75):
            turn(page, value)
            kernel.wait_until(f"stream.interaction['knobs'][0]['value'] == {value}")  # seen at once
        for job in jobs:
            wait_for_taken(job, 0.75)
    assert jobs[0].said("taken") == jobs[1].said("taken") == jobs[2].said("taken")


def test_rank_that_was_killed_takes_what_the_others_have(
    kernel: Kernel, start_job: StartJob
) -> None:
    jobs = start_ranks(kernel, start_job)
    with connect(kernel.socket_path, kernel.evaluate("stream._handle.name")) as page:
        turn(page, 0.25)
        for job in jobs:
            wait_for_taken(job, 0.25)
        jobs[2].kill()
        environment = kernel.evaluate("environment")
        again = start_job(str(WORKER), "run1", "that-syncs", env={**environment, "RANK": "2"})
        wait_for_taken(again, 0.25)
        turn(page, 0.75)
        wait_for_taken(jobs[0], 0.75)
    wait_until(lambda: jobs[1].said("taken")[-1] == jobs[0].said("taken")[-1], "the other, too")
