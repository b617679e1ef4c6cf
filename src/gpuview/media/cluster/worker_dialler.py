"""A worker's connection to the notebook: dials out, for ever. On the event loop.

A notebook's machine has several addresses, of IPv4 and IPv6, and not all of them can be reached. So
they are tried one after another, without waiting for the previous one to fail, as by Happy Eyeballs
(RFC 8305); the notebook answers what arrives first, and the rest is hung up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable

import zmq

from gpuview import __version__
from gpuview.errors import SignalError, shorten
from gpuview.media.cluster.backoff import BackOff
from gpuview.media.cluster.endpoints import Endpoints
from gpuview.media.cluster.loop_socket import LoopSocket, watch_events
from gpuview.media.tasks import BackgroundTasks
from gpuview.protocol.cluster_messages import Join, Joined, JoinRefused, JoinRun
from gpuview.protocol.local_socket import TEXT
from gpuview.protocol.page_messages import Problem
from gpuview.protocol.wire import decode_text, encode_text
from gpuview.protocol.worker_channels import ABOUT_CONNECTION, MAX_CONTENT_NBYTES, ChannelMessage

__all__ = ["Dialler"]

logger = logging.getLogger("gpuview.media")

_ANSWERS_IN_S = 3.0  # after the last one was dialled
_NEXT_AFTER_S = 0.1  # with 32 endpoints at most; usually the first one answers within that time
_SILENT_S = 5.0
"""The notebook pings every second."""
_LOOK_S = 0.5
_HANDSHAKE_MS = 3000
_REDIAL_MS = 250  # as long as it is tried
_UNSENT_MESSAGES = 16  # what waits in ZeroMQ; the rest waits where it is counted
_UNREAD_MESSAGES = 256


class Dialler:
    """Dials from its construction to `close`.

    Args:
        joining: Where to, and who.
        on_joined: Called when the notebook has let this worker in.
        on_lost: Called when it has gone, after `on_joined`.
        on_message: Called with each message of the notebook besides those about the connection.
        on_room: Called when more may be sent, perhaps.
        on_problem: Called with what is wrong when it has changed.
    """

    def __init__(
        self,
        joining: JoinRun,
        *,
        on_joined: Callable[[], None],
        on_lost: Callable[[], None],
        on_message: Callable[[ChannelMessage], None],
        on_room: Callable[[], None],
        on_problem: Callable[[Problem], None],
    ) -> None:
        self._joining = joining
        self._on_joined = on_joined
        self._on_lost = on_lost
        self._on_message = on_message
        self._on_room = on_room
        self._on_problem = on_problem
        self._context = zmq.Context()
        self._endpoints = Endpoints()
        self._routes: list[_Route] = []
        self._undialled: set[str] = set()  # those whose fault was logged
        self._joined: _Route | None = None
        self._heard_s = 0.0
        self._refusal: Problem | None = None
        self._has_changed = asyncio.Event()
        self._dialling = BackgroundTasks()
        self._tasks = BackgroundTasks()
        self._tasks.spawn(self._run())

    def send(self, message: ChannelMessage) -> bool:
        """Send the notebook a message; return False if there is no room for it, or no notebook."""
        return self._joined is not None and self._joined.sock.send(message.pack())

    async def close(self) -> None:
        """Hang up."""
        await self._tasks.cancel()
        await self._dialling.cancel()
        self._hang_up()
        self._endpoints.close()
        await asyncio.to_thread(self._context.destroy, 0)

    async def _run(self) -> None:
        back_off = BackOff()
        while True:
            self._refusal = None
            self._dialling.spawn(self._dial_in_turn())
            patience_s = _ANSWERS_IN_S + _NEXT_AFTER_S * len(self._joining.endpoints)
            await self._wait(patience_s, self._is_answered)
            await self._dialling.cancel()
            if self._joined is not None:
                back_off.succeeded()
                self._on_joined()
                await self._stay()
                problem = self._refusal
                self._hang_up()
                self._on_lost()
            else:
                problem = self._refusal or self._no_answer()
                self._hang_up()
            if problem is not None:
                self._on_problem(problem)
            await asyncio.sleep(back_off.wait_s(was_refused=self._refusal is not None))

    def _is_answered(self) -> bool:
        is_key_refused = any(route.is_key_refused for route in self._routes)
        return self._joined is not None or self._refusal is not None or is_key_refused

    async def _stay(self) -> None:
        """Wait until the notebook is silent, sends this worker away, or has hung up."""
        while self._joined is not None and self._refusal is None:
            if time.monotonic() - self._heard_s > _SILENT_S:
                logger.warning("the notebook has been silent for %.0f s", _SILENT_S)
                return
            await self._wait(_LOOK_S, lambda: self._joined is None or self._refusal)

    async def _wait(self, timeout_s: float, has_come: Callable[[], object]) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not has_come():
                    self._has_changed.clear()
                    await self._has_changed.wait()
        except TimeoutError:
            pass

    # --- its routes -----------------------------------------------------------------------------

    async def _dial_in_turn(self) -> None:
        hello = self._hello()
        for endpoint in self._joining.endpoints:
            self._dialling.spawn(self._dial(endpoint, hello))
            await asyncio.sleep(_NEXT_AFTER_S)

    async def _dial(self, endpoint: str, hello: list[bytes]) -> None:
        for address in await self._endpoints.find(endpoint):
            if self._is_answered():
                return
            try:
                route = _Route(self._context, self._joining, address, self._hear, self._look)
            except (zmq.ZMQError, ValueError) as exc:  # it is no address, or a key is none
                if endpoint not in self._undialled:
                    self._undialled.add(endpoint)
                    logger.warning("cannot dial %s: %s", endpoint, exc)
                continue
            self._routes.append(route)
            route.sock.send(hello)

    def _hello(self) -> list[bytes]:
        joining = self._joining
        join = Join(
            version=__version__,
            attempt=secrets.token_hex(8),
            run=joining.run,
            rank=joining.rank,
            world_size=joining.world_size,
            host=joining.host,
            pid=os.getppid(),
        )
        return ChannelMessage(ABOUT_CONNECTION, TEXT, encode_text(join).encode()).pack()

    def _hang_up(self) -> None:
        self._joined = None
        while self._routes:
            self._routes.pop().close()

    def _look(self, route: _Route) -> None:
        """Something has happened to a route."""
        if route is not self._joined:
            self._has_changed.set()
        elif route.has_gone:
            self._joined = None
            self._has_changed.set()
        else:
            self._on_room()

    def _hear(self, route: _Route, parts: list[bytes]) -> None:
        if self._joined not in (None, route):
            return
        self._heard_s = time.monotonic()
        try:
            message = ChannelMessage.parse(parts)
            if message.channel != ABOUT_CONNECTION:
                self._on_message(message)
                return
            answer = decode_text(message.content.decode(), Joined, JoinRefused)
        except (SignalError, ValueError) as exc:
            logger.warning("the notebook said what makes no sense: %s", exc)
            return
        if isinstance(answer, JoinRefused):
            self._refusal = answer.problem
        elif self._joined is None:
            self._joined = route
            for other in [each for each in self._routes if each is not route]:
                self._routes.remove(other)
                other.close()
        self._has_changed.set()

    def _no_answer(self) -> Problem:
        if any(route.is_key_refused for route in self._routes):
            return Problem(
                problem=f"the notebook does not know the key of run {self._joining.run}",
                expected="the join file of a stream that is open now",
                fix="write it anew: stream.join() in the notebook",
            )
        where = shorten(", ".join(self._joining.endpoints), 500)
        return Problem(
            problem=f"no notebook answers at {where}",
            expected="a notebook in which the run is open, and a route to its machine",
            fix="run its cell again; where it has a new kernel, start the job with a new join file",
        )

    def __repr__(self) -> str:
        state = f"joined by {self._joined}" if self._joined is not None else "dialling"
        return f"<Dialler {self._joining.run} {state}>"


class _Route:
    """One address that is tried, or leads to the notebook."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        joining: JoinRun,
        endpoint: str,
        hear: Callable[[_Route, list[bytes]], None],
        look: Callable[[_Route], None],
    ) -> None:
        self.endpoint = endpoint
        self.has_gone = False
        """Whether its connection has ended."""
        self.is_key_refused = False
        self._look = look
        dealer = context.socket(zmq.DEALER)
        self._events = watch_events(
            dealer, zmq.Event.DISCONNECTED | zmq.Event.HANDSHAKE_FAILED_AUTH, self._happened
        )
        self.sock = LoopSocket(
            dealer,
            lambda frames: hear(self, [frame.bytes for frame in frames]),
            lambda: look(self),
        )
        try:
            _connect(dealer, joining, endpoint)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._events.close()
        self.sock.close()

    def _happened(self, event: zmq.Event, _value: int) -> None:
        self.is_key_refused |= event == zmq.Event.HANDSHAKE_FAILED_AUTH
        self.has_gone |= event == zmq.Event.DISCONNECTED
        self._look(self)

    def __repr__(self) -> str:
        return self.endpoint


def _connect(dealer: zmq.Socket[bytes], joining: JoinRun, endpoint: str) -> None:
    dealer.set(zmq.CURVE_SERVERKEY, joining.notebook_key.encode())
    dealer.set(zmq.CURVE_PUBLICKEY, joining.public_key.encode())
    dealer.set(zmq.CURVE_SECRETKEY, joining.secret_key.encode())
    dealer.set(zmq.MAXMSGSIZE, MAX_CONTENT_NBYTES)
    dealer.set(zmq.SNDHWM, _UNSENT_MESSAGES)
    dealer.set(zmq.RCVHWM, _UNREAD_MESSAGES)
    dealer.set(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
    dealer.set(zmq.RECONNECT_IVL, _REDIAL_MS)
    dealer.set(zmq.LINGER, 0)
    dealer.set(zmq.IPV6, 1)
    dealer.connect(endpoint)
