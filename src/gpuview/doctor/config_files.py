"""Prints configurations for FRP, coturn and nftables that match the settings.

Pure: the same settings give the same text. The first line of each text says where it goes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from gpuview.errors import SettingsError
from gpuview.settings import Settings
from gpuview.settings_rules import split_list
from gpuview.webrtc.addresses import PRIVATE_RANGES, IPAddress, parse_address
from gpuview.webrtc.ice_url import DEFAULT_PORT, DEFAULT_TLS_PORT, IceUrl, parse_ice_url

__all__ = ["Site", "coturn_config", "frp_config", "nftables_config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The parameters of those programs beyond the settings."""

    cert: str | None = None
    """The certificate file for ``turns:``, PEM."""
    pkey: str | None = None
    """The private key file, PEM."""
    min_port: int = 49152
    """The first UDP port of the TURN server's relays."""
    max_port: int = 65535
    """The last port."""
    realm: str = "gpuview"
    lan_ip: str | None = None
    """The private address of the machine with the GPU."""


# --- FRP ----------------------------------------------------------------------------------------


def frp_config(settings: Settings) -> str:
    """Return ``frpc.toml``: a proxy for each port of the range, and for TURN if it runs here.

    Raises:
        SettingsError: The range or the public address is not set.
    """
    proxies = [
        _frp_proxy("udp", port, settings.public_port(port)) for port in _port_range(settings, "frp")
    ]
    proxies += [
        _frp_proxy(transport, port, port, "turn-")
        for transport, port in _local_turn_ports(settings, None)
    ]
    if not settings.public_ips:
        raise _missing("frp", "public_ip", "203.0.113.9")
    return _FRP_HEAD.format(server=settings.public_ips[0]) + "".join(proxies)


_FRP_HEAD = """\
# frpc.toml, on the machine with the GPU. Run: frpc -c frpc.toml
# frps runs at serverAddr; its firewall lets serverPort and all remotePorts in.
# If it has a token, add here: auth.token = "..."

serverAddr = "{server}"
serverPort = 7000
"""


def _frp_proxy(kind: str, local_port: int, remote_port: int, role: str = "") -> str:
    return f"""
[[proxies]]
name = "gpuview-{role}{kind}-{local_port}"
type = "{kind}"
localIP = "127.0.0.1"
localPort = {local_port}
remotePort = {remote_port}
"""


# --- coturn -------------------------------------------------------------------------------------


def coturn_config(settings: Settings, site: Site) -> str:
    """Return a complete ``turnserver.conf`` for coturn 4.6; it contains the credential.

    Raises:
        SettingsError: ``turn_url`` is not set, its login cannot be written there, or the
            certificate for ``turns:`` is missing.
    """
    urls = _turn_urls(settings)
    if not urls:
        raise _missing("coturn", "turn_url", "turn:turn.example.org:3478?transport=udp")
    head = [
        f"# /etc/turnserver.conf, for coturn 4.6 on the machine that {urls[0].host} leads to.",
        "# A credential is in it: chmod 600. It is read at the start: systemctl restart coturn",
    ]
    sections = [
        head,
        _listening(urls, site),
        _login(settings, site.realm),
        _relays(urls[0], settings, site),
        _peers(settings, site, urls[0]),
    ]
    return "\n".join("".join(f"{line}\n" for line in section) for section in sections)


def _listening(urls: Collection[IceUrl], site: Site) -> list[str]:
    plain = _one_port("turn:", [url.port for url in urls if not url.is_secure], DEFAULT_PORT)
    lines = [f"listening-port={plain}", "fingerprint", "no-cli"]
    secure = [url.port for url in urls if url.is_secure]
    if not secure and site.cert is None:
        return [*lines, "no-tls", "no-dtls"]
    if site.cert is None or site.pkey is None:
        raise SettingsError(
            "cannot configure a turns: server without its certificate",
            expected="the files of a certificate and its key, PEM",
            fix="gpuview config coturn --cert FILE --pkey FILE",
        )
    port = _one_port("turns:", secure, DEFAULT_TLS_PORT)
    tls = [f"tls-listening-port={port}", f"cert={site.cert}", f"pkey={site.pkey}"]
    return [*lines, *tls, "no-tlsv1", "no-tlsv1_1"]


