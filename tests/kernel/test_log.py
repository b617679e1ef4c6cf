"""What GPUVIEW_LOG=debug shows, and what it never does."""

from __future__ import annotations

import re

import pytest

from tests.kernel.conftest import PULL, StartKernel
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel


def text_of(outputs: list[dict[str, str]]) -> str:
    return "".join("".join(out["text"]) for out in outputs if out["output_type"] == "stream")


def test_debug_log_holds_what_a_search_for_a_fault_needs_and_no_secret(
    start_kernel: StartKernel,
) -> None:
    kernel = start_kernel(
        GPUVIEW_LOG="debug",
        GPUVIEW_PUBLIC_IP="127.0.0.1",
        GPUVIEW_TURN_URL="turn:127.0.0.1:9",
        GPUVIEW_TURN_USERNAME="me",
        GPUVIEW_TURN_CREDENTIAL="s3cret",
    )
    cell = kernel.start(PULL)
    cell.wait()
    viewer = kernel.view(kernel.stream())
    viewer.next_frame()
    wanted = [
        r"the answer before rewriting:\nv=0",
        r"the answer as sent:\nv=0",
        r"our candidate: candidate:\S+ 1 udp \d+ \S+ \d+ typ host",
        rf"view {viewer.view}: the page's candidate:\S+ 1 udp",
        rf"view {viewer.view} is connected: Pair\(",
        rf"view {viewer.view}: connectionState is connected",
        rf"view {viewer.view}: iceConnectionState is completed",
        r"a=ice-pwd:\.\.\.\n",
    ]

    def missing() -> list[str]:
        return [each for each in wanted if not re.search(each, text_of(cell.outputs))]

    # The log is below the cell that made the stream, and comes as the media process writes it.
    wait_until(
        lambda: not missing(), "the log is there", describe=lambda: (missing(), cell.outputs)
    )
    log = text_of(cell.outputs)
    assert viewer.answer is not None
    secrets = re.findall(r"a=(?:ice-pwd|ice-ufrag|fingerprint):(\S.*)", viewer.answer)
    assert len(secrets) >= 3
    assert not [secret for secret in [*secrets, "s3cret"] if secret.strip() in log]


def test_without_it_nothing_of_that_is_shown(start_kernel: StartKernel) -> None:
    kernel = start_kernel()
    cell = kernel.start(PULL)
    cell.wait()
    kernel.view(kernel.stream()).next_frame()
    assert text_of(cell.outputs) == ""


def test_log_of_a_level_is_shown_below_the_cell_of_the_stream(start_kernel: StartKernel) -> None:
    kernel = start_kernel(GPUVIEW_LOG="info")
    cell = kernel.start(PULL)
    cell.wait()
    log = "logging.getLogger('gpuview.media')"
    kernel.run(f"import logging; {log}.debug('quiet'); {log}.info('hello')")
    wait_until(
        lambda: "INFO gpuview.media: hello" in text_of(cell.outputs),
        "the record is shown",
        describe=lambda: cell.outputs,
    )
    assert "quiet" not in text_of(cell.outputs)
