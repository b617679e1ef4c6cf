"""By which of a notebook's addresses a worker reaches it: real ZeroMQ over loopback."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gpuview.media.cluster import dialler, endpoints
from gpuview.media.cluster.endpoints import Endpoints
from gpuview.media.ice.sockets import Address
from tests.media.cluster.streams import Notebook, WorkerSide
from tests.media.cluster.test_transport import run, worker_of
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
    monkeypatch.setattr(dialler, "_ANSWERS_IN_S", 0.05)
    monkeypatch.setattr(dialler.BackOff, "wait_s", lambda self, was_refused: 0.01)
    names = Names(monkeypatch)
    hellos: list[object] = []
    hello = dialler.Dialler._hello
    monkeypatch.setattr(
        dialler.Dialler, "_hello", lambda self: (hellos.append(self), hello(self))[1]
    )

    async def use(notebook: Notebook) -> None:
        async with worker_of(tmp_path) as stream:
            worker = WorkerSide(stream, notebook.joining(endpoints=["tcp://login1:40123"]))
            await wait_until_async(lambda: len(hellos) >= 3, "it has dialled three times")
            assert names.asked == ["login1"]
            both = ["tcp://login2:40123", f"tcp://127.0.0.1:{notebook.port}"]
            monkeypatch.setattr(dialler, "_ANSWERS_IN_S", 3.0)
            worker.join(notebook.joining(endpoints=both))
            await wait_until_async(lambda: worker.is_joined, "it has joined")

    run(tmp_path, use)


def test_next_address_is_dialled_only_where_the_one_before_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialler, "_NEXT_AFTER_S", 60.0)
    made: list[str] = []
    connect = dialler._connect

    def record(dealer: object, joining: object, endpoint: str) -> None:
        made.append(endpoint)
        connect(dealer, joining, endpoint)  # type: ignore[arg-type]

    monkeypatch.setattr(dialler, "_connect", record)

    async def use(notebook: Notebook) -> None:
        good = f"tcp://127.0.0.1:{notebook.port}"
        async with worker_of(tmp_path) as stream:
            worker = WorkerSide(stream, notebook.joining(endpoints=[good, "tcp://127.0.0.1:9"]))
            await wait_until_async(lambda: worker.is_joined, "it has joined")
            assert made == [good]

    run(tmp_path, use)
