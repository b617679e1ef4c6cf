"""Every block in docs/jupyterhub.md can be parsed, and names only what there is."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpuview.doctor.config_files import frp_config
from gpuview.hub.configuration import parse_turn_urls
from gpuview.settings import Settings
from tests.jupyterhub_page import GUIDE, Block, blocks, configured, doctor_begins, environment
from tests.ports import free_port
from tests.turnserver import LOOPBACK, TurnServer, needs_coturn

DATA = Path(__file__).parents[1] / "data"
LANGUAGES = {"python", "yaml", "toml", "ini", "sh", "dockerfile", ""}
SETUPS = [
    "The Littlest JupyterHub",
    "Zero to JupyterHub on Kubernetes",
    "A shared box behind FRP",
    "Docker with published ports",
]
# Where the classes are that the page configures.
CLASSES = {
    "JupyterHub": "jupyterhub.app",
    "Spawner": "jupyterhub.spawner",
    "GPUViewHub": "gpuview.hub.app",
    "MappingKernelManager": "jupyter_server.services.kernels.kernelmanager",
    "ServerApp": "jupyter_server.serverapp",
}
# Of frpc.toml; https://github.com/fatedier/frp/blob/dev/conf/frpc_full_example.toml.
FRP_KEYS = {"serverAddr", "serverPort", "auth", "auth.token", "proxies"} | {
    f"proxies.{key}" for key in ("name", "type", "localIP", "localPort", "remotePort")
}
# Of the Compose specification, https://github.com/compose-spec/compose-spec: services and deploy.
_HUB = "services.hub"
_DEVICES = f"{_HUB}.deploy.resources.reservations.devices"
COMPOSE_KEYS = {
    *("services", _HUB, f"{_HUB}.image", f"{_HUB}.ports", f"{_HUB}.deploy"),
    *(f"{_HUB}.deploy.resources", f"{_HUB}.deploy.resources.reservations", _DEVICES),
    *(f"{_DEVICES}.{each}" for each in ("driver", "count", "capabilities")),
}
# Of the Kubernetes API 1.32, https://kubernetes.io/docs/reference/kubernetes-api/.
_POD = "spec.template.spec"
KUBERNETES_KEYS = {
    "Deployment": {
        *("apiVersion", "kind", "metadata", "metadata.name", "spec", "spec.replicas"),
        *("spec.strategy", "spec.strategy.type", "spec.selector", "spec.selector.matchLabels"),
        *("spec.selector.matchLabels.app", "spec.template", "spec.template.metadata"),
        *("spec.template.metadata.labels", "spec.template.metadata.labels.app"),
        *(_POD, f"{_POD}.hostNetwork", f"{_POD}.nodeSelector", f"{_POD}.nodeSelector.turn"),
        *(f"{_POD}.containers{each}" for each in ("", ".name", ".image", ".args", ".volumeMounts")),
        *(f"{_POD}.containers.volumeMounts.{each}" for each in ("name", "mountPath", "readOnly")),
        *(f"{_POD}.volumes{each}" for each in ("", ".name", ".secret", ".secret.secretName")),
    },
    "Service": {
        *("apiVersion", "kind", "metadata", "metadata.name", "spec", "spec.type", "spec.selector"),
        *("spec.selector.app", "spec.ports"),
        *(f"spec.ports.{each}" for each in ("name", "protocol", "port")),
    },
}


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each key in JSON; items of a list have their list's."""
    if isinstance(value, list):
        for item in value:
            yield from paths(item, path)
    if isinstance(value, dict):
        for key, below in value.items():
            here = f"{path}.{key}" if path else str(key)
            yield here
            yield from paths(below, here)


def yaml_blocks(file: str) -> list[Any]:
    """Return what is in the blocks for a file, whose name their first line has."""
    found = [each.text for each in blocks("yaml") if re.match(rf"# {re.escape(file)}\b", each.text)]
    assert found
    return [yaml.safe_load(each) for each in found]


def check_settings(env: dict[str, Any]) -> None:
    """Fail unless gpuview has these variables, and takes their values together."""
    ours = {name: value for name, value in env.items() if name.startswith("GPUVIEW_")}
    assert all(isinstance(value, str) for value in ours.values())
    Settings(**{name.removeprefix("GPUVIEW_").lower(): ours[name] for name in ours})


def test_all_blocks_are_of_a_known_kind_and_each_yaml_is_of_a_known_file() -> None:
    assert {each.language for each in blocks()} == LANGUAGES
    known = ("# values.yaml", "# coturn.yaml", "# coturn-service.yaml", "# compose.yaml")
    assert all(each.text.startswith(known) for each in blocks("yaml"))


