"""All settings of gpuview; only this module reads the environment.

    Settings(public_ip="203.0.113.9", port_min=10111, port_max=10115)

Each field can be set in code, or through an environment variable: ``GPUVIEW_`` and its name in
capitals. Code wins. An empty variable counts as unset. Settings are immutable. This module resolves
no names and calls no functions for them: see `gpuview.signalling.public_ips` and
`gpuview.signalling.ice_servers`.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    InstanceOf,
    ModelWrapValidatorHandler,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gpuview.errors import SettingsError, closest
from gpuview.protocol.media_messages import EncoderSetting
from gpuview.protocol.page_messages import CARRIERS, Carrier, IceServer
from gpuview.protocol.wire import to_wire
from gpuview.webrtc.addresses import is_host_name, public_addresses
from gpuview.webrtc.ice_url import parse_ice_servers, parse_ice_url

__all__ = ["IceServersFunction", "Settings", "split_list"]

IceServersFunction = Callable[[], object]
"""Returns ICE servers in the W3C form, or an awaitable of them."""

_PREFIX = "GPUVIEW_"
# The tests' own.
_NOT_SETTINGS = {"GPUVIEW_REQUIRE_CUDA", "GPUVIEW_REQUIRE_NETWORK", "GPUVIEW_WRITE_DOCS"}
_SECRETS = ("turn_secret", "turn_credential")
_YEAR_S = 365 * 86400

_Port = Annotated[int, Field(ge=1, le=65535)]
_Policy = Literal["all", "relay"]
_Servers = tuple[Annotated[InstanceOf[IceServer], PlainSerializer(to_wire, when_used="json")], ...]

_PORT_FORM = ("a whole number from 1 to 65535", 10111)
_POLICY_FORM = ("'all' or 'relay'", "relay")
_FORMS: dict[str, tuple[str, object]] = {
    "port_min": _PORT_FORM,
    "port_max": _PORT_FORM,
    "public_port_min": _PORT_FORM,
    "keep_private": ("True or False", True),
    "turn_ttl_s": (f"a whole number of seconds from 1 to {_YEAR_S}", 86400),
    "ice_transport_policy": _POLICY_FORM,
    "kernel_ice_transport_policy": _POLICY_FORM,
    "encoder": ("'auto', 'x264', 'nvenc' or 'vp8'", "x264"),
    "max_bitrate_bps": ("a whole number from 100_000 to 100_000_000", 5_000_000),
    "carriers": ("some of 'webrtc', 'socket' and 'comm'", "webrtc,socket"),
    "saved_picture_bytes": ("a whole number of bytes from 0 to 10_000_000", 0),
    "log": ("'error', 'warning', 'info' or 'debug'", "debug"),
}


class Settings(BaseSettings):
    """How the media process is reached from outside.

    Raises:
        SettingsError: A field is unknown or has a bad value, or two contradict each other.

    Warns:
        UserWarning: The environment has a ``GPUVIEW_`` variable that is not a setting.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    public_ip: str | None = None
    """The address at which browsers reach this host: an IPv4 address, an IPv6 address, or both with
    a comma between them; or a host name, looked up when a stream is made; or ``auto`` for the
    address that STUN servers see. It replaces the host's private addresses. None: the host's own
    addresses are sent."""

    port_min: _Port | None = None
    """The first UDP port that media may use; each kernel takes one. Without ``port_max``, it is the
    only port. None: any free port."""

    port_max: _Port | None = None
    """The last UDP port that media may use."""

    public_port_min: _Port | None = None
    """The port at ``public_ip`` that leads to ``port_min``; the others follow. None: the public
    ports have the same numbers."""

    keep_private: bool = False
    """Whether private addresses are sent as well, after the public ones."""

    ice_servers: Annotated[_Servers | IceServersFunction, NoDecode] = ()
    """STUN and TURN servers as browsers take them, ``[{"urls": ..., "username": ..., "credential":
    ...}]``; JSON in the environment. In code also a function without arguments that returns such a
    list, ``async`` or not, which is called for each viewer."""

    kernel_ice_servers: Annotated[_Servers | None, NoDecode] = None
    """The servers for the kernel's side, if it needs others than the pages. None: the same servers.
    An empty list: no servers."""

    stun_url: str | None = None
    """Another STUN server, such as ``stun:stun.example.org``, or several separated by commas."""

    turn_url: str | None = None
    """Another TURN server, such as ``turn:turn.example.org?transport=udp``, or several URLs with
    the same login, separated by commas."""

    turn_username: str | None = None
    """The user name for ``turn_url``."""

    turn_credential: str | None = Field(default=None, repr=False)
    """The password for ``turn_url``."""

    turn_secret: str | None = Field(default=None, repr=False)
    """Instead of these two: coturn's ``static-auth-secret``. Each viewer gets its own login, made
    from the secret."""

    turn_ttl_s: Annotated[int, Field(ge=1, le=_YEAR_S)] = 86400
    """How many seconds a login made from ``turn_secret`` is valid."""

    ice_transport_policy: _Policy = "all"
    """``relay``: pages use TURN relays only."""

    kernel_ice_transport_policy: _Policy = "all"
    """``relay``: the kernel's side uses TURN relays only."""

    encoder: EncoderSetting = "auto"
    """What encodes the video. ``auto``: NVENC on an NVIDIA GPU that has it, otherwise x264;
    ``x264``: always on the CPU; ``nvenc``: as ``auto``; ``vp8``: VP8 for all viewers. An encoder
    that fails is replaced by the next one. ``stats()`` says which one it is, and why."""

    max_bitrate_bps: Annotated[int, Field(ge=100_000, le=100_000_000)] | None = None
    """The maximum bitrate of any stream's video, for each viewer, whatever the stream's own
    ``max_bitrate_bps``. None: the stream's own."""

    carriers: Annotated[tuple[Carrier, ...], NoDecode, Field(min_length=1)] = CARRIERS
    """How views may get their video, in any order; a text has commas between them. ``webrtc``: over
    UDP or a TURN server; ``socket``: a WebSocket of the jupyter-server extension; ``comm``: through
    the kernel. The best one that shows a picture is used."""

    saved_picture_bytes: Annotated[int, Field(ge=0, le=10_000_000)] = 200_000
    """The greatest size of the picture that a stream's output keeps for a saved notebook, which
    holds it as base64, a third longer. The picture is shrunk until it fits. 0: no picture."""

    log: Literal["error", "warning", "info", "debug"] | None = None
    """The lowest level of gpuview's log that goes to stderr. None: the program decides."""

    # --- the public address -------------------------------------------------------------------

    @property
    def public_ips(self) -> tuple[str, ...]:
        """The addresses and host names in ``public_ip``; empty for ``auto``."""
        return () if self.learns_public_ip else split_list(self.public_ip)

    @property
    def learns_public_ip(self) -> bool:
        """Whether the public address is the one that STUN servers see."""
        return self.public_ip == "auto"

    def public_port(self, port: int) -> int:
        """Return the port at ``public_ip`` that leads to ``port`` of the range."""
        if self.public_port_min is None or self.port_min is None:
            return port
        return port - self.port_min + self.public_port_min

    # --- STUN and TURN ------------------------------------------------------------------------

    @property
    def has_ice_servers(self) -> bool:
        """Whether there are servers for pages, or a function that may know some."""
        return bool(self.ice_servers or self.stun_url or self.turn_url)

    @property
    def has_kernel_ice_servers(self) -> bool:
        """Whether there are servers for the kernel's side, or a function that may know some."""
        if self.kernel_ice_servers is None:
            return self.has_ice_servers
        return bool(self.kernel_ice_servers)

    # --- validation ---------------------------------------------------------------------------

    @field_validator("ice_servers", mode="before")
    @classmethod
    def _read_ice_servers(cls, value: object) -> _Servers | IceServersFunction:
        return value if callable(value) else _read_servers("ice_servers", value)

    @field_validator("kernel_ice_servers", mode="before")
    @classmethod
    def _read_kernel_ice_servers(cls, value: object) -> _Servers | None:
        return None if value is None else _read_servers("kernel_ice_servers", value)

    @field_validator("carriers", mode="before")
    @classmethod
    def _read_carriers(cls, value: object) -> object:
        given = split_list(value) if isinstance(value, str) else value
        if not isinstance(given, list | tuple):
            return given
        # In one order, so that streams whose settings mean the same can share a media process.
        if any(each not in CARRIERS for each in given):
            return given
        return tuple(each for each in CARRIERS if each in given)

    @field_validator("log", mode="before")
    @classmethod
    def _read_log(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="wrap")
    @classmethod
    def _validate(cls, values: Any, handler: ModelWrapValidatorHandler[Settings]) -> Settings:
        _refuse_unknown(values)
        _warn_of_unknown_variables(os.environ)
        if values.get("port_max") is None:
            values = {**values, "port_max": values.get("port_min")}
        try:
            settings = handler(values)
        except ValidationError as exc:
            error = exc.errors(include_url=False)[0]
            raise _bad_value(str(error["loc"][0]), error["input"]) from None
        _check_ports(settings)
        _check_public_ip(settings)
        _check_schemes(settings)
        _check_login(settings)
        _check_policies(settings)
        return settings


