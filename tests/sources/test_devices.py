"""Where a source makes its tensors."""

import threading

import torch

from gpuview.sources.devices import devices_of_this_thread


def device_in_a_thread(devices) -> str:
    found = []

    def make() -> None:
        with devices():
            found.append(torch.empty(1).device.type)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return found[0]


def test_the_default_device_of_one_thread_holds_in_another():
    with torch.device("meta"):
        on_meta = devices_of_this_thread()

    assert device_in_a_thread(on_meta) == "meta"
    assert device_in_a_thread(devices_of_this_thread()) == "cpu"


def test_the_current_cuda_device_of_one_thread_holds_in_another(monkeypatch):
    entered = []

    class Device(torch.cuda.device):
        def __enter__(self) -> None:
            entered.append(self.idx)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device", Device)
    with devices_of_this_thread()():
        pass

    assert entered == [1]
