"""The port for workers: the same one in each media process of a kernel."""

from __future__ import annotations

import pytest

from gpuview.engine.worker_port import WorkerPort
from gpuview.errors import MediaError, NetworkError, SettingsError
from gpuview.protocol.cluster_messages import ListenForWorkers, Listening
from gpuview.protocol.page_messages import Problem

ASKED = ListenForWorkers(public_key="public", secret_key="secret")
TAKEN = Problem(problem="port 40123 is taken", expected="a free one", fix="choose another")


def test_it_is_asked_for_once_and_again_after_a_failure() -> None:
    port = WorkerPort()
    assert port.open(ASKED)
    assert not port.open(ASKED)
    port.take(Listening(problem=TAKEN))
    with pytest.raises(NetworkError, match="port 40123 is taken"):
        port.wait(0)
    assert port.open(ASKED)
    port.take(Listening(port=40124))
    assert port.wait(0) == 40124
    assert not port.open(ASKED)


def test_the_next_media_process_listens_where_workers_look_for_it() -> None:
    port = WorkerPort()
    assert port.reopened() is None
    port.open(ASKED)
    port.take(Listening(port=40124))
    again = port.reopened()
    assert again == ListenForWorkers(public_key="public", secret_key="secret", port=40124)
    with pytest.raises(MediaError, match="did not listen for workers within 0 s"):
        port.wait(0)


def test_another_port_is_refused_while_one_is_open() -> None:
    port = WorkerPort()
    port.open(ASKED)
    port.take(Listening(port=40124))
    same = ListenForWorkers(public_key="public", secret_key="secret", port=40124)
    other = ListenForWorkers(public_key="public", secret_key="secret", port=40125)
    assert not port.open(same)
    with pytest.raises(SettingsError, match="at port 40124, not at 40125"):
        port.open(other)
    assert "secret" not in repr(port)
