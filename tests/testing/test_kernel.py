"""The kernel harness itself, without a stream."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuview.testing.errors import (
    CellError,
    KernelDiedError,
    NoSuchStreamError,
    WaitTimeoutError,
)
from gpuview.testing.kernel import Kernel
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel

SLEEP = "import time\nprint('runs')\ntime.sleep(1000)"


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with Kernel(env={"GPUVIEW_TESTING_SAYS": "hello"}) as kernel:
        yield kernel


def test_a_cell_returns_its_outputs_as_a_notebook_file_has_them(kernel: Kernel) -> None:
    stream, result = kernel.run("print('text')\n6 * 7")

    assert stream == {"output_type": "stream", "name": "stdout", "text": "text\n"}
    assert result["output_type"] == "execute_result"
    assert result["data"]["text/plain"] == "42"


def test_a_cell_that_raises_raises_with_its_traceback(kernel: Kernel) -> None:
    with pytest.raises(CellError, match="ZeroDivisionError: division by zero") as caught:
        kernel.run("def broken():\n    1 / 0\nbroken()")

    assert caught.value.name == "ZeroDivisionError"
    assert "in broken()" in caught.value.traceback
    assert pickle.loads(pickle.dumps(caught.value)).traceback == caught.value.traceback


def test_cells_run_on_after_one_that_raised(kernel: Kernel) -> None:
    failing, next_one = kernel.start("1 / 0"), kernel.start("print('still here')")

    with pytest.raises(CellError):
        failing.wait()
    assert next_one.wait()[0]["text"] == "still here\n"


def test_a_value_comes_as_json_carries_it(kernel: Kernel) -> None:
    assert kernel.evaluate("{'a': (1, 2.5), 'b': None}") == {"a": [1, 2.5], "b": None}


def test_an_expression_that_raises_or_has_no_json_raises(kernel: Kernel) -> None:
    with pytest.raises(CellError, match="NameError"):
        kernel.evaluate("nobody_made_this")
    with pytest.raises(CellError, match="not JSON serializable"):
        kernel.evaluate("object()")


def test_waiting_ends_when_the_expression_is_true(kernel: Kernel) -> None:
    kernel.run("looks = []")

    kernel.wait_until("looks.append(1) or len(looks) > 3")

    assert kernel.evaluate("len(looks)") == 4


def test_waiting_in_vain_says_for_what(kernel: Kernel) -> None:
    with pytest.raises(WaitTimeoutError, match="1 > 2 is still false"):
        kernel.wait_until("1 > 2", timeout_s=0.0)
    with pytest.raises(WaitTimeoutError, match="a GPUStream to be displayed"):
        kernel.stream(timeout_s=0.0)


def test_nothing_is_lost_of_a_kernel_that_publishes_while_python_reads_nothing(
    kernel: Kernel, tmp_path: Path
) -> None:
    published = tmp_path / "published"
    kernel.run("import time\nfrom comm import create_comm\nsent = create_comm('nobody')")
    with kernel._changing.change():  # the thread that reads waits for this lock
        # The kernel's own socket loses what its I/O thread has not sent when a thousand wait.
        cell = kernel.start(
            "for number in range(5000):\n"
            "    sent.send({'number': number})\n"
            "    if number % 100 == 0: time.sleep(0.02)\n"
            f"open({str(published)!r}, 'w').close()"
        )
        wait_until(published.exists, "everything is published")
    cell.wait()
    assert kernel.evaluate("1 + 1") == 2


def test_a_running_cell_can_be_interrupted(kernel: Kernel) -> None:
    cell = kernel.start(SLEEP)
    cell.wait_for_output()
    assert not cell.is_done

    kernel.interrupt()

    with pytest.raises(CellError, match="KeyboardInterrupt"):
        cell.wait()


def test_the_kernel_has_the_given_variables_and_its_folders_are_its_own(kernel: Kernel) -> None:
    kernel.run("import os")

    assert kernel.evaluate("os.environ['GPUVIEW_TESTING_SAYS']") == "hello"
    assert kernel.evaluate("os.environ['GPUVIEW_PUBLIC_IP']") == "127.0.0.1"
    assert "gpuview-" in kernel.evaluate("os.environ['JUPYTER_RUNTIME_DIR']")


def test_a_closed_widget_is_not_found(kernel: Kernel) -> None:
    kernel.run("import ipywidgets\nwidget = ipywidgets.Label()\nwidget.close()")

    with pytest.raises((CellError, NoSuchStreamError)):
        kernel.stream("widget")


def test_a_restarted_kernel_has_forgotten_everything() -> None:
    with Kernel() as kernel:
        kernel.run("here = 1")
        before = kernel.pid

        kernel.restart()

        assert kernel.pid != before
        with pytest.raises(CellError, match="NameError"):
            kernel.evaluate("here")


def test_two_kernels_side_by_side_have_nothing_in_common(kernel: Kernel) -> None:
    kernel.run("whose = 'mine'")
    with Kernel() as other:
        other.run("whose = 'theirs'")

        assert kernel.evaluate("whose") == "mine"

    assert kernel.evaluate("whose") == "mine"


def test_a_kernel_that_dies_in_a_cell_raises_and_can_be_restarted() -> None:
    with Kernel() as kernel:
        with pytest.raises(KernelDiedError, match="ended with status 3"):
            kernel.run("import os\nos._exit(3)")
        kernel.restart()
        assert kernel.evaluate("1 + 1") == 2


def test_a_kernel_runs_below_the_words_that_stand_before_its_command() -> None:
    with Kernel(prefix=("nice", "-n", "5")) as kernel:
        assert kernel.evaluate("__import__('os').nice(0)") == os.nice(0) + 5
        assert kernel.evaluate("__import__('os').getpid()") == kernel.pid


def test_a_kernel_that_cannot_start_raises_with_its_last_words() -> None:
    with pytest.raises(KernelDiedError, match="No module named"):
        Kernel(env={"PYTHONHOME": "/nowhere"})


def test_a_killed_kernel_is_noticed_by_whoever_waits() -> None:
    with Kernel() as kernel:
        cell = kernel.start(SLEEP)
        cell.wait_for_output()

        kernel.kill()

        with pytest.raises(KernelDiedError, match=f"status -{signal.SIGKILL:d}"):
            cell.wait()
