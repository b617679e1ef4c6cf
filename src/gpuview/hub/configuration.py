"""The secret that the service shares with the TURN server, that server's URLs, and where the Hub
wants the service. Checked, before anything is served.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gpuview.errors import NetworkError, SettingsError
from gpuview.webrtc.ice_url import parse_ice_url

__all__ = ["cannot_listen", "parse_turn_urls", "place", "read_secret"]

_MIN_CHARS = 16
_MAX_NBYTES = 4096
_MAKE = "openssl rand -hex 32"


def read_secret(file: str, environ: Mapping[str, str]) -> str:
    """Return the secret from a file or from ``TURN_SECRET``.

    Args:
        file: Its path; empty for none.
        environ: The service's environment.

    Raises:
        SettingsError: There is no secret, it is too short, or others can read its file. The message
            says nothing of the secret itself.
    """
    if file:
        secret, source = _read_private(Path(file)), file
    else:
        secret, source = environ.get("TURN_SECRET", ""), "TURN_SECRET"
    secret = secret.strip()
    if not secret:
        raise SettingsError(
            "cannot make TURN logins without the secret",
            expected="coturn's static-auth-secret, in a file or in the service's environment",
            fix=f"make it: {_MAKE}; then name its file: GPUViewHub.secret_file, or set TURN_SECRET",
        )
    if len(secret) < _MIN_CHARS or not secret.isprintable():
        raise SettingsError(
            f"cannot use a secret of {len(secret)} characters from {source}",
            expected=f"at least {_MIN_CHARS} printable characters: whoever guesses it can use TURN",
            fix=f"make another: {_MAKE}; and give coturn the same",
        )
    return secret


def _read_private(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            content = opened.read(_MAX_NBYTES)
        is_private = not path.stat().st_mode & stat.S_IROTH
        text = content.decode()
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(
            f"cannot read the secret's file {path}: {exc.__class__.__name__}",
            expected="a text file that the Hub's service can read",
            fix=f"{_MAKE} > {path}, owned by the Hub's user",
        ) from None
    if not is_private:
        raise SettingsError(
            f"cannot use the secret in {path}, which every user of this machine can read",
            expected="a file that only the Hub's user can read",
            fix=f"chmod 600 {path}; of a Kubernetes secret: defaultMode: 0440",
        )
    return text


def parse_turn_urls(text: str) -> list[str]:
    """Return the URLs in a text with commas between them.

    Raises:
        SettingsError: There is none, or one is malformed or not for TURN.
    """
    urls = [part.strip() for part in text.split(",") if part.strip()]
    if not urls or not all(parse_ice_url(url).is_turn for url in urls):
        raise SettingsError(
            f"cannot make logins for turn_url = {text!r}",
            expected="the URLs of a TURN server, with commas between them",
            fix="--turn-url=turn:turn.example.org:3478?transport=udp, or TURN_URL",
        )
    return urls


def place(environ: Mapping[str, str]) -> tuple[str, str, int]:
    """Return the path's prefix, and the host and port to listen at, as the Hub has given them.

    Raises:
        SettingsError: The Hub has not started this process.
    """
    prefix = environ.get("JUPYTERHUB_SERVICE_PREFIX", "")
    url = urlsplit(environ.get("JUPYTERHUB_SERVICE_URL", ""))
    if not (prefix and url.hostname and url.port and environ.get("JUPYTERHUB_API_TOKEN")):
        raise SettingsError(
            "cannot run without a JupyterHub: JUPYTERHUB_SERVICE_URL or _PREFIX or _API_TOKEN is "
            "missing",
            expected="to be started by the Hub, as one of c.JupyterHub.services with a url and a "
            "command",
            fix="see docs/jupyterhub.md",
        )
    return prefix.rstrip("/") + "/", url.hostname, url.port


def cannot_listen(host: str, port: int, exc: OSError) -> NetworkError:
    """Return the error for an address that the service cannot listen at."""
    return NetworkError(
        f"cannot listen at {host} port {port}: {exc.strerror or exc}",
        expected="a free port, and an address of this machine",
        fix="change the url of the service in c.JupyterHub.services, or give --ip",
    )
