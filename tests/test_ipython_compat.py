"""Results leave IPython's history for a while, and for good if nothing else refers to them."""

from __future__ import annotations

import gc
from weakref import ref

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from gpuview.ipython_compat import without_results


class Result:
    """A value of a cell."""


@pytest.fixture
def shell() -> InteractiveShell:
    """Give a shell of its own, which writes no history to disk."""
    shell = InteractiveShell(config=Config(HistoryManager=Config(enabled=False)))
    shell.user_ns["Result"] = Result
    return shell


def run(shell: InteractiveShell, code: str) -> None:
    assert shell.run_cell(code, store_history=True).success


@pytest.mark.parametrize("n_later", range(4))
def test_a_result_that_nothing_refers_to_is_gone_for_good(
    shell: InteractiveShell, n_later: int
) -> None:
    run(shell, "Result()")
    for number in range(n_later):
        run(shell, str(number))
    result = ref(shell.user_ns["Out"][1])
    run(shell, "None")  # IPython remembers the last cell's value too
    gc.collect()
    assert result() is not None
    with without_results(shell, [result]):
        gc.collect()
    assert result() is None
    assert 1 not in shell.user_ns["Out"]
    run(shell, "7")  # the history goes on
    assert shell.user_ns["_"] == 7


@pytest.mark.parametrize("n_later", range(4))
def test_a_result_that_is_kept_is_put_back(shell: InteractiveShell, n_later: int) -> None:
    run(shell, "Result()")
    for number in range(n_later):
        run(shell, str(number))
    kept = shell.user_ns["Out"][1]
    names = ("_", "__", "___", "_1", "Out", "_oh")
    before = {name: shell.user_ns[name] for name in names}, dict(shell.user_ns["Out"])
    with without_results(shell, [ref(kept)]):
        assert "_1" not in shell.user_ns
    assert before == ({name: shell.user_ns[name] for name in names}, dict(shell.user_ns["Out"]))
    run(shell, "7")
    assert shell.user_ns["_"] == 7


def test_a_variable_of_the_users_own_is_left_alone(shell: InteractiveShell) -> None:
    run(shell, "mine = Result()\n_mine = [mine]")
    with without_results(shell, [ref(shell.user_ns["mine"])]):
        gc.collect()
        assert shell.user_ns["mine"] is shell.user_ns["_mine"][0]
