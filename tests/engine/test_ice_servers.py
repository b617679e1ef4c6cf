"""What the engine tells a media process that asks for ICE servers, and what it hears meanwhile."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from gpuview.engine.engine import Engine
from gpuview.protocol.media_messages import Configure, IceServers, WantIceServers
from gpuview.protocol.page_messages import Candidates, IceServer, Message
from gpuview.protocol.wire import decode_line, encode
from gpuview.settings import Settings
from tests.fakes import Listener

WAIT_S = 30


class ScriptedProcess:
    """A media process that says what the test says, and writes down what it hears."""

    pid = 4711

    def __init__(self) -> None:
        self.heard: queue.Queue[bytes] = queue.Queue()
        self._says: queue.Queue[bytes] = queue.Queue()

    def say(self, stream: str, message: Message) -> None:
        self._says.put(encode(stream, message))

    def hear_servers(self) -> IceServers:
        _, message = decode_line(self.heard.get(timeout=WAIT_S), IceServers)
        assert isinstance(message, IceServers)
        return message

    def send(self, line: bytes, fds: Sequence[int] = ()) -> None:
        self.heard.put(line)

    def receive(self) -> bytes:
        return self._says.get()

    def close_pipe(self) -> None:
        self._says.put(b"")

    def reap(self) -> str:
        return "exit status 0"


class Lab:
    """Engines with such a process, which are closed with the test."""

    def __init__(self) -> None:
        self._engines: list[Engine] = []

    def start(self, **settings: Any) -> tuple[Engine, ScriptedProcess]:
        process: Any = ScriptedProcess()
        engine = Engine(Configure(), Settings(**settings), process)
        self._engines.append(engine)
        process.heard.get_nowait()  # the configuration
        return engine, process

    def close(self) -> None:
        for engine in self._engines:
            engine.close()


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab()
    yield lab
    lab.close()


def test_kernels_own_servers_are_told_with_their_credentials(lab: Lab) -> None:
    own = IceServer(urls=["turn:a"], username="ann", credential="s3cret")
    _, process = lab.start(stun_url="stun:b", kernel_ice_servers=(own,))
    process.say("", WantIceServers())
    assert process.hear_servers().ice_servers == [own]


@pytest.mark.parametrize("answer", ["nonsense", [{"urls": "stun:a"}] * 10_000])
def test_servers_that_cannot_be_had_are_a_problem(lab: Lab, answer: object) -> None:
    _, process = lab.start(ice_servers=lambda: answer)
    process.say("", WantIceServers())
    message = process.hear_servers()
    assert message.ice_servers == []
    (problem,) = message.problems
    assert problem.problem
    assert problem.fix


def test_function_that_hangs_holds_up_nothing_else(lab: Lab) -> None:
    may_return: queue.Queue[list[dict[str, str]]] = queue.Queue()
    engine, process = lab.start(ice_servers=may_return.get)
    listener = Listener()
    handle = engine.open_stream(listener, fps=30, max_bitrate_bps=10**6)
    process.heard.get(timeout=WAIT_S)  # the stream
    process.say("", WantIceServers())
    late = Candidates(view="v1", seq=1, candidates=["candidate:1"])
    process.say(handle.name, late)
    assert listener.hear("gathered") == late
    may_return.put([{"urls": "stun:a"}])
    assert process.hear_servers() == IceServers(ice_servers=[IceServer(urls=["stun:a"])])


def test_the_same_login_is_told_until_it_does_not_work(lab: Lab) -> None:
    _, process = lab.start(turn_url="turn:turn.example.org", turn_secret="shared")
    process.say("", WantIceServers())
    first = process.hear_servers()
    process.say("", WantIceServers())
    assert process.hear_servers() == first


def test_login_that_is_about_to_end_is_replaced(lab: Lab) -> None:
    asked: list[None] = []

    def servers() -> list[dict[str, str]]:
        asked.append(None)
        login = {"username": f"1700000000:{len(asked)}", "credential": "good in its time"}
        return [{"urls": "turn:turn.example.org", **login}]

    _, process = lab.start(ice_servers=servers)
    for _ in range(2):
        process.say("", WantIceServers())
        process.hear_servers()
    assert len(asked) == 2


def test_servers_that_do_not_work_are_asked_for_again(lab: Lab) -> None:
    asked: list[int] = []

    def servers() -> list[dict[str, str]]:
        asked.append(1)
        return [{"urls": f"stun:s{len(asked)}"}]

    _, process = lab.start(ice_servers=servers)
    for n, anew in ((1, False), (1, False), (2, True), (2, False)):
        process.say("", WantIceServers(anew=anew))
        assert process.hear_servers() == IceServers(ice_servers=[IceServer(urls=[f"stun:s{n}"])])
