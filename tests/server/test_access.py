"""Users whom the server's own authorizer lets do less than all."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import websocket

from tests.server.jupyter import JupyterServer
from tests.server.media import FakeMedia

pytestmark = pytest.mark.kernel

READERS_ONLY = """
from jupyter_server.auth import Authorizer
class ReadersOnly(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        # They may start kernels, so that there is one.
        return action == "read" or (resource == "kernels" and action == "write")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    folder = tmp_path_factory.mktemp("authorizer")
    (folder / "readers_only.py").write_text(READERS_ONLY)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    options = {"ServerApp.authorizer_class": "readers_only.ReadersOnly"}
    home = tmp_path_factory.mktemp("jupyter")
    with JupyterServer(home, options, env={"PYTHONPATH": path}) as server:
        yield server


def test_user_who_may_not_use_kernels_sees_no_stream(
    server: JupyterServer, media: FakeMedia, place: str
) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        server.connect(place)
    assert server.get(f"/gpuview/view/{place}").status == 403
    assert server.get("/gpuview/health").status == 200