@pytest.mark.parametrize("block", blocks("python"), ids=lambda each: each.heading)
def test_python_runs_and_gives_users_servers_real_settings(
    block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURN_SECRET", "0123456789abcdef")
    check_settings(configured(block).Spawner.environment)


def test_every_variable_and_setting_that_the_page_names_is_one() -> None:
    named = set(re.findall(r"GPUVIEW_[A-Z_]+", GUIDE.read_text()))
    assert named
    assert {name.removeprefix("GPUVIEW_").lower() for name in named} <= set(Settings.model_fields)


@pytest.mark.hub
def test_every_option_of_the_hub_and_of_jupyter_is_one() -> None:
    named = set(re.findall(r"\bc\.([A-Z]\w+)\.(\w+)", GUIDE.read_text()))
    named |= set(
        re.findall(r"\b(JupyterHub|ServerApp|MappingKernelManager)\.(\w+)`", GUIDE.read_text())
    )
    named |= set(re.findall(r"--(GPUViewHub)\.(\w+)", GUIDE.read_text()))
    assert len(named) > 8
    for name, trait in named:
        of = getattr(import_module(CLASSES[name]), name)
        assert trait in of.class_trait_names(config=True), f"{name}.{trait}"


def commands() -> list[list[str]]:
    """Return the command of the service in each set-up that has one."""
    (turn,) = [each for each in blocks("python") if each.heading == "TURN"]
    values = yaml_blocks("values.yaml")[0]
    service = configured(turn).JupyterHub.services[0]
    return [service["command"], values["hub"]["services"]["gpuview"]["command"]]


@pytest.mark.hub
def test_the_services_options_are_its_own() -> None:
    from gpuview.hub.app import GPUViewHub

    for command in commands():
        assert command[1:3] == ["-m", "gpuview.hub"]
        for option in command[3:]:
            assert option.partition("=")[0].removeprefix("--") in GPUViewHub.aliases
    rows = re.findall(r"^\| `--([a-z-]+)` \|", GUIDE.read_text(), re.M)
    assert set(rows) == set(GPUViewHub.aliases)


def test_the_service_is_told_real_urls_and_asked_where_it_is() -> None:
    for command in commands():
        (urls,) = [each.partition("=")[2] for each in command if each.startswith("--turn-url")]
        assert len(parse_turn_urls(urls)) == 2
    (turn,) = [each for each in blocks("python") if each.heading == "TURN"]
    config = configured(turn)
    service = config.JupyterHub.services[0]
    asked = config.Spawner.environment["GPUVIEW_TURN_CREDENTIALS_URL"]
    assert asked == f"{service['url']}/services/{service['name']}/"
    hub = yaml_blocks("values.yaml")[0]["hub"]
    (name,) = hub["services"]
    for values in yaml_blocks("values.yaml"):
        asked = values["singleuser"]["extraEnv"]["GPUVIEW_TURN_CREDENTIALS_URL"]
        assert asked == f"{hub['services'][name]['url']}/services/{name}/"


def test_roles_add_one_defined_scope_to_those_that_a_hub_gives() -> None:
    (turn,) = [each for each in blocks("python") if each.heading == "TURN"]
    config = configured(turn).JupyterHub
    roles = {each["name"]: each["scopes"] for each in config.load_roles}
    hub = yaml_blocks("values.yaml")[0]["hub"]
    for scopes, defined in (
        (roles, config.custom_scopes),
        (
            {name: role["scopes"] for name, role in hub["loadRoles"].items()},
            hub["config"]["JupyterHub"]["custom_scopes"],
        ),
    ):
        (scope,) = defined
        assert scopes == {
            "user": ["self", scope],
            "server": ["users:activity!user", "access:servers!server", scope],
        }


@pytest.mark.hub
def test_those_are_the_scopes_that_a_hub_gives_by_itself() -> None:
    from jupyterhub.roles import get_default_roles

    given = {each["name"]: each["scopes"] for each in get_default_roles()}
    assert given["user"] == ["self"]
    assert given["server"] == ["users:activity!user", "access:servers!server"]


def test_values_of_the_helm_chart_are_those_of_its_schema() -> None:
    lines = (DATA / "jupyterhub_chart_values.txt").read_text().splitlines()
    known = [line for line in lines if not line.startswith("#")]
    open_ended = tuple(line.removesuffix("*") for line in known if line.endswith(".*"))
    names = {line.removesuffix(".*") for line in known}
    ancestors = {name.rpartition(".")[0] for name in names}
    for _ in range(5):
        ancestors |= {name.rpartition(".")[0] for name in ancestors}
    for values in yaml_blocks("values.yaml"):
        for path in paths(values):
            assert path in names | ancestors or path.startswith(open_ended), path
        check_settings(values["singleuser"]["extraEnv"])


def test_what_is_mounted_and_let_through_in_the_cluster_is_what_is_used() -> None:
    hub = yaml_blocks("values.yaml")[0]["hub"]
    (volume,), (mount,) = hub["extraVolumes"], hub["extraVolumeMounts"]
    assert volume["name"] == mount["name"]
    file = f"{mount['mountPath']}/{volume['secret']['items'][0]['path']}"
    assert f"--secret-file={file}" in hub["services"]["gpuview"]["command"]
    # Nobody else reads it, or the service refuses.
    assert not volume["secret"]["defaultMode"] & 0o004
    (coturn,) = yaml_blocks("coturn.yaml")
    pod = coturn["spec"]["template"]
    assert coturn["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    assert pod["spec"]["volumes"][0]["secret"]["secretName"] == volume["secret"]["secretName"]
    (service,) = yaml_blocks("coturn-service.yaml")
    assert service["spec"]["selector"] == pod["metadata"]["labels"]
    port = int(hub["services"]["gpuview"]["url"].rpartition(":")[2])
    assert hub["service"]["extraPorts"][0]["port"] == port
    assert hub["networkPolicy"]["ingress"][0]["ports"] == [{"port": port}]
    egress = yaml_blocks("values.yaml")[0]["singleuser"]["networkPolicy"]["egress"]
    assert egress[0]["ports"] == [{"port": port}]


@pytest.mark.parametrize("file", ["coturn.yaml", "coturn-service.yaml"])
def test_manifests_have_the_fields_of_the_kubernetes_api(file: str) -> None:
    (manifest,) = yaml_blocks(file)
    assert set(paths(manifest)) <= KUBERNETES_KEYS[manifest["kind"]]


def test_compose_file_publishes_the_port_of_the_hub_and_those_that_users_have() -> None:
    (compose,) = yaml_blocks("compose.yaml")
    assert set(paths(compose)) <= COMPOSE_KEYS
    env = environment("Forwarded ports")
    ports = f"{env['GPUVIEW_PORT_MIN']}-{env['GPUVIEW_PORT_MAX']}"
    assert compose["services"]["hub"]["ports"] == ["8000:8000", f"{ports}:{ports}/udp"]


def test_frp_has_the_proxies_that_gpuview_config_prints_and_one_for_the_hub() -> None:
    (block,) = blocks("toml")
    written = tomllib.loads(block.text)
    assert set(paths(written)) <= FRP_KEYS
    env = environment(block.heading)
    printed = tomllib.loads(
        frp_config(Settings(**{name.removeprefix("GPUVIEW_").lower(): env[name] for name in env}))
    )
    assert written["serverAddr"] == printed["serverAddr"]
    assert written["proxies"][0]["localPort"] == 8000
    assert written["proxies"][1:] == printed["proxies"]


def test_options_of_coturn_are_those_that_it_lists() -> None:
    known = (DATA / "turnserver_options.txt").read_text().splitlines()[1:]
    (block,) = blocks("ini")
    lines = [line for line in block.text.splitlines() if not line.startswith("#")]
    inline = re.findall(r"`([a-z]+(?:-[a-z]+)+)=[^`]*`", GUIDE.read_text())
    assert "allowed-peer-ip" in inline
    assert {line.partition("=")[0] for line in lines} | set(inline) <= set(known)


@needs_coturn
def test_coturn_lists_them_and_starts_with_the_pages_configuration(tmp_path: Path) -> None:
    listed = subprocess.run(["turnserver", "-h"], capture_output=True, text=True, check=False)
    known = (DATA / "turnserver_options.txt").read_text().splitlines()[1:]
    assert set(known) <= set(
        re.findall(r"--([a-zA-Z][a-zA-Z0-9-]+)", listed.stdout + listed.stderr)
    )
    (block,) = blocks("ini")
    own = LOOPBACK.replace("no-cli", "")
    text = block.text.replace("listening-port=3478", f"listening-port={free_port()}")
    with TurnServer(tmp_path / "turn", f"{text}\n{own}") as turn:
        assert "Bad configuration format" not in turn.log
        assert "Unknown option" not in turn.log


@pytest.mark.parametrize("block", blocks("sh"), ids=lambda each: each.heading)
def test_shell_is_shell(block: Block) -> None:
    sh = shutil.which("sh")
    assert sh is not None
    subprocess.run([sh, "-n"], input=block.text, text=True, check=True)


@pytest.mark.parametrize("heading", SETUPS)
def test_each_set_up_ends_with_what_the_doctor_then_says(heading: str) -> None:
    (block,) = [each for each in blocks("") if each.heading == heading and "settings" in each.text]
    assert block.text == doctor_begins(heading)
    assert "FAIL" not in block.text
    assert "remark" not in block.text


def test_blocks_are_found() -> None:
    assert len(blocks("python")) == 5
    assert [each.heading for each in blocks("toml")] == ["A shared box behind FRP"]
    assert ast.parse(blocks("python")[0].text)