def _one_port(scheme: str, ports: Collection[int], default: int) -> int:
    if len(set(ports)) > 1:
        raise SettingsError(
            f"cannot configure {scheme} at several ports: {sorted(set(ports))}",
            expected="one port for UDP and TCP together, and one for TLS",
            fix="give the URLs in GPUVIEW_TURN_URL the same port",
        )
    return next(iter(ports), default)


def _login(settings: Settings, realm: str) -> list[str]:
    if settings.turn_secret is not None:
        secret = _writable("turn_secret", settings.turn_secret)
        return [f"realm={realm}", "use-auth-secret", f"static-auth-secret={secret}"]
    user = _writable("turn_username", settings.turn_username or "", forbidden=":")
    password = _writable("turn_credential", settings.turn_credential or "")
    if password.startswith("0x"):
        raise _unwritable("turn_credential", "coturn reads 0x as the start of a key")
    return [f"realm={realm}", "lt-cred-mech", f"user={user}:{password}"]


def _writable(name: str, value: str, forbidden: str = "") -> str:
    if not re.fullmatch(r"[!-~]+", value) or any(each in value for each in "\"'" + forbidden):
        also = f", and no {forbidden!r}" if forbidden else ""
        raise _unwritable(name, f"it may hold no space, quote or letter beyond ASCII{also}")
    return value


def _unwritable(name: str, reason: str) -> SettingsError:
    return SettingsError(
        f"cannot write {name} into turnserver.conf: {reason}",
        expected="ASCII letters, digits and punctuation",
        fix=f"choose another, such as the output of: openssl rand -hex 24; GPUVIEW_{name.upper()}",
    )


def _relays(url: IceUrl, settings: Settings, site: Site) -> list[str]:
    lines = [
        "# The relays' ports. Whatever sends to a relay has to reach them: the machine with the",
        "# GPU, and browsers if that machine uses a relay itself.",
        f"min-port={site.min_port}",
        f"max-port={site.max_port}",
        "no-tcp-relay",
    ]
    public = parse_address(url.host)
    if public is None or public.version == 6 or public.is_loopback or url.host == site.lan_ip:
        return lines
    if not _is_local(url, settings, site.lan_ip):
        return [*lines, "# Behind a NAT only:", f"# external-ip={url.host}"]
    if site.lan_ip is None:
        return [*lines, f"external-ip={url.host}"]
    # FRP connects from 127.0.0.1, and a relay with that address would be unreachable.
    lines.append(f"relay-ip={site.lan_ip}")
    # Given both addresses, coturn delivers datagrams for the public address on this machine. That
    # is right only if the public ports have the same numbers.
    is_shifted = settings.public_port_min not in (None, settings.port_min)
    return [*lines, f"external-ip={url.host}" + ("" if is_shifted else f"/{site.lan_ip}")]


def _peers(settings: Settings, site: Site, url: IceUrl) -> list[str]:
    """Return the rules for peers: relays may reach the kernel, but no private network."""
    own = [site.lan_ip] if site.lan_ip else []
    # If both sides use a relay, each sends to the other's: to the server's own address.
    reached = _addresses([*(settings.public_ips or own), url.host])
    # coturn reads a range that ends at :: as all addresses.
    private = [ip_network(text) for text in PRIVATE_RANGES if text != "::/128"]
    denied = [each for each in private if not any(address in each for address in reached)]
    lines = ["# No relay leads into a private network, except the one where the kernel is reached."]
    lines += ["no-multicast-peers"]
    lines += [f"denied-peer-ip={network[0]}-{network[-1]}" for network in denied]
    if _is_local(url, settings, site.lan_ip):
        lines += [f"allowed-peer-ip={text}" for text in own]
    if any(address.is_loopback for address in reached):
        lines.append("allow-loopback-peers")
    return lines


