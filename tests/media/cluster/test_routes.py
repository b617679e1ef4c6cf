"""By which of a notebook's addresses a worker reaches it: real ZeroMQ over loopback."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gpuview.media.cluster import endpoints, worker_dialler
from gpuview.media.cluster.endpoints import Endpoints
from gpuview.media.ice.sockets import Address
from tests.media.cluster.streams import Notebook, WorkerSide
from tests.media.cluster.test_transport import run, worker_of
from tests.ports import free_port
from tests.waiting import wait_until_async


class Names:
    """A DNS server in place of the system's.

    Args:
        known: The addresses of each name; a name that is not among them is waited for, for ever.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **known: list[str]) -> None:
        self.asked: list[str] = []
        self._known = known
        monkeypatch.setattr(endpoints, "resolve", self._resolve)

    async def _resolve(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        if host not in self._known:
            await asyncio.Event().wait()
        if not self._known[host]:
            raise OSError("no such name")
        return [(each, port) for each in self._known[host]]


def find(*wanted: str) -> list[list[str]]:
    async def main() -> list[list[str]]:
        found = Endpoints()
        try:
            return [await found.find(each) for each in wanted]
        finally:
            found.close()

    return asyncio.run(main())


def recorded_hellos(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list that has one more element for each time that a worker dials."""
    made: list[object] = []
    hello = worker_dialler.Dialler._hello
    monkeypatch.setattr(
        worker_dialler.Dialler, "_hello", lambda self: (made.append(self), hello(self))[1]
    )
    return made


def test_name_leads_to_its_addresses_of_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, login1=["2001:db8::7", "192.0.2.7", "192.0.2.7"], nowhere=[])
    assert find("tcp://login1:40123", "tcp://nowhere:40123") == [
        ["tcp://[2001:db8::7]:40123", "tcp://192.0.2.7:40123"],
        [],
    ]


def test_name_with_many_addresses_is_dialled_at_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, login1=[f"192.0.2.{n}" for n in range(100)])
    assert len(find("tcp://login1:40123")[0]) == 4


@pytest.mark.parametrize(
    "endpoint", ["tcp://192.0.2.7:1", "tcp://[2001:db8::7]:1", "tcp://[fe80::7%eth0]:1", "none"]
)
def test_what_is_no_name_is_not_looked_up(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    names = Names(monkeypatch)
    assert find(endpoint) == [[endpoint]]
    assert names.asked == []


def test_name_whose_server_is_silent_is_asked_for_once_and_holds_up_no_other_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_dialler, "_ANSWERS_IN_S", 0.05)
    monkeypatch.setattr(worker_dialler.BackOff, "wait_s", lambda self, was_refused: 0.01)
    names = Names(monkeypatch)
    hellos = recorded_hellos(monkeypatch)

    async def use(notebook: Notebook) -> None:
        async with worker_of(tmp_path) as stream:
            worker = WorkerSide(stream, notebook.joining(endpoints=["tcp://login1:40123"]))
            await wait_until_async(lambda: len(hellos) >= 3, "it has dialled three times")
            assert names.asked == ["login1"]
            both = ["tcp://login2:40123", f"tcp://127.0.0.1:{notebook.port}"]
            monkeypatch.setattr(worker_dialler, "_ANSWERS_IN_S", 3.0)
            worker.join(notebook.joining(endpoints=both))
            await wait_until_async(lambda: worker.is_joined, "it has joined")

    run(tmp_path, use)


def test_next_address_is_dialled_only_where_the_one_before_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_dialler, "_NEXT_AFTER_S", 60.0)
    made: list[str] = []
    connect = worker_dialler._connect

    def record(dealer: object, joining: object, endpoint: str) -> None:
        made.append(endpoint)
        connect(dealer, joining, endpoint)  # type: ignore[arg-type]

    monkeypatch.setattr(worker_dialler, "_connect", record)

    async def use(notebook: Notebook) -> None:
        good = f"tcp://127.0.0.1:{notebook.port}"
        async with worker_of(tmp_path) as stream:
            worker = WorkerSide(stream, notebook.joining(endpoints=[good, "tcp://127.0.0.1:9"]))
            await wait_until_async(lambda: worker.is_joined, "it has joined")
            assert made == [good]

    run(tmp_path, use)


def test_first_address_that_answers_is_used(tmp_path: Path, dead_server: str) -> None:
    async def use(notebook: Notebook) -> None:
        good = f"tcp://127.0.0.1:{notebook.port}"
        endpoints = [
            f"tcp://{dead_server}",  # accepts, and says nothing
            f"tcp://127.0.0.1:{free_port()}",
            "tcp://no such host:1",
            "this is no address",
            good,
            good.replace("127.0.0.1", "localhost"),
        ]
        async with worker_of(tmp_path) as stream:
            worker = WorkerSide(stream, notebook.joining(endpoints=endpoints))
            await wait_until_async(lambda: worker.is_joined, "it has joined")
            assert worker.states[-1].problem is None
            await wait_until_async(
                lambda: notebook.streams._runs._listener.gate.n_open == 1,  # type: ignore[union-attr]
                "there is one connection",
            )
            assert notebook.present == [0]
            assert len(worker.states) == 1

    run(tmp_path, use)


def test_worker_that_begins_before_the_notebook_joins_it_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_dialler, "_ANSWERS_IN_S", 0.3)

    async def main() -> None:
        notebook = Notebook(tmp_path)
        joining = notebook.joining()
        port, keys, worker_keys = notebook.port, notebook.keys, notebook.worker_keys
        await notebook.close()
        async with worker_of(tmp_path) as stream:
            worker = WorkerSide(stream, joining)
            await wait_until_async(lambda: worker.states, "it has failed once")
            assert not worker.is_joined
            again = Notebook(tmp_path, port=port, keys=keys, worker_keys=worker_keys)
            await wait_until_async(lambda: worker.is_joined, "it has joined")
            assert again.present == [0]
            await again.close()
            await wait_until_async(lambda: not worker.is_joined, "it knows that nobody is there")

    asyncio.run(main())


def test_invalid_address_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_dialler, "_ANSWERS_IN_S", 0.05)
    monkeypatch.setattr(worker_dialler.BackOff, "wait_s", lambda self, was_refused: 0.01)
    hellos = recorded_hellos(monkeypatch)

    async def use(notebook: Notebook) -> None:
        async with worker_of(tmp_path) as stream:
            WorkerSide(stream, notebook.joining(endpoints=["no address"])).playing.cancel()
            await wait_until_async(lambda: len(hellos) >= 5, "it has dialled five times")

    run(tmp_path, use)
    assert sum("cannot dial no address" in each.message for each in caplog.records) == 1
    assert sum("no notebook answers" in each.message for each in caplog.records) == 1