def split_list(text: str | None) -> tuple[str, ...]:
    """Split a setting at its commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


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
    may_have_turn = settings.turn_url is not None or callable(listed) or _has_turn(listed)
    if settings.ice_transport_policy == "relay" and not may_have_turn:
        raise _no_relay("ice_transport_policy")
    if settings.kernel_ice_servers is not None:
        may_have_turn = _has_turn(settings.kernel_ice_servers)
    if settings.kernel_ice_transport_policy == "relay" and not may_have_turn:
        raise _no_relay("kernel_ice_transport_policy")


def _has_turn(servers: _Servers) -> bool:
    return any(parse_ice_url(url).is_turn for server in servers for url in server.urls)


def _no_relay(name: str) -> SettingsError:
    return SettingsError(
        f"cannot use {name} = 'relay' without a TURN server",
        expected="a TURN server that provides the relay",
        fix="turn_url='turn:<host>:3478' with its login, or GPUVIEW_TURN_URL",
    )


def _read_servers(name: str, value: object) -> _Servers:
    return parse_ice_servers(_decoded(name, value) if isinstance(value, str) else value)


def _decoded(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        # The message does not repeat the text, which may hold a credential.
        raise SettingsError(
            f"cannot read {name} as JSON: {exc}",
            expected='[{"urls": "stun:stun.example.org"}]',
            fix=f"check the quotes in {_PREFIX}{name.upper()}: JSON takes double ones only",
        ) from None


def _bad_value(name: str, value: object) -> SettingsError:
    shown = "a value of type " + type(value).__name__ if name in _SECRETS else repr(value)
    expected, example = _FORMS.get(name, ("a string", "..."))
    return SettingsError(
        f"cannot use {name} = {shown}",
        expected=expected,
        fix=f"{name}={example!r}, or {_PREFIX}{name.upper()}",
    )


def _refuse_unknown(names: Iterable[str]) -> None:
    known = Settings.model_fields
    for name in names:
        if name not in known:
            meant = closest(name, known)
            raise SettingsError(
                f"there is no setting {name!r}",
                expected=f"one of {', '.join(known)}",
                fix=f"write {meant}=" if meant else "leave it out",
            )


def _warn_of_unknown_variables(environment: Iterable[str]) -> None:
    known = {_PREFIX + name.upper() for name in Settings.model_fields}
    for name in environment:
        if name.startswith(_PREFIX) and name not in known | _NOT_SETTINGS:
            meant = closest(name, known)
            warnings.warn(
                f"the variable {name} is not a setting of gpuview"
                + (f"; did you mean {meant}?" if meant else ""),
                UserWarning,
                stacklevel=5,  # the caller of Settings: pydantic's frames are in between
            )
