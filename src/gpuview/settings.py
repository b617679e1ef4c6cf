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
from gpuview.settings_rules import check, split_list
from gpuview.webrtc.ice_server_list import parse_ice_servers

__all__ = ["IceServersFunction", "Settings"]

IceServersFunction = Callable[[], object]
"""Returns ICE servers in the W3C form, or an awaitable of them."""

_PREFIX = "GPUVIEW_"
# The tests' own.
_NOT_SETTINGS = {"GPUVIEW_REQUIRE_CUDA", "GPUVIEW_REQUIRE_NETWORK", "GPUVIEW_WRITE_DOCS"}
# A job's, not a person's.
_NOT_SETTINGS |= {"GPUVIEW_JOIN"}
_SECRETS = (
    "turn_secret",
    "turn_credential",
    "turn_credentials_token",
    "turn_credentials_key",
)
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
    "replay_s": ("a number of seconds from 0 to 600", 30),
    "saved_picture_bytes": ("a whole number of bytes from 0 to 10_000_000", 0),
    "cluster_port": _PORT_FORM,
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

    turn_credentials_url: str | None = None
    """Where to ask for TURN servers with a login for each viewer: a service of the Hub's, or any
    endpoint of the TURN REST form. If it fails, the cell says so, and the other servers serve."""

    turn_credentials_token: str | None = Field(default=None, repr=False)
    """The bearer token for that endpoint. None: the server's own token, ``JUPYTERHUB_API_TOKEN``,
    if the endpoint is a service of its Hub."""

    turn_credentials_key: str | None = Field(default=None, repr=False)
    """What that endpoint wants as the ``key`` of its query."""

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

    replay_s: Annotated[float, Field(ge=0, le=600)] = 10.0
    """How many seconds of video the media process keeps of each stream that is watched, so that a
    paused view can step back; 32 MiB at most. 0: none."""

    saved_picture_bytes: Annotated[int, Field(ge=0, le=10_000_000)] = 200_000
    """The greatest size of the picture that a stream's output keeps for a saved notebook, which
    holds it as base64, a third longer. The picture is shrunk until it fits. 0: no picture."""

    cluster_port: _Port | None = None
    """The TCP port at which the kernel listens for workers on other machines, for all runs. None:
    any free port."""

    cluster_host: str | None = None
    """The address or host name at which workers reach this machine, or several with commas between
    them. None: this machine's own."""

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

    @property
    def cluster_hosts(self) -> tuple[str, ...]:
        """The addresses and host names in ``cluster_host``."""
        return split_list(self.cluster_host)

    # --- STUN and TURN ------------------------------------------------------------------------

    @property
    def has_ice_servers(self) -> bool:
        """Whether there are servers for pages, or a function or an endpoint that may know some."""
        listed = self.ice_servers or self.stun_url or self.turn_url
        return bool(listed or self.turn_credentials_url)

    @property
    def has_kernel_ice_servers(self) -> bool:
        """Whether there are servers for the kernel's side, or what may know some."""
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
        check(settings)
        return settings


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
