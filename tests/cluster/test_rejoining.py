"""A worker looks for its notebook until it finds one, and says once what is wrong."""

from __future__ import annotations

import logging
import queue
import threading

import pytest

from gpuview.cluster import rejoining
from gpuview.cluster.rejoining import Joining, look_again_after_s
from gpuview.errors import SettingsError
from gpuview.protocol.cluster_messages import JoinChanged
from gpuview.protocol.join_file import JoinFile
from gpuview.protocol.page_messages import Problem
from tests.cluster.test_join_file import CONTENT
from tests.waiting import wait_until

ELSEWHERE = JoinFile(
    run="run1",
    endpoints=["tcp://10.0.0.8:40124"],
    notebook_key=CONTENT.public_key,
    public_key=CONTENT.public_key,
    secret_key=CONTENT.secret_key,
)


class Place:
    """Where a join file is, or is not."""

    def __init__(self, content: JoinFile | Exception) -> None:
        self.content = content
        self.joined: queue.Queue[JoinFile] = queue.Queue()
        self.n_looks = 0

    def find(self) -> JoinFile:
        self.n_looks += 1
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejoining, "look_again_after_s", lambda n_looks: 0.01)


def missing() -> SettingsError:
    return SettingsError("there is no join file", expected="one", fix="write one")


def test_it_looks_less_and_less_often() -> None:
    assert [look_again_after_s(n) for n in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert look_again_after_s(10**9) == 30


def test_a_file_that_comes_late_is_found_and_its_absence_was_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place(missing())
    looking = Joining(place.find, place.joined.put)
    wait_until(lambda: place.n_looks > 3, "some looks in vain")
    place.content = CONTENT
    assert place.joined.get(timeout=30) == CONTENT
    looking.close()
    assert [each.levelno for each in caplog.records] == [logging.WARNING]
    assert "there is no join file\n  expected: one\n  try:      write one" in caplog.text


def test_a_worker_that_is_not_let_in_finds_the_file_of_the_next_kernel(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place(CONTENT)
    looking = Joining(place.find, place.joined.put)
    assert place.joined.get(timeout=30) == CONTENT
    refused = Problem(problem="an unknown key", expected="a known one", fix="join again")
    for _ in range(3):
        looking.take(JoinChanged(is_connected=False, problem=refused))
    place.content = ELSEWHERE
    assert place.joined.get(timeout=30) == ELSEWHERE
    looking.close()
    assert caplog.text.count("an unknown key") == 1


def test_a_worker_that_is_let_in_does_not_look_until_it_is_alone() -> None:
    place = Place(CONTENT)
    looking = Joining(place.find, place.joined.put)
    place.joined.get(timeout=30)
    looking.take(JoinChanged(is_connected=True))
    assert looking.is_connected
    wait_until(lambda: not still_looking(place), "no more looks")
    place.content = ELSEWHERE
    looking.take(JoinChanged(is_connected=False))
    assert place.joined.get(timeout=30) == ELSEWHERE
    looking.close()


def still_looking(place: Place) -> bool:
    before = place.n_looks
    try:
        wait_until(lambda: place.n_looks > before, "another look", timeout_s=0.3)
    except TimeoutError:
        return False
    return True


def test_a_notebook_that_closed_is_nobodys_fault(caplog: pytest.LogCaptureFixture) -> None:
    place = Place(CONTENT)
    looking = Joining(place.find, place.joined.put)
    place.joined.get(timeout=30)
    place.content = missing()
    n_looks = place.n_looks
    wait_until(lambda: place.n_looks > n_looks + 2, "some looks")
    looking.close()
    assert not caplog.records


def test_what_is_unforeseen_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    place = Place(ZeroDivisionError())
    looking = Joining(place.find, place.joined.put)
    wait_until(lambda: place.n_looks > 1, "another look")
    place.content = CONTENT
    assert place.joined.get(timeout=30) == CONTENT
    looking.close()
    assert "please report it" in caplog.text


def test_a_file_system_that_hangs_keeps_nobody_waiting() -> None:
    reading, answer = threading.Event(), threading.Event()
    joined: queue.Queue[JoinFile] = queue.Queue()

    def find() -> JoinFile:
        reading.set()
        answer.wait(60)
        return CONTENT

    looking = Joining(find, joined.put)
    assert reading.wait(60)
    looking.take(JoinChanged(is_connected=False))
    looking.close()
    assert not answer.is_set()
    answer.set()
    wait_until(lambda: not is_there("gpuview-joining"), "its thread has ended")
    assert joined.empty()


def is_there(thread: str) -> bool:
    return any(each.name == thread for each in threading.enumerate())
