"""The kernel notices viewers that come and go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gpuview.testing.kernel import Kernel
from tests.kernel.conftest import PULL, StartKernel
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel

OFFER = Path(__file__).parents[1] / "data" / "sdp" / "chromium-156.sdp"


def test_a_view_that_says_bye_is_forgotten_at_once(start_kernel: StartKernel) -> None:
    kernel = start_kernel(GPUVIEW_LOG="debug")
    cell = kernel.start(PULL)
    cell.wait()
    viewer = kernel.view(kernel.stream())
    viewer.next_frame()
    assert kernel.evaluate("stream.viewers") == [viewer.view]

    viewer.vanish()
    kernel.stream().send({"type": "Bye", "view": viewer.view})

    kernel.wait_until("not stream.viewers")
    # Its silence would be noticed as well, after 8 s.
    why = f"view {viewer.view} of stream s1 closed: the page sent a bye"
    wait_until(lambda: why in str(cell.outputs), why, describe=lambda: cell.outputs)


def test_a_view_that_vanishes_silently_is_forgotten(kernel: Kernel) -> None:
    kernel.run(PULL)
    viewer = kernel.view(kernel.stream())
    viewer.next_frame()
    other = kernel.view(kernel.stream())
    other.next_frame()

    viewer.vanish()

    kernel.wait_until(f"list(stream.viewers) == [{other.view!r}]", timeout_s=90.0)
    other.frames(3)


def test_a_view_that_stays_is_kept(kernel: Kernel) -> None:
    kernel.run(PULL)
    viewer = kernel.view(kernel.stream())

    for _ in range(10):  # one each second; a silent view is kept for 8 s
        viewer.wait_for_pong()

    viewer.frames(3)
    assert viewer.seq == 1


def test_an_answer_is_forgotten_once_the_view_has_it(kernel: Kernel) -> None:
    kernel.run(PULL)
    stream = kernel.stream()
    viewer = kernel.view(stream)
    viewer.next_frame()

    stream.wait_for(lambda traits: traits["answers"] == {}, what="the answers to be empty")


def test_closing_the_stream_says_so_and_sends_its_viewers_away(kernel: Kernel) -> None:
    kernel.run(PULL)
    stream = kernel.stream()
    viewer = kernel.view(stream)
    viewer.next_frame()

    kernel.run("stream.close()")

    stream.wait_for(lambda traits: traits["status"]["state"] == "closed")
    viewer.wait_for_state("gone")
    assert kernel.evaluate("stream.viewers") == []


def test_a_view_of_a_closed_stream_makes_no_offer(kernel: Kernel) -> None:
    kernel.run(PULL + "stream.close()")

    viewer = kernel.view(kernel.stream("stream"))

    viewer.wait_for_state("gone")
    assert viewer.seq == 0


def test_an_offer_to_a_closed_stream_makes_no_viewer(kernel: Kernel) -> None:
    kernel.run(PULL)
    stream = kernel.stream()
    with kernel.view(stream) as viewer:
        viewer.next_frame()
    kernel.run("stream.close()")

    stream.send({"type": "Offer", "view": "late", "seq": 1, "sdp": viewer.offer})

    assert kernel.evaluate("stream.viewers") == []


def test_two_streams_of_one_kernel_play_beside_each_other(kernel: Kernel) -> None:
    kernel.run(PULL)
    kernel.run("other = GPUStream(lambda: torch.ones(64, 64, 3))\ndisplay(other)")

    first = kernel.view(kernel.stream("stream")).next_frame()
    second = kernel.view(kernel.stream("other")).next_frame()

    assert first.shape == (192, 256, 3)
    assert second.shape == (256, 256, 3)


def test_an_offer_that_never_connects_is_given_up_with_the_reason_in_the_log(
    kernel: Kernel, tmp_path: Path
) -> None:
    log = tmp_path / "kernel.log"
    kernel.run(f"import logging; logging.basicConfig(filename={str(log)!r}, force=True)")
    kernel.run(PULL)
    offer = OFFER.read_bytes().decode()
    kernel.stream().send({"type": "Offer", "view": "nobody", "seq": 1, "sdp": offer})
    kernel.wait_until("stream.viewers == ('nobody',)")

    kernel.wait_until("not stream.viewers", timeout_s=90.0)

    assert "view nobody has no connection after 15 s" in log.read_text()
    assert "set GPUVIEW_PUBLIC_IP" in log.read_text()


def test_viewers_that_come_and_go_leave_nothing_in_the_media_process(
    kernel: Kernel, media_pid: Callable[[Kernel], int]
) -> None:
    kernel.run(PULL)
    pid = media_pid(kernel)

    def watch_and_go() -> None:
        with kernel.view(kernel.stream()) as viewer:
            viewer.next_frame()
        kernel.wait_until("not stream.viewers")

    for _ in range(3):
        watch_and_go()
    before = held(pid)
    for _ in range(20):
        watch_and_go()

    # The last viewer's share is freed when the encoder's thread wakes up.
    wait_until(
        lambda: all(held(pid)[name] <= before[name] for name in before),
        f"it holds no more than {before}",
        describe=lambda: held(pid),
    )


def held(pid: int) -> dict[str, int]:
    """Count a process's descriptors and threads."""
    return {name: len(list(Path(f"/proc/{pid}/{name}").iterdir())) for name in ("fd", "task")}
