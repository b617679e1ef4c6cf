"""A time limit for calls that may hang: to a resolver or to a user's function."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["Overdue", "call_within"]

T = TypeVar("T")

_MAX_OVERDUE = 16
_overdue: set[threading.Thread] = set()


class Overdue(TimeoutError):  # noqa: N818 - named like TimeoutError
    """A call did not return in time, or was not made because too many earlier calls hang."""


def call_within(timeout_s: float, call: Callable[[], T]) -> T:
    """Return the result of ``call``, or raise its exception; wait at most ``timeout_s``.

    The call runs on a thread of its own. No thread can be ended from outside, so a call that takes
    too long leaves its thread behind; that thread does not keep the process alive. While 16 such
    threads exist, no call is made.

    Raises:
        Overdue: The call has not returned within ``timeout_s`` seconds, or was not made.
    """
    _overdue.difference_update([each for each in tuple(_overdue) if not each.is_alive()])
    if len(_overdue) >= _MAX_OVERDUE:
        raise Overdue(f"{len(_overdue)} earlier calls still hang")
    result: Future[T] = Future()
    thread = threading.Thread(target=_run, args=(call, result), name="gpuview-call", daemon=True)
    thread.start()
    try:
        return result.result(timeout_s)
    except TimeoutError:
        if result.done():
            raise  # the call itself raised it
        _overdue.add(thread)
        raise Overdue(f"no answer within {timeout_s:g} s") from None


def _run(call: Callable[[], T], result: Future[T]) -> None:
    try:
        result.set_result(call())
    except BaseException as exc:  # passed on to the caller, whatever it is
        result.set_exception(exc)
