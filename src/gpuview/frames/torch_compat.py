"""The only file with PyTorch's private names.

A release of PyTorch may drop any of these without notice. Each has a slower fall-back with the same
result, so a newer PyTorch never breaks a push.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.fx import Proxy

__all__ = [
    "has_memory",
    "is_compiled_in_place",
    "is_traced",
    "opaque_to_dynamo",
    "outside_transforms",
    "register_host_memory",
    "unregister_host_memory",
]

T = TypeVar("T")
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_PORTABLE = 1  # for all devices: cudaHostRegisterPortable


def _private(path: str) -> Any:
    """Return the object at ``path`` in torch; None if this release does not have it."""
    found: Any = torch
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


_DisableFuncTorch = _private("_C._DisableFuncTorch")
_DisableTorchFunction = _private("_C.DisableTorchFunction")
_count_dispatch_modes = _private("_C._len_torch_dispatch_stack")
_maybe_current_level = _private("_C._functorch.maybe_current_level")
_eval_frame = _private("_C._dynamo.eval_frame")
_disable_dynamo = _private("_disable_dynamo")


def _is_fx_tracing() -> bool | None:
    # Not `is_fx_tracing`, which logs a warning on every call.
    tracer = sys.modules.get("torch.fx._symbolic_trace")
    get = getattr(tracer, "_get_is_fx_tracing", None)  # since PyTorch 2.14
    return get() if get is not None else getattr(tracer, "_is_fx_tracing_flag", None)


def opaque_to_dynamo(function: FunctionT) -> FunctionT:
    """Keep `torch.compile` out of ``function`` and of all that it calls; compiled code calls it.

    This is `torch.compiler.disable` without the import of Dynamo, which takes more than a second.
    The fall-back, for releases before 2.7, imports it at the first call.
    """
    try:
        skip = _eval_frame._FrameAction.SKIP
        strategy = _eval_frame._FrameExecStrategy(skip, skip)  # for the function, for its callees
        _eval_frame.set_code_exec_strategy(function.__code__, strategy)
    except (AttributeError, TypeError):
        return (_disable_dynamo or torch.compiler.disable)(function)  # type: ignore[no-any-return]
    function._torchdynamo_disable = True  # type: ignore[attr-defined]  # Dynamo does not inline it
    function._torchdynamo_disable_msg = "it reads values"  # type: ignore[attr-defined]
    return function


def outside_transforms(work: Callable[[], T]) -> T:
    """Call ``work`` outside of all active `torch.func` transforms and modes; return its result.

    A transform such as ``grad`` wraps all tensors created inside it, and NumPy cannot read these. A
    mode of the user's sees every operation: it may count it, forbid it, or fake its result.
    """
    names = (_DisableFuncTorch, _DisableTorchFunction, _count_dispatch_modes)
    if None not in names and _count_dispatch_modes() == 0:
        with _DisableFuncTorch(), _DisableTorchFunction():
            return work()

    streams: list[torch.cuda.Stream] = []
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        current = torch.cuda.current_device()
        others = (device for device in range(torch.cuda.device_count()) if device != current)
        # The current device comes last: setting a stream also makes its device current.
        streams = [torch.cuda.current_stream(device) for device in (*others, current)]

    def work_on_our_streams() -> T:
        for stream in streams:
            torch.cuda.set_stream(stream)
        return work()

    with ThreadPoolExecutor(1) as pool:  # transforms and modes are those of one thread
        return pool.submit(work_on_our_streams).result()


def has_memory(tensor: Tensor) -> bool:
    """Tell whether ``tensor`` has memory of its own; inside a `torch.func` transform it has not.

    Needs no private name: a wrapped tensor raises if asked for its data pointer.
    """
    try:
        tensor.untyped_storage().data_ptr()
    except RuntimeError:
        return False
    return True


def is_compiled_in_place(module: nn.Module) -> bool:
    """Tell whether ``module.compile()`` was called; its hooks are then compiled away."""
    return getattr(module, "_compiled_call_impl", None) is not None


def is_traced(outputs: Iterable[object]) -> bool:
    """Tell whether `torch.fx` is tracing, or a `torch.func` transform is active.

    Args:
        outputs: Tensors and other values just computed. Only the fall-back inspects them.
    """
    is_fx_tracing = _is_fx_tracing()
    if is_fx_tracing is not None and _maybe_current_level is not None:
        return is_fx_tracing or _maybe_current_level() is not None
    # make_fx imports this module; PyTorch 2.4 only lacks the function.
    proxy_tensor = sys.modules.get("torch.fx.experimental.proxy_tensor")
    get_proxy_mode = getattr(proxy_tensor, "get_proxy_mode", lambda: None)
    if get_proxy_mode() is not None:
        return True
    return any(
        isinstance(each, Proxy) or (isinstance(each, Tensor) and not has_memory(each))
        for each in (*outputs, torch.empty(0))
    )


def register_host_memory(memory: Tensor) -> bool:
    """Let CUDA devices write to this CPU memory; return False if that is impossible.

    The fall-back is the caller's: it copies through pinned memory.
    """
    register = getattr(torch.cuda.cudart(), "cudaHostRegister", None)  # type: ignore[no-untyped-call]
    return register is not None and not int(register(memory.data_ptr(), memory.numel(), _PORTABLE))


def unregister_host_memory(memory: Tensor) -> None:
    """Undo `register_host_memory`."""
    torch.cuda.cudart().cudaHostUnregister(memory.data_ptr())  # type: ignore[no-untyped-call]
