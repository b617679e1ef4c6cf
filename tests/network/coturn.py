"""A real coturn on a machine of the small internet, set up as ``gpuview config coturn`` says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpuview.doctor.config_files import Site, coturn_config
from gpuview.settings import Settings
from tests.network.topology import Node
from tests.turnserver import TurnServer

__all__ = ["PASSWORD", "USER", "Coturn", "Transport"]

USER = "viewer"
PASSWORD = "not-for-the-open-internet"

Transport = Literal["udp", "tcp", "tls"]


@dataclass(frozen=True)
class Coturn:
    """Where one server is, and who may use it.

    Args:
        address: Of its machine.
        port: Of UDP and TCP.
        tls_port: Of TLS.
        secret: With it, users are those that know the secret (``use-auth-secret``); without it,
            there is the one user `USER`.
    """

    address: str
    port: int = 3478
    tls_port: int = 5349
    secret: str = ""

    def url(self, transport: Transport = "udp") -> str:
        """Return its URL for one transport."""
        if transport == "tls":
            return f"turns:{self.address}:{self.tls_port}?transport=tcp"
        return f"turn:{self.address}:{self.port}?transport={transport}"

    @property
    def stun_url(self) -> str:
        return f"stun:{self.address}:{self.port}"

    @property
    def login(self) -> dict[str, str]:
        """The settings that let a kernel and its viewers in."""
        if self.secret:
            return {"turn_secret": self.secret}
        return {"turn_username": USER, "turn_credential": PASSWORD}

    def run(self, node: Node, folder: Path, certificate: tuple[Path, Path]) -> TurnServer:
        """Start it."""
        urls = f"{self.url()},{self.url('tls')}"
        chain, key = map(str, certificate)
        settings = Settings(turn_url=urls, **self.login)
        text = coturn_config(settings, Site(cert=chain, pkey=key))
        return TurnServer(folder, text, node.prefix)
