"""Tests marked ``cuda`` are skipped without a GPU, or fail where there has to be one."""

import os

import pytest
import torch


@pytest.fixture(autouse=True)
def cuda_where_marked(request):
    if request.node.get_closest_marker("cuda") is None or torch.cuda.is_available():
        return
    if os.environ.get("GPUVIEW_REQUIRE_CUDA") == "1":
        pytest.fail("this machine has no CUDA, and GPUVIEW_REQUIRE_CUDA=1")
    pytest.skip("this machine has no CUDA")
