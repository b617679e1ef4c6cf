"""Asks the media process to listen for workers on other machines, and remembers its answer."""

from __future__ import annotations

import threading

from gpuview.errors import MediaError, NetworkError, SettingsError
from gpuview.protocol.cluster_messages import ListenForWorkers, Listening

__all__ = ["ListenRequests"]


class ListenRequests:
    """The one port at which a kernel's media processes listen for workers. From any thread.

    A media process that takes the place of one that died listens at the same port, where the
    workers look for it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards the rest
        self._listening: ListenForWorkers | None = None
        self._answer: Listening | None = None

    def ask(self, listening: ListenForWorkers) -> bool:
        """Remember what is sent to the media process; return whether it has to be sent.

        It has if nothing was sent yet, or if the media process could not listen.

        Raises:
            SettingsError: It listens at another port.
        """
        with self._changed:
            has_failed = self._answer is not None and self._answer.problem is not None
            if self._listening is None or has_failed:
                self._listening, self._answer = listening, None
                return True
            port = self._answer.port if self._answer is not None else self._listening.port
        if listening.port not in (None, port):
            raise SettingsError(
                f"this kernel listens for workers at port {port or 'any'}, not at {listening.port}",
                expected="one cluster_port for all runs of a kernel",
                fix="leave cluster_port out here, or restart the kernel with GPUVIEW_CLUSTER_PORT",
            )
        return False

    def take(self, answer: Listening) -> None:
        """Take the media process's answer."""
        with self._changed:
            self._answer = answer
            self._changed.notify_all()

    def reopened(self) -> ListenForWorkers | None:
        """Return what another media process has to be sent; None if it need not listen."""
        with self._changed:
            asked, answer = self._listening, self._answer
            if asked is None:
                return None
            port = asked.port
            if answer is not None and answer.problem is None:
                port = answer.port
            self._listening = ListenForWorkers(
                public_key=asked.public_key, secret_key=asked.secret_key, port=port
            )
            self._answer = None
            return self._listening

    def wait(self, timeout_s: float) -> int:
        """Return the port, once the media process listens there.

        Raises:
            MediaError: It did not answer in time.
            NetworkError: It cannot listen.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._answer is not None, timeout_s)
            answer = self._answer
        if answer is None:
            raise MediaError(
                f"the media process did not listen for workers within {timeout_s:g} s",
                expected="the port at which it listens",
                fix="try again; after a restart the first answer takes a second",
            )
        if answer.problem is not None:
            problem = answer.problem
            raise NetworkError(problem.problem, expected=problem.expected, fix=problem.fix)
        return answer.port

    def __repr__(self) -> str:
        return f"<ListenRequests {self._answer.port if self._answer else 'closed'}>"
