"""The dtypes that a frame may have, written out once more: one that the source forgets fails."""

import torch

__all__ = ["FLOATS", "INTEGERS"]

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = (
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint16,
    torch.uint32,
    torch.uint64,
)
