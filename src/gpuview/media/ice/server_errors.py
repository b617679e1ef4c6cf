"""Turns exceptions from STUN and TURN servers into errors with a fix. Pure."""

from __future__ import annotations

import socket
import ssl

from aioice import stun

from gpuview.errors import NetworkError

__all__ = ["server_error"]

_REFUSED_LOGIN = (401, 403, 441)
_FULL = (486, 508)


def server_error(url: str, exc: BaseException) -> NetworkError:
    """Return the error in three parts.

    Args:
        url: The server's URL as it was configured.
        exc: An exception from `turn_client.allocate`, `StunClient.query` or `resolve`.
    """
    match exc:
        case stun.TransactionFailed():
            code, reason = exc.response.attributes.get("ERROR-CODE", (0, "an error"))
            return _refused(url, code, reason.rstrip("\0 "))  # coturn's padding
        case TimeoutError():
            return NetworkError(
                f"{url} does not answer",
                expected="an answer from the server",
                fix="check that it runs, that firewalls let it through and that its port is "
                "forwarded; behind FRP its port needs a proxy entry: gpuview config frp",
            )
        case socket.gaierror():
            return NetworkError(
                f"the host name in {url} does not resolve",
                expected="a name that this machine's DNS knows",
                fix="check the name, or write the server's address",
            )
        case ssl.SSLError():
            return NetworkError(
                f"{url} has no certificate that this machine trusts: {exc}",
                expected="a certificate for that host name, from an authority known here",
                fix="set SSL_CERT_FILE to the authority's certificate, or give the server another",
            )
        case ConnectionRefusedError():
            return NetworkError(
                f"nothing listens at {url}: connection refused",
                expected="a STUN or TURN server at that port",
                fix="start it, or correct the port; behind FRP it needs its own proxy entry: "
                "gpuview config frp",
            )
        case _:
            return NetworkError(
                f"{url} cannot be reached: {exc}",
                expected="a STUN or TURN server at that address",
                fix="check the address, the port, and this machine's route to them",
            )


def _refused(url: str, code: int, reason: str) -> NetworkError:
    if code in _REFUSED_LOGIN:
        return NetworkError(
            f"{url} refuses the username or the credential: {code} {reason}",
            expected="that TURN server's login; with a shared secret, clocks that agree as well",
            fix="correct GPUVIEW_TURN_USERNAME and GPUVIEW_TURN_CREDENTIAL, or GPUVIEW_TURN_SECRET,"
            " or the secret of the service at GPUVIEW_TURN_CREDENTIALS_URL",
        )
    if code in _FULL:
        return NetworkError(
            f"{url} has no relay left: {code} {reason}",
            expected="a free relay port, and fewer allocations than the server's quota",
            fix="raise user-quota, total-quota or the port range of the TURN server",
        )
    return NetworkError(
        f"{url} refuses: {code} {reason}",
        expected="a relay",
        fix="read the TURN server's log",
    )
