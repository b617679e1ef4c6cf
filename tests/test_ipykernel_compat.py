"""Messages of a comm go to the subshell that they name, whatever ipykernel would do."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpuview.ipykernel_compat import (
    KernelPlace,
    kernel_place,
    publish_value,
    read_messages_while_cells_run,
    why_cells_delay_views,
)


class Comm:
    """A comm of ipykernel 7.4, which has last published on the thread that runs cells."""

    def _reply_subshell_for(self, _data: object, _named: str) -> None:
        return None


def subshell_of(comm: Any, named: str) -> str | None:
    """Return where ipykernel's shell thread sends a message: as its `kernelbase` decides."""
    route = getattr(comm, "_reply_subshell_for", None)
    return named if route is None else route({}, named)


def test_a_message_goes_to_the_subshell_that_it_names() -> None:
    comm = Comm()
    assert subshell_of(comm, "page") is None
    read_messages_while_cells_run(comm)
    assert subshell_of(comm, "page") == "page"


def test_a_comm_of_another_version_is_left_alone() -> None:
    comm = object()  # takes no attribute
    read_messages_while_cells_run(comm)
    assert subshell_of(comm, "page") == "page"


class TestValue:
    def shell(self, message: object) -> Any:
        sent: list[Any] = []
        publisher = SimpleNamespace(publish=lambda *bundle: sent.append(bundle), sent=sent)
        return SimpleNamespace(displayhook=SimpleNamespace(msg=message), display_pub=publisher)

    def test_the_value_of_a_cell_is_displayed(self) -> None:
        shell = self.shell({"content": {}})
        assert publish_value(shell, lambda: ({"text/plain": "a"}, {}))
        assert shell.display_pub.sent == [({"text/plain": "a"}, {})]

    def test_what_is_no_value_or_goes_to_another_displayhook_is_left_alone(self) -> None:
        for shell in (self.shell(None), SimpleNamespace(displayhook=object())):
            assert not publish_value(shell, lambda: pytest.fail("described"))


class TestVersion:
    @pytest.mark.parametrize(
        "version", ["6.29.0", "6.31.0", "7.1.0", "7.3.0", "8.0.0a1", "6.30.0rc1"]
    )
    def test_nothing_is_said_of_one_that_works(self, version: str) -> None:
        has_route = version.startswith("8")
        assert why_cells_delay_views(version, has_route=has_route) is None

    @pytest.mark.parametrize(
        ("version", "why"),
        [
            ("6.28.0", "older than gpuview knows"),
            ("5.5.6", "older than gpuview knows"),
            ("7.0.1", "loses what is sent"),
            ("7.4.0", "newer than gpuview knows"),
            ("8.0.0", "newer than gpuview knows"),
        ],
    )
    def test_it_is_said_what_is_wrong_and_what_to_install(self, version: str, why: str) -> None:
        said = why_cells_delay_views(version, has_route=False)
        assert said is not None
        assert said.startswith(f"ipykernel {version} ")
        assert why in said
        assert "pip install 'ipykernel>=7.1,<7.5'" in said

    def test_in_a_kernel_the_user_is_warned(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace(__version__="8.0.0"))
        shell = SimpleNamespace(kernel=object())
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
        with pytest.warns(RuntimeWarning, match=r"ipykernel 8\.0\.0 is newer"):
            read_messages_while_cells_run(object())
        read_messages_while_cells_run(Comm())

    def test_outside_a_kernel_nobody_is_warned(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace(__version__="8.0.0"))
        read_messages_while_cells_run(object())


class TestPlace:
    def at(self, monkeypatch: pytest.MonkeyPatch, path: str) -> KernelPlace | None:
        connect = SimpleNamespace(get_connection_file=lambda: path)
        monkeypatch.setitem(sys.modules, "ipykernel.connect", connect)
        return kernel_place()

    def test_it_is_read_from_the_connection_files_name(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = self.at(monkeypatch, "/run/jupyter/kernel-0f-1_a.json")
        assert place == KernelPlace(Path("/run/jupyter"), "0f-1_a")

    @pytest.mark.parametrize("name", ["other.json", "kernel-.json", "kernel-a.b.json", "kernel-a"])
    def test_a_file_of_another_name_is_no_servers(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        assert self.at(monkeypatch, f"/run/jupyter/{name}") is None

    def test_outside_a_kernel_there_is_none(self) -> None:
        import ipykernel.connect  # noqa: F401 - as when somebody imports it

        assert kernel_place() is None
