"""Every knob of gpuview, and the one place that reads the environment.

    Settings(public_ip="203.0.113.9", port_min=10111, port_max=10115)

Each field can be set in code or through a variable of its name in capitals with ``GPUVIEW_`` before
it; what is given in code wins. An empty variable counts as unset. Settings do not change once made.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gpuview.errors import SettingsError, closest
from gpuview.wire.addresses import public_addresses
from gpuview.wire.ice import parse_ice_servers
from gpuview.wire.messages import IceServer

__all__ = ["Settings"]

_PREFIX = "GPUVIEW_"
_NOT_SETTINGS = {"GPUVIEW_REQUIRE_CUDA"}  # the tests' own: a missing GPU fails them
_Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseSettings):
    """How the media process is reached from outside.

    Raises:
        SettingsError: A field is unknown or has a bad value, or two contradict each other.

    Warns:
        UserWarning: The environment has a ``GPUVIEW_`` variable that is no field.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    public_ip: str | None = None
    """The address under which browsers reach this host, or an IPv4 and an IPv6 address with a comma
    between them. Shown in place of the host's private addresses. None: its own addresses are
    shown."""

    port_min: _Port | None = None
    """The first UDP port that media may use; each kernel takes one. Without ``port_max``: the only
    one. None: any free port."""

    port_max: _Port | None = None
    """The last UDP port that media may use."""

    ice_servers: Annotated[tuple[IceServer, ...], NoDecode] = ()
    """STUN and TURN servers as browsers take them, ``[{"urls": ..., "username": ..., "credential":
    ...}]``; JSON in the environment."""

    stun_url: str | None = None
    """One STUN server more, such as ``stun:stun.example.org``."""

    turn_url: str | None = None
    """One TURN server more, such as ``turn:turn.example.org?transport=udp``."""

    turn_username: str | None = None
    """The user name for ``turn_url``."""

    turn_credential: str | None = Field(default=None, repr=False)
    """The password for ``turn_url``."""

    @property
    def public_ips(self) -> tuple[str, ...]:
        """The addresses in ``public_ip``: none, one, or one of each family."""
        return tuple(part.strip() for part in (self.public_ip or "").split(",") if part.strip())

    @property
    def all_ice_servers(self) -> tuple[IceServer, ...]:
        """``ice_servers``, and the servers of the short forms after them."""
        return self.ice_servers + parse_ice_servers(_short_forms(self))

    @field_validator("ice_servers", mode="before")
    @classmethod
    def _read_ice_servers(cls, value: object) -> tuple[IceServer, ...]:
        return parse_ice_servers(_decoded(value) if isinstance(value, str) else value)

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
        _check_ports(settings.port_min, settings.port_max)
        _check_turn(settings)
        public_addresses(settings.public_ips)
        parse_ice_servers(_short_forms(settings))
        return settings


def _short_forms(settings: Settings) -> list[dict[str, str | None]]:
    """Return the servers of ``stun_url`` and ``turn_url`` in the W3C form."""
    servers: list[dict[str, str | None]] = []
    if settings.stun_url is not None:
        servers.append({"urls": settings.stun_url})
    if settings.turn_url is not None:
        servers.append(
            {
                "urls": settings.turn_url,
                "username": settings.turn_username,
                "credential": settings.turn_credential,
            }
        )
    return servers


def _check_ports(port_min: int | None, port_max: int | None) -> None:
    if port_max is not None and (port_min is None or port_min > port_max):
        raise SettingsError(
            f"cannot use {port_min = } with {port_max = }",
            expected="port_min <= port_max, or port_min alone for a single port",
            fix=f"port_min={port_max}" if port_min is None else "exchange the two",
        )


def _check_turn(settings: Settings) -> None:
    has_login = settings.turn_username is not None or settings.turn_credential is not None
    if has_login and settings.turn_url is None:
        raise SettingsError(
            "cannot use turn_username or turn_credential without turn_url",
            expected="turn_url, turn_username and turn_credential, or none of them",
            fix="turn_url='turn:<host>:3478', or GPUVIEW_TURN_URL",
        )


def _decoded(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as exc:
        # The text itself may hold a credential and is not repeated.
        raise SettingsError(
            f"cannot read ice_servers as JSON: {exc}",
            expected='[{"urls": "stun:stun.example.org"}]',
            fix="check the quotes in GPUVIEW_ICE_SERVERS: JSON takes double ones only",
        ) from None


def _bad_value(name: str, value: object) -> SettingsError:
    shown = "a value of type " + type(value).__name__ if name == "turn_credential" else repr(value)
    is_port = name.startswith("port_")
    return SettingsError(
        f"cannot use {name} = {shown}",
        expected="a whole number from 1 to 65535" if is_port else "a string",
        fix=f"{name}={10111 if is_port else '...'!r}, or {_PREFIX}{name.upper()}",
    )


def _refuse_unknown(names: Iterable[str]) -> None:
    known = Settings.model_fields
    for name in names:
        if name not in known:
            meant = closest(name, known)
            raise SettingsError(
                f"there is no setting {name!r}",
                expected=f"one of {', '.join(known)}",
                fix=f"say {meant}=" if meant else "leave it out",
            )


def _warn_of_unknown_variables(environment: Iterable[str]) -> None:
    known = {_PREFIX + name.upper() for name in Settings.model_fields}
    for name in environment:
        if name.startswith(_PREFIX) and name not in known | _NOT_SETTINGS:
            meant = closest(name, known)
            warnings.warn(
                f"the variable {name} is no setting of gpuview"
                + (f"; did you mean {meant}?" if meant else ""),
                UserWarning,
                stacklevel=5,  # whoever made the Settings: pydantic's frames are in between
            )
