"""The service that makes TURN logins, below a real JupyterHub with its proxy, for a real coturn."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpuview.doctor.stun_turn import query_server
from gpuview.errors import NetworkError
from gpuview.protocol.page_messages import IceServer
from gpuview.settings import Settings
from gpuview.signalling.turn_rest_client import fetch_turn_login, forget_turn_logins
from gpuview.testing.kernel import Kernel
from gpuview.webrtc.ice_url import server_urls
from tests.hub.conftest import documented
from tests.hub.loopback import LoopbackHub, Reply, UserKernel
from tests.ports import free_port
from tests.structure.test_surface import modules_after
from tests.turnserver import LOOPBACK, TurnServer, needs_coturn
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.hub,
    pytest.mark.skipif(os.geteuid() != 0, reason="users of the hub have fewer rights than it"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv here: util-linux"),
]

SECRET = "0123456789abcdef-of-coturn-and-the-service"
URL = "turn:turn.example.org"
SCOPE = "custom:gpuview:turn"
PATH = "/services/gpuview/"
ASK = f"{PATH}?service=turn"
NOBODY = 65534

# The Hub has given it the address of another machine.
ELSEWHERE = {
    "TURN_SECRET": SECRET,
    "JUPYTERHUB_SERVICE_PREFIX": PATH,
    "JUPYTERHUB_SERVICE_URL": "http://203.0.113.9:10105",
    "JUPYTERHUB_API_TOKEN": "t0ken",
    "JUPYTERHUB_API_URL": "http://203.0.113.9:8081/hub/api",
}
# The guide's block comes after the first line, and has other ports and options after the others.
BEFORE = "c.JupyterHub.services = []\n"
AFTER = """
service = c.JupyterHub.services[0]
service["url"] = {url!r}
service["command"] = [each for each in service["command"] if each[:2] != "--"] + list({options})
c.Spawner.environment = {{"GPUVIEW_TURN_CREDENTIALS_URL": {url!r} + "/services/gpuview/"}}
"""
# What a user's server gets from the service with its own token.
ASK_FOR_LOGIN = """
import os
from gpuview.settings import Settings
from gpuview.signalling.turn_rest_client import fetch_turn_login
found = fetch_turn_login(Settings(), "v1")
result = [found.server.urls, found.server.username, found.server.credential, found.ttl_s]
"""
# Everything of this machine's that the account of a user's server can read, but for its own memory.
LOOK_FOR = """
import os
from pathlib import Path
needle, folder = NEEDLE, FOLDER
environs = [each / name for each in Path("/proc").glob("[0-9]*") for name in ("environ", "cmdline")]
files = [each for each in Path(folder).rglob("*") if each.is_file()]
found, n_read, refused = [], 0, []
for path in [*environs, *files]:
    try:
        content = path.read_bytes()
    except PermissionError:
        refused.append(str(path))
    except OSError:
        pass
    else:
        n_read += 1
        if needle.encode() in content:
            found.append(str(path))
