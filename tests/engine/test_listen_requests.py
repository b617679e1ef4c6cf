"""The port for workers: the same one in each media process of a kernel."""

from __future__ import annotations

import pytest

from gpuview.engine.listen_requests import ListenRequests
from gpuview.errors import MediaError, NetworkError, SettingsError
from gpuview.protocol.cluster_messages import ListenForWorkers, Listening
from gpuview.protocol.page_messages import Problem

ASKED = ListenForWorkers(public_key="public", secret_key="secret")
TAKEN = Problem(problem="port 40123 is taken", expected="a free one", fix="choose another")


def test_it_is_asked_for_once_and_again_after_a_failure() -> None:
    requests = ListenRequests()
    assert requests.ask(ASKED)
    assert not requests.ask(ASKED)
    requests.take(Listening(problem=TAKEN))
    with pytest.raises(NetworkError, match="port 40123 is taken"):
        requests.wait(0)
    assert requests.ask(ASKED)
    requests.take(Listening(port=40124))
    assert requests.wait(0) == 40124
    assert not requests.ask(ASKED)


def test_the_next_media_process_listens_where_workers_look_for_it() -> None:
    requests = ListenRequests()
    assert requests.reopened() is None
    requests.ask(ASKED)
    requests.take(Listening(port=40124))
    again = requests.reopened()
    assert again == ListenForWorkers(public_key="public", secret_key="secret", port=40124)
    with pytest.raises(MediaError, match="did not listen for workers within 0 s"):
        requests.wait(0)


def test_another_port_is_refused_while_one_is_open() -> None:
    requests = ListenRequests()
    requests.ask(ASKED)
    requests.take(Listening(port=40124))
    same = ListenForWorkers(public_key="public", secret_key="secret", port=40124)
    other = ListenForWorkers(public_key="public", secret_key="secret", port=40125)
    assert not requests.ask(same)
    with pytest.raises(SettingsError, match="at port 40124, not at 40125"):
        requests.ask(other)
    assert "secret" not in repr(requests)
