"""What a source finds on its thread."""

import threading
from contextvars import ContextVar

import torch

from gpuview.sources.thread_context import as_on_this_thread


def on_a_thread(call, function) -> object:
    found = []
    thread = threading.Thread(target=lambda: found.append(call(function)))
    thread.start()
    thread.join()
    return found[0]


def test_the_default_device_of_one_thread_holds_on_another():
    with torch.device("meta"):
        call = as_on_this_thread()

    assert on_a_thread(call, lambda: torch.empty(1).device.type) == "meta"
    assert on_a_thread(as_on_this_thread(), lambda: torch.empty(1).device.type) == "cpu"


def test_context_variables_of_one_thread_hold_on_another():
    cell = ContextVar("cell", default="nowhere")
    cell.set("this one")

    assert on_a_thread(as_on_this_thread(), cell.get) == "this one"
    assert on_a_thread(lambda function: function(), cell.get) == "nowhere"


def test_the_current_cuda_device_of_one_thread_holds_on_another(monkeypatch):
    entered = []

    class Device(torch.cuda.device):
        def __enter__(self) -> None:
            entered.append(self.idx)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device", Device)
    as_on_this_thread()(lambda: None)

    assert entered == [1]