result = {"found": found, "n_read": n_read, "refused": refused}
"""


class Site:
    """A hub as the guide configures it, but on loopback, with its secret in a file of another's."""

    def __init__(self, folder: Path, turn_folder: Path, *options: str) -> None:
        self.folder, self.turn_folder = folder, turn_folder
        self.hub_port, self.turn_port = free_port(), free_port()
        self.turn_url = f"turn:127.0.0.1:{self.turn_port}?transport=udp"
        self.secret_file = folder / "turn-secret"
        self.secret_file.write_text(f"{SECRET}\n")
        self.secret_file.chmod(0o600)
        os.chown(self.secret_file, NOBODY, NOBODY)
        options = (f"--turn-url={self.turn_url}", f"--secret-file={self.secret_file}", *options)
        url = f"http://127.0.0.1:{free_port()}"
        self.config = BEFORE + documented("TURN") + AFTER.format(url=url, options=options)

    def hub(self) -> LoopbackHub:
        return LoopbackHub(self.folder / "hub", self.hub_port, self.config)

    def turn(self) -> TurnServer:
        return TurnServer(
            self.turn_folder,
            f"{LOOPBACK}\nlistening-port={self.turn_port}\nuse-auth-secret\nrealm=example.org\n"
            f"static-auth-secret={SECRET}\nmin-port=42000\nmax-port=42099\n",
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # The folders of pytest are closed to other accounts, which a user's server is here.
    with tempfile.TemporaryDirectory(prefix="gpuview-hub-") as folder:
        Path(folder).chmod(0o755)
        turn_folder = tmp_path_factory.mktemp("turn")  # in life on another machine
        yield Site(Path(folder), turn_folder, "--GPUViewHub.requests_per_minute=20")


@pytest.fixture(scope="module")
def hub(site: Site) -> Iterator[LoopbackHub]:
    with site.hub() as hub:
        for user in ("bob", "carol", "dora"):
            hub.add(user)
        yield hub


@pytest.fixture(scope="module")
def alice(hub: LoopbackHub) -> Iterator[UserKernel]:
    """A kernel of Alice's server."""
    with hub.start_server("alice") as kernel:
        yield kernel


@needs_coturn
def test_a_users_server_gets_a_login_that_coturn_accepts_and_that_has_the_users_name(
    site: Site, alice: UserKernel
) -> None:
    urls, username, credential, ttl_s = alice.evaluate(ASK_FOR_LOGIN)
    assert urls == [site.turn_url]
    end, _, name = username.partition(":")
    assert name == "alice"
    assert ttl_s == 3600
    assert 0 < int(end) - time.time() <= 3600
    assert allocates(site, username, credential)
    # Nobody can change the name or the end without the secret.
    assert not allocates(site, f"{end}:bob", credential)
    assert not allocates(site, f"{int(end) + 60}:alice", credential)


@needs_coturn
def test_a_viewer_in_a_real_kernel_plays_through_the_relay_with_it(
    site: Site, alice: UserKernel, tmp_path: Path
) -> None:
    env = alice.evaluate("import os; result = dict(os.environ)")
    env = {name: env[name] for name in env if name.startswith(("GPUVIEW_", "JUPYTERHUB_"))}
    # Only the viewer may relay, and it may do nothing else.
    env |= {"GPUVIEW_KERNEL_ICE_SERVERS": "[]", "GPUVIEW_ICE_TRANSPORT_POLICY": "relay"}
    with site.turn() as turn, Kernel(env=env, cwd=tmp_path) as kernel:
        kernel.run("import torch; from gpuview import GPUStream", timeout_s=300)
        source = "lambda: torch.full((96, 128, 3), 200, dtype=torch.uint8)"
        kernel.run(f"display(GPUStream({source}))")
        with kernel.view(kernel.stream()) as viewer:
            assert viewer.next_frame(timeout_s=60).any()
        saved = kernel.stream().traits
        log = turn.log
    assert re.search(r"user <\d+:alice>.*ALLOCATE processed, success", log)
    assert "alice" not in json.dumps(saved, default=str)


def test_no_users_server_can_read_the_secret(site: Site, alice: UserKernel) -> None:
    code = LOOK_FOR.replace("NEEDLE", repr(SECRET)).replace("FOLDER", repr(str(site.folder)))
    seen = alice.evaluate(code)
    assert seen["found"] == []
    assert str(site.secret_file) in seen["refused"]
    assert seen["n_read"] > 10
    # It would have found it: the server's own files and environment are among what it has read.
    own = "GPUVIEW_TURN_CREDENTIALS_URL"
    assert alice.evaluate(code.replace(repr(SECRET), repr(own)))["found"]


@pytest.mark.parametrize(
    ("token", "status", "words"),
    [
        (None, 403, "send the token"),
        ("made-up", 403, "does not know this token"),
        ("bob without the scope", 403, f"has not the scope {SCOPE}"),
        ("a service", 403, f"has not the scope {SCOPE}"),
        ("a service with the scope", 403, "logins are for users"),
        ("bob", 200, ""),
    ],
)
def test_only_a_users_token_with_the_scope_gets_a_login(
    hub: LoopbackHub, token: str | None, status: int, words: str
) -> None:
    made = {
        "bob without the scope": lambda: hub.token_of("bob", ["access:servers!user"]),
        "bob": lambda: hub.token_of("bob", [SCOPE]),
        "a service": lambda: hub.admin_token,
        "a service with the scope": lambda: hub.robot_token,
    }
    reply = hub.ask(ASK, token=made[token]() if token in made else token)
    assert reply.status == status
    answer = reply.json()
    assert words in answer.get("message", "")
    assert ("password" in answer) is (status == 200)


def test_another_name_in_the_query_changes_nothing(hub: LoopbackHub) -> None:
    token = hub.token_of("bob", [SCOPE])
    answer = hub.ask(f"{ASK}&username=alice&key=x", token=token).json()
    assert answer["username"].endswith(":bob")
    assert hub.ask(f"{PATH}?service=stun", token=token).status == 400
    assert "key=" not in hub.log


def test_one_user_who_asks_too_often_is_refused_and_others_are_not(hub: LoopbackHub) -> None:
    carol, dora = hub.token_of("carol", [SCOPE]), hub.token_of("dora", [SCOPE])
    replies: list[Reply] = []
    while len(replies) < 200 and (not replies or replies[-1].status == 200):
        replies.append(hub.ask(ASK, token=carol))
    # All of the burst pass, and a few more while they are sent.
    assert len(replies) > 20
    assert replies[-1].status == 429
    assert replies[-1].json()["message"] == "more than 20 requests a minute"
    assert hub.ask(ASK, token=dora).status == 200


def test_health_is_for_anybody_and_the_counters_are_for_whoever_reads_the_hubs(
    hub: LoopbackHub,
) -> None:
    assert hub.ask(f"{PATH}health").json()["status"] == "ok"
    assert hub.ask(f"{PATH}metrics").status == 403
    assert hub.ask(f"{PATH}metrics", token=hub.token_of("bob", [SCOPE])).status == 403
    before = counted(hub, "gpuview_turn_logins_total")
    refused = counted(hub, 'gpuview_turn_refused_total{status="403"}')
    hub.ask(ASK, token=hub.token_of("bob", [SCOPE]))
    hub.ask(ASK)
    assert counted(hub, "gpuview_turn_logins_total") == before + 1
    assert counted(hub, 'gpuview_turn_refused_total{status="403"}') == refused + 1
    assert hub.ask(f"{PATH}elsewhere").status == 404


def test_it_answers_that_the_hub_is_down_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    port = free_port()
    env = {
        **os.environ,
        "JUPYTERHUB_SERVICE_PREFIX": PATH,
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
        "JUPYTERHUB_API_TOKEN": "of-the-service",
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{free_port()}/hub/api",
        "TURN_URL": URL,
        "TURN_SECRET": SECRET,
    }
    log = tmp_path / "log"
    with log.open("wb") as file:
        service = subprocess.Popen(
            [sys.executable, "-m", "gpuview.hub"], env=env, stdout=file, stderr=file
        )
    try:
        wait_until(
            lambda: "TURN logins for" in log.read_text(), "it serves", describe=log.read_text
        )
        settings = Settings(
            turn_credentials_url=f"http://127.0.0.1:{port}{PATH}", turn_credentials_token="t0ken"
        )
        with pytest.raises(NetworkError, match="answers with the HTTP status 503"):
            fetch_turn_login(settings, "v1")
    finally:
        forget_turn_logins()
        service.terminate()
        assert service.wait(60) == 0
    assert "t0ken" not in log.read_text()


def test_nothing_secret_is_logged(hub: LoopbackHub) -> None:
    token = hub.token_of("bob", [SCOPE])
    password = hub.ask(ASK, token=token).json()["password"]
    for secret in (SECRET, password, token):
        assert secret not in hub.log


def test_where_the_hub_is_down_the_viewer_is_told_and_stun_goes_on(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}{PATH}"
    env = {
        "GPUVIEW_TURN_CREDENTIALS_URL": url,
        "GPUVIEW_STUN_URL": f"stun:127.0.0.1:{free_port()}",
        "JUPYTERHUB_API_TOKEN": "t0ken",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api",
    }
    with Kernel(env=env, cwd=tmp_path) as kernel:
        kernel.run("import torch; from gpuview import GPUStream", timeout_s=300)
        kernel.run("display(GPUStream(lambda: torch.zeros(96, 128, 3, dtype=torch.uint8)))")
        stream = kernel.stream()
        with kernel.view(stream) as viewer:
            viewer.next_frame(timeout_s=60)
            told = wait_until(lambda: problems_in(stream.messages), "the view is told why")
    expected = f"there is no TURN login: {url} cannot be reached: Connection refused"
    assert expected in told
    assert "t0ken" not in json.dumps(stream.messages, default=str)


@pytest.mark.parametrize(
    ("options", "environ", "problem"),
    [
        ([f"--turn-url={URL}"], {}, "cannot make TURN logins without the secret"),
        ([f"--turn-url={URL}"], {"TURN_SECRET": "t00-short"}, "a secret of 9 characters"),
        ([], {"TURN_SECRET": SECRET}, "cannot make logins for turn_url = ''"),
        ([f"--turn-url={URL}"], {"TURN_SECRET": SECRET}, "cannot run without a JupyterHub"),
        ([f"--turn-url={URL}"], ELSEWHERE, "cannot listen at 203.0.113.9 port 10105: "),
    ],
)
def test_it_refuses_to_start_with_a_sentence_in_three_parts(
    options: list[str], environ: dict[str, str], problem: str
) -> None:
    command = [sys.executable, "-m", "gpuview.hub", *options]
    env = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(command, env=env | environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("gpuview.hub: cannot ")
    assert problem in done.stderr
    assert re.search(r"\n  expected: .+\n  try:      .+", done.stderr)
    assert "Traceback" not in done.stderr
    assert "t00-short" not in done.stderr


def test_it_loads_nothing_that_a_kernel_needs() -> None:
    heavy = {"torch", "av", "aiortc", "aioice", "msgspec", "pydantic", "numpy", "anywidget"}
    assert not modules_after("import gpuview.hub.app") & heavy


def problems_in(messages: list[Any]) -> str:
    """Return the problems that pages were told, in whichever message."""
    return " ".join(
        each["problem"] for message in list(messages) for each in message.get("problems", ())
    )


def counted(hub: LoopbackHub, name: str) -> float:
    text = hub.ask(f"{PATH}metrics", token=hub.admin_token).body.decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
    return float(found[1]) if found else 0.0


def allocates(site: Site, username: str, credential: str) -> bool:
    """Tell whether a real coturn with the secret gives a relay for this login."""
    server = IceServer(urls=[site.turn_url], username=username, credential=credential)
    (url,) = server_urls([server])
    with site.turn():
        return asyncio.run(query_server(url)).relayed is not None
