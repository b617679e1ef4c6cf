"""A server whose kernels run behind a gateway, which is another Jupyter server here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gpuview.server.refusal import CloseCode
from tests.server.jupyter import JupyterServer, closing_of

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    with JupyterServer(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def server(
    gateway: JupyterServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    options = {"GatewayClient.url": gateway.url, "GatewayClient.auth_token": gateway.token}
    with JupyterServer(tmp_path_factory.mktemp("jupyter"), options) as server:
        yield server


def test_page_is_told_that_its_kernel_is_elsewhere(server: JupyterServer, place: str) -> None:
    code, reason = closing_of(server.connect(place))
    assert code == CloseCode.NOT_ALLOWED
    assert "gateway" in reason


def test_health_says_that_the_kernel_is_elsewhere(server: JupyterServer, kernel_id: str) -> None:
    kernels = server.get("/gpuview/health").json()["kernels"]
    assert "gateway" in kernels[kernel_id]["media_process"]
