from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from gpuview.cluster.keys import notebook_keys, run_keys


@pytest.fixture
def often_switching() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("often_switching")
def test_streams_that_are_made_at_once_have_the_keys_of_their_run() -> None:
    barrier = Barrier(8)

    def keys(run: str) -> str:
        barrier.wait(30)
        return run_keys(run).public

    for n in range(200):
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(keys, [f"at once {n}"] * 8))) == 1


def test_each_run_has_keys_of_its_own_and_shows_no_secret() -> None:
    pairs = [notebook_keys(), run_keys("one"), run_keys("another")]
    assert len({each.public for each in pairs}) == len({each.secret for each in pairs}) == 3
    assert not any(each.secret in repr(each) for each in pairs)
