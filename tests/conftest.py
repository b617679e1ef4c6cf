"""For every test: nothing is left behind, random numbers start anew, and skips are listed."""

from __future__ import annotations

import gc
import os
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.network import topology
from tests.ports import free_port

# The workers share the cores, and torch's threads burn CPU time while they wait for each other. Set
# before torch is imported, for the kernels that the tests start as well.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples every time, however busy the machine is.
settings.register_profile("deterministic", deadline=None, derandomize=True, database=None)
settings.load_profile("deterministic")

# A project of its own, which tests/structure/test_wheel.py runs.
collect_ignore = ["outside"]

_SETTLE_S = 60.0
_OWN_THREADS = "gpuview-"
_ARTIFACTS = Path(__file__).parents[1] / "artifacts"
# Each begins before all others, so that no process still has one when the other has finished.
_LONGEST_MODULES = (
    "tests/network/test_matrix.py",
    "tests/network/test_faults.py",
    "tests/browser/test_tensors.py",
    "tests/hub/test_hub.py",
)
_COUNTED = ("socket:", "/memfd:gpuview", "anon_inode:[eventfd]", "anon_inode:[pidfd]")


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves a process, thread, socket, shared memory or namespace behind.

    Whatever fixtures of the session and of the module hold was there before, and may stay.
    """
    before = _holdings()
    yield
    _close_engine()
    left = _settled(lambda: _holdings() - before)
    assert not left, f"left behind: {dict(left)}"


@pytest.fixture(autouse=True)
def restored_chance() -> Iterator[None]:
    """Give each test the same random numbers, whatever the test before it has drawn."""
    state = random.getstate()
    random.seed(0)
    yield
    random.setstate(state)


@pytest.fixture(scope="session", autouse=True)
def no_folders_of_browsers(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give PulseAudio a folder, or each browser that starts leaves one of its own in ``/tmp``."""
    os.environ["PULSE_RUNTIME_PATH"] = str(tmp_path_factory.mktemp("pulse"))


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """The folder for files that a person looks at after the tests."""
    _ARTIFACTS.mkdir(exist_ok=True)
    return _ARTIFACTS


@pytest.fixture
def make_stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make streams whose engine and comm are fakes; see `tests.streams.MakeStream`."""
    from tests.streams import making_streams  # most tests need no widget

    with making_streams(monkeypatch) as make:
        yield make


@pytest.fixture
def dead_server() -> Iterator[str]:
    """The address and port of a server that never answers, over UDP or TCP."""
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        address = ("127.0.0.1", free_port())
        for sock in (udp, tcp):
            sock.bind(address)
        tcp.listen()
        yield "{}:{}".format(*address)


@pytest.hookimpl(trylast=True)  # when ``-m`` has deselected its part
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest modules first, and skip tests that need a GPU or network laboratory.

    If one is missing and ``GPUVIEW_REQUIRE_CUDA`` or ``GPUVIEW_REQUIRE_NETWORK`` is set, fail
    instead.
    """
    items.sort(key=lambda item: not item.nodeid.startswith(_LONGEST_MODULES))
    _need(items, "cuda", _missing_gpu)
    _need(items, "network", topology.missing)


def pytest_collection_finish() -> None:
    """Keep what has been imported from being scanned each time that a test collects garbage."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Add this run's skips to the list that ``make test`` shows at its end."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # the process that started this one has all the reports
    skipped = Counter(
        f"{report.nodeid.partition('::')[0]}: {report.longrepr[2].removeprefix('Skipped: ')}"
        for report in terminalreporter.stats.get("skipped", [])
    )
    _ARTIFACTS.mkdir(exist_ok=True)
    with (_ARTIFACTS / "skipped.txt").open("a") as listed:
        listed.writelines(f"  {count} x {what}\n" for what, count in skipped.items())


def _need(items: list[pytest.Item], marker: str, missing: Callable[[], str]) -> None:
    needing = [item for item in items if item.get_closest_marker(marker)]
    reason = missing() if needing else ""
    if reason and os.environ.get(f"GPUVIEW_REQUIRE_{marker.upper()}"):
        raise pytest.UsageError(f"GPUVIEW_REQUIRE_{marker.upper()} is set, and here is {reason}")
    for item in needing if reason else ():
        item.add_marker(pytest.mark.skip(reason=f"here is {reason}"))


def _missing_gpu() -> str:
    import torch

    return "" if torch.cuda.is_available() else "no NVIDIA GPU"


def _holdings() -> Counter[str]:
    """Count what this process holds, by name."""
    held: Counter[str] = Counter()
    for path in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(path)
        except OSError:
            continue  # the descriptor of this listing itself
        held.update(kind for kind in _COUNTED if target.startswith(kind))
    held.update(
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if thread.name.startswith(_OWN_THREADS)
    )
    held.update(f"process {pid}: {_command(pid)}" for pid in _children(os.getpid()))
    held.update(f"namespace {path.name}" for path in _entries("/run/netns") if _is_ours(path.name))
    memory = (path.name for path in _entries("/dev/shm") if not _is_a_browsers(path.name))
    held.update(f"shared memory {name}" for name in memory)
    return held


def _is_ours(namespace: str) -> bool:
    """Tell whether a namespace may be this run's: other runs have their process id in the name."""
    return not namespace.startswith("gpuview-") or f"-{os.getpid()}-" in namespace


def _is_a_browsers(shared_memory: str) -> bool:
    """Tell whether shared memory is a browser's, which may run beside this test."""
    return any(word in shared_memory for word in ("chromium", "mozilla"))


def _settled(holdings: Callable[[], Counter[str]]) -> Counter[str]:
    """Wait until nothing is held; return what is still held after a while."""
    deadline = time.monotonic() + _SETTLE_S
    while (held := holdings()) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    return held


def _close_engine() -> None:
    engine = sys.modules.get("gpuview.engine.shared_engine")
    if engine is not None:
        engine.close_shared_engine()


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in _entries(f"/proc/{pid}/task"):
        try:
            words = (task / "children").read_text().split()
        except OSError:
            continue
        for child in map(int, words):
            found += [child, *_children(child)]
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:120]
    except OSError:
        return ""


def _entries(folder: str) -> list[Path]:
    try:
        return list(Path(folder).iterdir())
    except OSError:
        return []
