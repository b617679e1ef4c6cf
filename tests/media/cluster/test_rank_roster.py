"""Who is let into a run, and who is silent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gpuview.errors import SignalError
from gpuview.media.cluster import rank_roster as roster_module
from gpuview.media.cluster.backoff import BackOff
from gpuview.media.cluster.connection_limit import MAX_CONNECTIONS, Gate
from gpuview.media.cluster.rank_roster import SILENT_S, Roster, read_join
from gpuview.protocol.cluster_messages import Join
from gpuview.protocol.page_messages import Status
from gpuview.protocol.wire import to_wire


def join(**fields: Any) -> Join:
    usual = {"version": "1.0", "attempt": "a", "run": "run1", "rank": 0, "world_size": 2}
    return Join(**(usual | {"host": "node7", "pid": 100} | fields))


def as_sent(message: Join, **changes: Any) -> bytes:
    return json.dumps(to_wire(message) | changes).encode()


def test_worker_is_known_by_its_rank() -> None:
    roster = Roster("run1")
    roster.admit(join(), 0.0)
    roster.admit(join(rank=1, host="node8"), 0.0)
    workers = roster.workers(1.0, 0)
    assert [(each.rank, each.host, each.silent_s) for each in workers] == [
        (0, "node7", None),
        (1, "node8", None),
    ]


def test_other_version_is_refused_with_both_named_whatever_else_it_says() -> None:
    with pytest.raises(SignalError, match=r"gpuview 9\.9.*gpuview 1\.0") as caught:
        read_join(as_sent(join(), version="9.9", colour="red"), "1.0")
    assert "1.0" in caught.value.fix
    with pytest.raises(SignalError, match="gpuview xx"):
        read_join(as_sent(join(), version="x" * 10_000), "1.0")


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"{", b"[" * 100_000, b"3", b'{"version": "1.0"}', b'{"version": {}}'],
)
def test_garbage_is_refused(content: bytes) -> None:
    with pytest.raises(SignalError):
        read_join(content, "1.0")


@pytest.mark.parametrize(
    "changes", [{"rank": -1}, {"rank": 2**40}, {"host": "x" * 300}, {"pid": "x"}, {"extra": 1}]
)
def test_absurd_worker_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SignalError):
        read_join(as_sent(join(), **changes), "1.0")


def test_join_is_read_as_it_was_sent() -> None:
    assert read_join(as_sent(join(rank=1)), "1.0") == join(rank=1)


def test_key_opens_its_own_run_only() -> None:
    with pytest.raises(SignalError, match=r"run1.*run2"):
        Roster("run1").admit(join(run="run2"), 0.0)


def test_silence_is_noticed_and_told() -> None:
    roster = Roster("run1")
    roster.admit(join(), 0.0)
    roster.heard(0, 1.0)
    assert not roster.is_silent(0, 1.0 + SILENT_S)
    assert roster.is_silent(0, 1.1 + SILENT_S)
    roster.lost(0)
    assert roster.workers(13.0, 0)[0].silent_s == 12.0
    roster.admit(join(attempt="b"), 14.0)
    assert roster.workers(15.0, 0)[0].silent_s is None


def test_same_worker_over_two_routes_is_let_in_once() -> None:
    roster = Roster("run1")
    roster.admit(join(), 0.0)
    assert roster.is_again(join())
    assert not roster.is_again(join(attempt="b"))
    roster.lost(0)
    assert not roster.is_again(join())


def test_new_worker_takes_over_and_the_old_one_does_not_take_it_back() -> None:
    roster = Roster("run1")
    roster.admit(join(pid=1), 0.0)
    roster.admit(join(pid=2, attempt="b"), 1.0)
    with pytest.raises(SignalError, match=r"rank 0.*process 2 on node7"):
        roster.admit(join(pid=1, attempt="c"), 2.0)
    roster.admit(join(pid=3, attempt="d"), 3.0)
    for pid in (1, 2):
        with pytest.raises(SignalError, match="process 3"):
            roster.admit(join(pid=pid, attempt="e"), 4.0)
    roster.lost(0)
    roster.admit(join(pid=1, attempt="f"), 5.0)


def test_same_process_may_come_again_any_time() -> None:
    roster = Roster("run1")
    for attempt in "abc":
        roster.admit(join(attempt=attempt), 0.0)
    assert len(roster.workers(0.0, 0)) == 1


def test_run_is_full_at_some_point_and_has_room_where_one_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(roster_module, "MAX_WORKERS", 3)
    roster = Roster("run1")
    for rank in range(3):
        roster.admit(join(rank=rank), float(rank))
    with pytest.raises(SignalError, match="3 workers"):
        roster.admit(join(rank=3), 3.0)
    roster.lost(1)
    roster.admit(join(rank=3), 4.0)
    assert [each.rank for each in roster.workers(5.0, 0)] == [0, 2, 3]


def test_status_is_that_of_the_worker_that_is_there() -> None:
    roster = Roster("run1")
    roster.admit(join(), 0.0)
    roster.note(0, Status(state="live"))
    assert roster.workers(1.0, 0)[0].status == Status(state="live")
    roster.admit(join(attempt="b"), 2.0)
    assert roster.workers(3.0, 0)[0].status is None


def test_port_is_shut_for_a_second_when_too_many_come() -> None:
    gate = Gate()
    for _ in range(10_000):
        gate.came(5.0)
        gate.went()
    assert not gate.is_open(5.9)
    assert gate.is_open(6.1)
    assert gate.n_shut == 1


def test_port_is_shut_while_too_many_are_there() -> None:
    gate = Gate()
    for n in range(MAX_CONNECTIONS):
        gate.came(float(n))
    assert not gate.is_open(MAX_CONNECTIONS + 10.0)
    gate.went()
    assert gate.is_open(MAX_CONNECTIONS + 10.0)


def test_worker_dials_quickly_at_first_and_never_waits_long() -> None:
    back_off = BackOff()
    waits = [back_off.wait_s(was_refused=False) for _ in range(50)]
    assert max(waits[:2]) < 1.0
    assert 2.5 <= min(waits[10:]) <= max(waits) <= 7.5
    assert len(set(waits[10:])) > 10
    back_off.succeeded()
    assert back_off.wait_s(was_refused=False) < 0.5
    assert back_off.wait_s(was_refused=True) >= 2.5
