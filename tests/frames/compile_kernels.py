"""Compiles the Triton kernels for GPUs that are not there, and prints what came out, as JSON.

A process of its own, as Triton's interpreter and its compiler do not live in one.

    python -m tests.frames.compile_kernels 90
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gpuview.frames.cuda.kernel import draw_panel
from gpuview.frames.cuda.minmax import find_minmax, merge_minmax
from gpuview.frames.cuda.percentiles import find_percentiles

_POINTERS = {
    "record": "*u8",
    "ranges": "*fp64",
    "parts": "*fp64",
    "palette": "*u8",
    "nonfinite": "*i64",
    "capture_ns": "i64",
}
_PLACES = ("width", "luma_at", "cb_at", "cr_at", "red_at", "plane_step", "panel_width")
_ALIGNED = (*_POINTERS, "pixels", *_PLACES, "channel_step", "row_step")
_PLANAR, _INTERLEAVED, _ANY = {"column_step": 1}, {"channel_step": 1}, {}

_DIRECT = {
    "channels": 3,
    "is_direct": True,
    "is_grid": False,
    "is_padded": False,
    "colouring": "levels",
    "scale": "as is",
    "needs_float64": False,
    "needs_int64": False,
    "may_have_nonfinite": True,
    "block": 512,
}
_BYTES = {"scale": "byte", "may_have_nonfinite": False}
_AREA = {"is_direct": False, "scale": "range"}
_MAPS = {**_AREA, "channels": 1, "is_grid": True, "colouring": "map"}
_CLASSES = {**_MAPS, "scale": "as is", "colouring": "classes"}
_MEASURE = {
    "is_flat": False,
    "is_flow": False,
    "needs_float64": False,
    "needs_int64": False,
    "is_last": True,
    "block": 1024,
}

_DRAWN = {
    "planar u8": ("u8", _PLANAR, _BYTES, 2),
    "planar fp16": ("fp16", _PLANAR, {}, 2),
    "planar fp32": ("fp32", _PLANAR, {}, 2),
    "interleaved u8": ("u8", _INTERLEAVED, _BYTES, 4),
    "interleaved fp16": ("fp16", _INTERLEAVED, {}, 4),
    "interleaved fp32": ("fp32", _INTERLEAVED, {"block": 256}, 4),
    "padded bf16": ("bf16", _PLANAR, {"is_padded": True}, 2),
    "shrunk fp32": ("fp32", _PLANAR, _AREA, 4),
    "maps fp32": ("fp32", _PLANAR, _MAPS, 4),
    "classes i64": (
        "i64",
        _PLANAR,
        {**_CLASSES, "needs_float64": True, "may_have_nonfinite": False},
        4,
    ),
    "classes fp16": ("fp16", _PLANAR, _CLASSES, 4),
    "flow fp16": ("fp16", _PLANAR, {"channels": 2, "scale": "range", "colouring": "flow"}, 2),
    "exact fp64": ("fp64", _PLANAR, {"needs_float64": True}, 2),
    "exact i32": (
        "i32",
        _PLANAR,
        {"scale": "range", "needs_float64": True, "may_have_nonfinite": False},
        2,
    ),
    "wide fp64": ("fp64", _ANY, {**_AREA, "needs_float64": True, "needs_int64": True}, 4),
    "wide i64": ("i64", _ANY, {**_AREA, "needs_float64": True, "may_have_nonfinite": False}, 4),
}


def main(capability: int) -> None:
    found: dict[str, Any] = {}
    for name, (dtype, steps, flags, n_warps) in _DRAWN.items():
        constants = {**steps, **_DIRECT, **flags}
        found[name] = _compiled(draw_panel, capability, dtype, constants, n_warps)
    for dtype in ("u8", "fp16", "fp32", "fp64"):
        constants = {**_MEASURE, "needs_float64": dtype == "fp64"}
        found[f"find_minmax {dtype}"] = _compiled(find_minmax, capability, dtype, constants, 4)
    constants = {**_MEASURE, "is_flow": True, "is_last": False}
    found["find_minmax of a flow"] = _compiled(find_minmax, capability, "fp32", constants, 4)
    for dtype in ("fp32", "fp64"):
        constants = {"needs_float64": dtype == "fp64", "size": 4096}
        found[f"find_percentiles {dtype}"] = _compiled(
            find_percentiles, capability, dtype, constants, 8
        )
    for is_symmetric in (False, True):
        constants = {"is_symmetric": is_symmetric, "block": 1024}
        found[f"merge_minmax {is_symmetric}"] = _compiled(
            merge_minmax, capability, "fp64", constants, 4
        )
    sys.stdout.write(json.dumps(found))


def _compiled(
    kernel: Any, capability: int, dtype: str, constants: dict[str, Any], n_warps: int
) -> dict[str, Any]:
    signature = {
        name: "constexpr" if name in constants else _POINTERS.get(name, "i32")
        for name in kernel.arg_names
    }
    if "pixels" in signature:
        signature["pixels"] = f"*{dtype}"
    at = {name: (index,) for index, name in enumerate(kernel.arg_names)}
    aligned = [name for name in _ALIGNED if signature.get(name, "constexpr") != "constexpr"]
    source = ASTSource(
        kernel,
        signature,
        {at[name]: value for name, value in constants.items()},
        {at[name]: [["tt.divisibility", 16]] for name in aligned},
    )
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source, target=target, options={"num_warps": n_warps})
    accesses = re.findall(r"(?:ld|st)\.global[.\w]*", compiled.asm["ptx"])
    return {"accesses": Counter(accesses), **_resources(compiled.asm["cubin"])}


def _resources(cubin: bytes) -> dict[str, int]:
    """Return registers, stack and local memory for each thread."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [str(tool), "-res-usage", file.name]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    used = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", text))
    return {name: int(value) for name, value in used.items()}


if __name__ == "__main__":
    main(int(sys.argv[1]))
