"""The dtypes that a frame may have, listed again so that a test notices a missing one."""

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
