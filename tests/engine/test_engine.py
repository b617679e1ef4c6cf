"""The kernel's handle on a real media process."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gpuview.engine import process, spare
from gpuview.engine import shared_engine as shared_engine_module
from gpuview.engine.engine import Engine
from gpuview.engine.process import MediaProcess
from gpuview.engine.restart_limit import may_restart
from gpuview.engine.shared_engine import shared_engine
from gpuview.engine.stream import StreamHandle
from gpuview.errors import (
    MediaEndedError,
    MediaError,
    SettingsError,
    SignalError,
    StreamClosedError,
)
from gpuview.ipykernel_compat import KernelPlace
from gpuview.protocol.page_messages import Offer, Refusal
from gpuview.protocol.pixel_format import PixelFormat
from gpuview.settings import Settings
from gpuview.signalling.ice_servers import kernel_servers
from tests.fakes import Listener
from tests.processes import wait_until_gone
from tests.waiting import wait_until

WAIT_S = 30


def open_stream(**settings: Any) -> tuple[Engine, StreamHandle, Listener]:
    engine = shared_engine(Settings(public_ip="127.0.0.1", **settings))
    listener = Listener()
    return engine, engine.open_stream(listener, fps=30, max_bitrate_bps=10**6), listener


def show(handle: StreamHandle, width: int = 64, height: int = 48) -> None:
    handle.begin(width * height * 3)[:] = bytes([100]) * (width * height * 3)
    handle.publish(PixelFormat.RGB24, width, height, 0)


def test_many_streams_share_one_process() -> None:
    engine, first, _ = open_stream()
    again, second, _ = open_stream()
    assert engine is again
    assert first.stats(WAIT_S).encoders == second.stats(WAIT_S).encoders == []
    assert first.stats(WAIT_S).frames_taken == 0


def test_bad_offer_is_refused_in_three_parts_and_the_next_stream_is_served() -> None:
    _, handle, listener = open_stream()
    handle.send(Offer(view="v", seq=1, sdp="this is no SDP"))
    refusal = listener.hear("answered")
    assert isinstance(refusal, Refusal)
    assert (refusal.view, refusal.seq) == ("v", 1)
    assert refusal.problem
    assert refusal.expected
    assert refusal.fix
    _, other, _ = open_stream()
    assert other.stats(WAIT_S).viewers == []


def test_process_that_hangs_holds_nobody_up_for_long() -> None:
    hanging = MediaProcess()
    os.kill(hanging.pid, signal.SIGSTOP)
    while hanging._popen.poll() is None:  # the sender is held up, and not for ever
        hanging.send(b"x" * 100_000)
    assert hanging._popen.returncode == -signal.SIGKILL
    hanging.close_pipe()
    hanging.reap()


def test_process_that_still_starts_is_told_what_a_hundred_pages_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On a busy machine, a process that does not hang may take as long as one that does.
    monkeypatch.setattr(process, "_HANGS_AFTER_S", 10 * process._HANGS_AFTER_S)
    starting = MediaProcess()
    for _ in range(100):
        starting.send(b"x" * 7000)
    assert starting._popen.poll() is None
    starting.close_pipe()
    starting.reap()


def test_offer_that_no_pipe_takes_is_refused_at_once() -> None:
    _, handle, _ = open_stream()
    with pytest.raises(SignalError, match=r"this Offer of \d+ bytes as JSON"):
        handle.send(Offer(view="v", seq=1, sdp="\0" * 64_000))


def test_question_that_a_dying_process_has_taken_is_asked_again() -> None:
    engine, handle, _ = open_stream()
    handle.stats(WAIT_S)
    os.kill(engine.process.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(handle.stats, WAIT_S)
        wait_until(lambda: engine._stats_requests, "it is asked")
        os.kill(engine.process.pid, signal.SIGKILL)
        assert answer.result().encoders == []


def test_killed_process_is_replaced_and_told_everything_again() -> None:
    engine, handle, listener = open_stream()
    show(handle)
    handle.stats(WAIT_S)
    os.kill(engine.process.pid, signal.SIGKILL)
    assert listener.hear("started") == 2
    listener.hear("ready")
    assert handle.stats(WAIT_S).encoders == []
    show(handle)
    assert handle.frames_pushed == 2
    assert engine.epoch == 2


def test_process_that_dies_again_and_again_is_given_up_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, handle, listener = open_stream()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    os.kill(engine.process.pid, signal.SIGKILL)
    error = listener.hear("failed")
    assert isinstance(error, MediaEndedError)
    assert "died 6 times" in error.problem
    assert "exit status 1" in error.problem
    with pytest.raises(MediaEndedError, match="died 6 times"):
        handle.begin(100)
    monkeypatch.undo()
    again, other, _ = open_stream()
    assert again is not engine
    assert other.stats(WAIT_S).viewers == []


def test_deaths_far_apart_are_forgiven() -> None:
    hourly = [3600.0 * hour for hour in range(100)]
    assert may_restart(hourly, hourly[-1])
    assert not may_restart([100.0] * 6, 100.0)


def test_larger_frames_get_a_larger_ring_and_no_frame_is_forgotten() -> None:
    _, handle, _ = open_stream()
    for side in (32, 64, 32, 128):
        show(handle, side, side)
    assert handle.frames_pushed == 4


def test_released_ring_is_no_longer_mapped_and_the_next_frame_gets_another() -> None:
    _, handle, _ = open_stream()
    show(handle)
    handle.stats(WAIT_S)
    handle.release()
    handle.release()
    assert "/memfd:gpuview-ring" not in Path("/proc/self/maps").read_text()
    assert handle.frames_pushed == 1
    show(handle)
    assert handle.frames_pushed == 2
    assert handle.stats(WAIT_S).frames_taken == 0


def test_other_limits_are_those_of_the_next_process_too() -> None:
    engine, handle, listener = open_stream()
    handle.set_limits(fps=5, max_bitrate_bps=10**5)
    assert handle.stats(WAIT_S).viewers == []
    os.kill(engine.process.pid, signal.SIGKILL)
    listener.hear("started")
    listener.hear("ready")
    assert handle._opening.fps == 5
    assert handle.stats(WAIT_S).viewers == []


def test_other_network_settings_need_the_streams_closed_first() -> None:
    engine, handle, _ = open_stream()
    other = Settings(public_ip="203.0.113.9")
    with pytest.raises(
        SettingsError, match=r"with public_ip = \['127.0.0.1'\], not with public_ip"
    ):
        shared_engine(other)
    handle.close()
    assert shared_engine(other) is not engine


def test_other_servers_for_the_kernels_side_need_the_streams_closed_first() -> None:
    login = {"turn_url": "turn:127.0.0.1:9", "turn_username": "ann"}
    engine, _, _ = open_stream(**login, turn_credential="wrong")
    assert open_stream(**login, turn_credential="wrong")[0] is engine
    with pytest.raises(SettingsError, match="another login") as caught:
        open_stream(**login, turn_credential="s3cret")
    assert "s3cret" not in str(caught.value)


def test_function_for_ice_servers_of_a_cell_that_ran_again_takes_the_place_of_the_old_one() -> None:
    engine, _, _ = open_stream(ice_servers=lambda: [{"urls": "stun:old"}])
    again, _, _ = open_stream(ice_servers=lambda: [{"urls": "stun:new"}])
    assert again is engine
    assert kernel_servers(engine.settings)[0][0].urls == ["stun:new"]


def test_settings_reach_the_media_process_with_their_names_looked_up() -> None:
    settings = Settings(
        public_ip="localhost",
        port_min=10111,
        port_max=10115,
        public_port_min=20111,
        keep_private=True,
        turn_url="turn:127.0.0.1:9",
        turn_secret="t0p",
        kernel_ice_transport_policy="relay",
    )
    configuration = shared_engine(settings).configuration
    assert configuration.public_ips[0] == "127.0.0.1"
    ports = (configuration.port_min, configuration.port_max, configuration.public_port_min)
    assert ports == (10111, 10115, 20111)
    assert configuration.keep_private
    assert configuration.has_ice_servers
    assert configuration.ice_transport_policy == "relay"
    assert "t0p" not in repr(configuration)


def test_name_that_does_not_resolve_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(SettingsError, match=r"the address of 'gpu.example.org'"):
        shared_engine(Settings(public_ip="gpu.example.org"))
    assert shared_engine_module._engine is None


def test_closed_stream_takes_no_frames() -> None:
    _, handle, _ = open_stream()
    show(handle)
    handle.close()
    handle.close()
    with pytest.raises(StreamClosedError, match="the stream is closed"):
        handle.begin(100)


def test_process_that_was_started_before_is_the_first_streams_and_no_other() -> None:
    spare.prestart()
    spare.prestart()
    early = spare._spare
    engine, handle, _ = open_stream()
    assert engine.process is early
    handle.stats(WAIT_S)
    spare.prestart()
    assert spare._spare is None


def test_process_that_was_started_in_vain_ends_with_the_kernel() -> None:
    spare.prestart()
    assert spare._spare is not None
    pid = spare._spare.pid
    shared_engine_module.close_shared_engine()
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(("carriers", "is_found"), [("webrtc,socket", True), ("comm", False)])
def test_stream_has_a_place_where_the_extension_may_find_its_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, carriers: str, is_found: bool
) -> None:
    monkeypatch.setattr(shared_engine_module, "kernel_place", lambda: KernelPlace(tmp_path, "0f1e"))
    _, handle, _ = open_stream(carriers=carriers)
    assert handle.place == (f"0f1e/{handle.name}" if is_found else "")


def test_process_ends_with_the_engine() -> None:
    engine, _, _ = open_stream()
    pid = engine.process.pid
    engine.close()
    assert not Path(f"/proc/{pid}").exists()


def test_process_survives_the_interrupt_that_stops_a_cell() -> None:
    engine, handle, _ = open_stream()
    handle.stats(WAIT_S)
    assert os.getpgid(engine.process.pid) != os.getpgid(0)


CHILD = """
import os, sys
from gpuview.engine.shared_engine import shared_engine
from gpuview.settings import Settings
from gpuview.signalling.ice_servers import kernel_servers
from tests.fakes import Listener
engine = shared_engine(Settings())
stream = engine.open_stream(Listener(), fps=30, max_bitrate_bps=10**6)
stream.stats(30)
if os.fork() == 0:  # a data loader's worker, which has inherited the pipe
    sys.stdin.read()
    os._exit(0)
