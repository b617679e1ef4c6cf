"""What wakes a thread, and never writes into another file."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable

import pytest

from gpuview.protocol.event_fd import EventFd


def is_readable(event_fd: EventFd) -> bool:
    poll = select.poll()
    poll.register(event_fd, select.POLLIN)
    return bool(poll.poll(0))


def test_it_is_readable_from_the_first_wake_to_the_next_clear() -> None:
    event_fd = EventFd.create()
    assert not is_readable(event_fd)
    event_fd.wake()
    event_fd.wake()
    assert is_readable(event_fd)
    event_fd.clear()
    event_fd.clear()
    assert not is_readable(event_fd)
    event_fd.close()
    assert not event_fd.is_open


@pytest.mark.parametrize("end", [EventFd.close, EventFd.abandon])
def test_one_that_is_closed_neither_writes_into_the_next_file_of_its_number_nor_closes_it(
    end: Callable[[EventFd], None],
) -> None:
    ours, theirs = socket.socketpair()
    event_fd = EventFd.create()
    number = event_fd.fileno()
    end(event_fd)
    with ours, theirs:
        theirs.setblocking(False)
        os.dup2(ours.fileno(), number)
        try:
            event_fd.wake()
            event_fd.close()
            with pytest.raises(BlockingIOError):
                theirs.recv(8)
        finally:
            os.close(number)


def test_forked_child_closes_one_whose_lock_was_held_by_a_thread_of_its_parent() -> None:
    event_fd = EventFd.create()
    thread = threading.Thread(target=event_fd.abandon, daemon=True)
    with event_fd._lock:  # as a fork finds it
        thread.start()
        thread.join(10)
        assert not event_fd.is_open