# --- nftables -----------------------------------------------------------------------------------


def nftables_config(settings: Settings, site: Site) -> str:
    """Return the rules for the firewall of this machine, and for its router.

    Raises:
        SettingsError: The range is not set.
    """
    ports = _port_range(settings, "nftables")
    turn = [f"{kind} dport {port}" for kind, port in _local_turn_ports(settings, site.lan_ip)]
    relays = [f"udp dport {_span(site.min_port, site.max_port)}"] if turn else []
    allowed = [f"udp dport {_span(ports[0], ports[-1])}", *turn, *relays]
    parts = [_NFT_MACHINE, *(f"insert rule inet filter input {each} accept\n" for each in allowed)]
    if settings.public_ip is not None and site.lan_ip is not None:
        parts += [_NFT_ROUTER, *_router_rules(settings, site.lan_ip, ports)]
    return "".join(parts)


_NFT_MACHINE = """\
# Part 1: the machine with the GPU. Append it to /etc/nftables.conf, or run: nft -f FILE
# The table and the chain are Debian's. If yours have other names, use those: a packet that one
# table accepts may still be dropped by another.

add table inet filter
add chain inet filter input { type filter hook input priority filter; }
"""

_NFT_ROUTER = """
# Part 2: the router, if it is a Linux machine; others have a form for "port forwarding".

add table ip nat
add chain ip nat prerouting { type nat hook prerouting priority dstnat; }
add table inet filter
add chain inet filter forward { type filter hook forward priority filter; }
"""


def _router_rules(settings: Settings, lan_ip: str, ports: range) -> Iterator[str]:
    """Yield the rules that rewrite the destination, then those that accept the packet."""
    span = _span(ports[0], ports[-1])
    to_router = "add rule ip nat prerouting fib daddr type local udp dport"
    if settings.public_port(ports[0]) == ports[0]:
        yield f"{to_router} {span} dnat to {lan_ip}\n"
    else:
        for port in ports:
            yield f"{to_router} {settings.public_port(port)} dnat to {lan_ip}:{port}\n"
    let_through = "insert rule inet filter forward"
    yield f"{let_through} ip daddr {lan_ip} udp dport {span} accept\n"
    # IPv6 needs no NAT.
    for address in _addresses(settings.public_ips):
        if address.version == 6:
            yield f"{let_through} ip6 daddr {address} udp dport {span} accept\n"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


# --- all three ----------------------------------------------------------------------------------


def _port_range(settings: Settings, program: str) -> range:
    if settings.port_min is None or settings.port_max is None:
        raise _missing(program, "port_min", "10111, and GPUVIEW_PORT_MAX=10115")
    return range(settings.port_min, settings.port_max + 1)


def _addresses(texts: Iterable[str]) -> list[IPAddress]:
    """Parse the texts that are addresses, and leave out host names."""
    return [address for text in texts if (address := parse_address(text)) is not None]


def _turn_urls(settings: Settings) -> list[IceUrl]:
    return [parse_ice_url(text) for text in split_list(settings.turn_url)]


def _local_turn_ports(settings: Settings, lan_ip: str | None) -> list[tuple[str, int]]:
    """Return each transport and port of the TURN server on this machine."""
    here = [url for url in _turn_urls(settings) if _is_local(url, settings, lan_ip)]
    return list(dict.fromkeys((url.transport, url.port) for url in here))


def _is_local(url: IceUrl, settings: Settings, lan_ip: str | None) -> bool:
    """Tell whether the TURN server runs on the machine with the GPU."""
    return url.host in (*settings.public_ips, lan_ip)


def _missing(program: str, name: str, example: str) -> SettingsError:
    return SettingsError(
        f"cannot print a configuration for {program} without {name}",
        expected=f"GPUVIEW_{name.upper()} in the environment",
        fix=f"GPUVIEW_{name.upper()}={example}",
    )
