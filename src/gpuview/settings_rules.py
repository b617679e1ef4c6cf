"""Which settings go together. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gpuview.errors import SettingsError
from gpuview.protocol.page_messages import IceServer
from gpuview.webrtc.addresses import is_host_name, parse_address, public_addresses
from gpuview.webrtc.ice_url import parse_ice_url

if TYPE_CHECKING:
    from gpuview.settings import Settings

__all__ = ["check", "split_list"]


def split_list(text: str | None) -> tuple[str, ...]:
    """Split a setting at its commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def check(settings: Settings) -> None:
    """Check what no single setting shows.

    Raises:
        SettingsError: Two of them contradict each other, or one lacks another.
    """
    _check_ports(settings)
    _check_public_ip(settings)
    _check_schemes(settings)
    _check_login(settings)
    _check_endpoint(settings)
    _check_policies(settings)
    _check_cluster_hosts(settings)


def _check_ports(settings: Settings) -> None:
    port_min, port_max = settings.port_min, settings.port_max
    if port_max is not None and (port_min is None or port_min > port_max):
        raise SettingsError(
            f"cannot use {port_min = } with {port_max = }",
            expected="port_min <= port_max, or port_min alone for a single port",
            fix=f"port_min={port_max}" if port_min is None else "exchange the two",
        )
    public_port_min = settings.public_port_min
    if public_port_min is None:
        return
    if port_min is None or port_max is None or settings.public_ip is None:
        raise SettingsError(
            f"cannot use {public_port_min = } without port_min and public_ip",
            expected="the ports that it leads to, and their public address",
            fix=f"port_min=10111, port_max=10115, public_ip='203.0.113.9', {public_port_min = }",
        )
    last = public_port_min + port_max - port_min
    if last > 65535:
        raise SettingsError(
            f"cannot use {public_port_min = } for {port_max - port_min + 1} ports: "
            f"the last would be {last}",
            expected=f"at most {65535 - port_max + port_min}",
            fix="choose a lower public_port_min, or a smaller range",
        )


def _check_public_ip(settings: Settings) -> None:
    if settings.learns_public_ip:
        if not settings.has_kernel_ice_servers:
            raise SettingsError(
                "cannot use public_ip = 'auto' without a STUN server for the kernel's side",
                expected="a server that reports the address",
                fix="stun_url='stun:<host>:3478', or GPUVIEW_STUN_URL",
            )
        return
    public_addresses(text for text in settings.public_ips if not is_host_name(text))
    if "auto" in settings.public_ips:
        raise SettingsError(
            f"cannot use public_ip = {settings.public_ip!r}",
            expected="auto alone, or addresses without auto",
            fix="public_ip='auto'",
        )


def _check_login(settings: Settings) -> None:
    has_login = settings.turn_username is not None or settings.turn_credential is not None
    has_secret = settings.turn_secret is not None
    if settings.turn_url is None and (has_login or has_secret):
        given = "turn_secret" if has_secret else "turn_username or turn_credential"
        raise SettingsError(
            f"cannot use {given} without turn_url",
            expected="the TURN server for this login",
            fix="turn_url='turn:<host>:3478', or GPUVIEW_TURN_URL",
        )
    has_static_login = settings.turn_username and settings.turn_credential
    if settings.turn_url is not None and not (has_secret or has_static_login):
        raise SettingsError(
            f"cannot use turn_url = {settings.turn_url!r} without a username and a credential",
            expected="turn_username and turn_credential, or turn_secret",
            fix="set GPUVIEW_TURN_USERNAME and GPUVIEW_TURN_CREDENTIAL",
        )
    if has_login and has_secret:
        raise SettingsError(
            "cannot use turn_secret with turn_username or turn_credential",
            expected="either a secret, or a username and a credential",
            fix="leave turn_username and turn_credential out where coturn has use-auth-secret",
        )


def _check_endpoint(settings: Settings) -> None:
    url = settings.turn_credentials_url
    if url is None:
        if settings.turn_credentials_token is None and settings.turn_credentials_key is None:
            return
        raise SettingsError(
            "cannot use turn_credentials_token or turn_credentials_key without its endpoint",
            expected="the URL of the endpoint that makes TURN logins",
            fix="set GPUVIEW_TURN_CREDENTIALS_URL",
        )
    for name in ("turn_credentials_token", "turn_credentials_key"):
        value = getattr(settings, name)
        if value is not None and not (value.isascii() and value.isprintable()):
            # The value is not shown, and no header can carry it.
            raise SettingsError(
                f"cannot use {name}: it has letters beyond ASCII, or a line's end",
                expected="printable ASCII letters",
                fix=f"set it anew: GPUVIEW_{name.upper()}",
            )
    if not _is_http_url(url):
        # What stands before an @ may be a password, so it is not repeated.
        shown = "..." if "@" in url else url
        raise SettingsError(
            f"cannot use turn_credentials_url = {shown!r}",
            expected="a URL with http: or https:, a host, and no @",
            fix="turn_credentials_url='http://127.0.0.1:8000/services/gpuview/'",
        )


def _is_http_url(url: str) -> bool:
    if not (url.isascii() and url.isprintable()) or any(each in url for each in "@ #"):
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is no port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _check_schemes(settings: Settings) -> None:
    for name in ("stun_url", "turn_url"):
        kind = name.removesuffix("_url")
        for url in split_list(getattr(settings, name)):
            if not parse_ice_url(url).scheme.startswith(kind):
                raise SettingsError(
                    f"cannot use {name} = {url!r}",
                    expected=f"a URL with {kind}: or {kind}s: before the host",
                    fix=f"{'turn' if kind == 'stun' else 'stun'}_url={url!r}",
                )


def _check_policies(settings: Settings) -> None:
    listed = settings.ice_servers
    given = settings.turn_url or settings.turn_credentials_url
    may_have_turn = given is not None or callable(listed) or _has_turn(listed)
    if settings.ice_transport_policy == "relay" and not may_have_turn:
        raise _no_relay("ice_transport_policy")
    if settings.kernel_ice_servers is not None:
        may_have_turn = _has_turn(settings.kernel_ice_servers)
    if settings.kernel_ice_transport_policy == "relay" and not may_have_turn:
        raise _no_relay("kernel_ice_transport_policy")


def _check_cluster_hosts(settings: Settings) -> None:
    for host in settings.cluster_hosts:
        if not (is_host_name(host) or parse_address(host)):
            raise SettingsError(
                f"cannot use cluster_host = {settings.cluster_host!r}",
                expected="addresses or host names, without ports, and commas between them",
                fix="cluster_host='login1.example.org', and cluster_port for the port",
            )


def _has_turn(servers: Iterable[IceServer]) -> bool:
    return any(parse_ice_url(url).is_turn for server in servers for url in server.urls)


def _no_relay(name: str) -> SettingsError:
    return SettingsError(
        f"cannot use {name} = 'relay' without a TURN server",
        expected="a TURN server that provides the relay",
        fix="turn_url='turn:<host>:3478' with its login, or GPUVIEW_TURN_URL",
    )