print(engine.process.pid, flush=True)
sys.stdin.read()
"""


def test_process_ends_when_the_kernel_is_killed_though_a_forked_child_lives() -> None:
    kernel = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with kernel:
        assert kernel.stdout is not None
        media_pid = int(kernel.stdout.readline())
        kernel.kill()
        kernel.wait()
        wait_until_gone([media_pid], timeout_s=WAIT_S)


def _push_in_child(result: multiprocessing.SimpleQueue[str]) -> None:
    assert shared_engine_module._engine is None
    try:
        show(_inherited)
    except StreamClosedError as exc:
        result.put(exc.problem)


_inherited: StreamHandle


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_cannot_push_into_its_parents_stream() -> None:
    global _inherited
    _, _inherited, _ = open_stream()
    show(_inherited)
    context = multiprocessing.get_context("fork")
    result: multiprocessing.SimpleQueue[str] = context.SimpleQueue()
    child = context.Process(target=_push_in_child, args=(result,))
    child.start()
    problem = result.get()
    child.join()
    child.close()
    assert "belongs to the process that this one was forked from" in problem
    show(_inherited)
    assert _inherited.stats(WAIT_S).encoders == []


def test_process_is_started_again_once_there_are_descriptors_again() -> None:
    engine, handle, listener = open_stream()
    show(handle)
    handle.stats(WAIT_S)
    with all_descriptors_used_up():
        os.kill(engine.process.pid, signal.SIGKILL)
        error = listener.hear("failed")
        assert isinstance(error, MediaError)
        assert "Too many open files" in error.problem
        show(handle)  # which the user's code does not notice
        with pytest.raises(MediaError, match="Too many open files"):
            engine.open_stream(Listener(), fps=30, max_bitrate_bps=10**6)
    assert listener.hear("started") == 2
    listener.hear("ready")
    assert handle.stats(WAIT_S).viewers == []
    _, other, _ = open_stream()
    assert other.stats(WAIT_S).viewers == []


def test_push_does_not_wait_for_a_process_that_hangs_with_a_full_pipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "_HANGS_AFTER_S", 20)
    engine, handle, _ = open_stream()
    show(handle)
    handle.stats(WAIT_S)
    hanging = engine.process
    os.kill(hanging.pid, signal.SIGSTOP)
    for n in range(200):  # twice what the pipe takes
        handle.send(Offer(view="v", seq=n + 1, sdp="x" * 60_000))
    show(handle, 640, 480)  # in a larger ring, which the process is to be told of
    assert hanging._popen.poll() is None
    os.kill(hanging.pid, signal.SIGCONT)
    assert handle.stats(WAIT_S).viewers == []  # which is answered after all that came before
    assert engine.process is hanging


def test_stream_without_a_descriptor_says_so_and_the_next_one_plays() -> None:
    with all_descriptors_used_up():
        spare.prestart()  # which importing GPUStream in a notebook does: it never fails
        with pytest.raises(MediaError, match=r"Too many open files\n.*\n.*raise ulimit -n"):
            open_stream()
    engine, _, _ = open_stream()
    with all_descriptors_used_up(), pytest.raises(MediaError, match=r"cannot open a stream: .*24"):
        engine.open_stream(Listener(), fps=30, max_bitrate_bps=10**6)
    _, handle, _ = open_stream()
    assert handle.stats(WAIT_S).viewers == []


def test_python_for_an_old_system_lacks_nothing_that_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.delattr(os, "pidfd_open")
    _, handle, _ = open_stream()
    show(handle)
    assert handle.stats(WAIT_S).viewers == []


def test_function_that_this_python_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _, _ = open_stream()
    monkeypatch.delattr(os, "eventfd")
    with pytest.raises(MediaError, match=r"'eventfd'\n.*is Python 3.* for linux") as caught:
        engine.open_stream(Listener(), fps=30, max_bitrate_bps=10**6)
    assert sys.executable in caught.value.expected


READ_ONLY = """
while read -r _ folder _; do mount -o remount,ro,bind "$folder" 2>/dev/null; done </proc/self/mounts
cd /sys && exec "$@"
"""
SHOW = """
import tempfile
try:
    tempfile.gettempdir()
except FileNotFoundError:
    print("no temporary folder")
from gpuview import GPUStream
from gpuview.engine import spare
spare.prestart()
stream = GPUStream()
stream.push(__import__("torch").zeros(64, 64))
print(stream.stats().frames_pushed)
"""


def test_stream_needs_no_folder_that_it_can_write_to() -> None:
    unshare = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("may not change its mounts")
    done = subprocess.run(
        [*unshare, sys.executable, "-c", SHOW], capture_output=True, text=True, check=False
    )
    assert done.stdout.split("\n")[-2:] == ["1", ""], done.stderr
    assert "no temporary folder" in done.stdout


@contextmanager
def all_descriptors_used_up() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    fds: list[int] = []
    try:
        with suppress(OSError):
            while True:
                fds.append(os.dup(0))
        yield
    finally:
        for fd in fds:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
