"""Configurations of other programs that match the settings: FRP, coturn, nftables.

Pure: the same settings give the same text. Each begins with where it goes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from gpuview.errors import SettingsError
from gpuview.settings import Settings
from gpuview.webrtc.addresses import PRIVATE_RANGES, IPAddress, parse_address
from gpuview.webrtc.ice_url import IceUrl, parse_ice_url

__all__ = ["Site", "coturn_config", "frp_config", "nftables_config"]

_PORT = 3478
_TLS_PORT = 5349


# --- FRP ----------------------------------------------------------------------------------------


def frp_config(settings: Settings) -> str:
    """Return ``frpc.toml`` with a proxy for each port of the range, and for TURN if it is here.

    Raises:
        SettingsError: The range or the public address is not set.
    """
    ports = _ports(settings, "frp")
    proxies = [_frp_proxy("udp", port, settings.public_port(port)) for port in ports]
    proxies += [
        _frp_proxy(url.transport, url.port, url.port, "turn-")
        for url in _distinct(_turn_urls(settings))
        if _is_here(url, settings, None)
    ]
    return _FRP_HEAD.format(server=_public_ip(settings, "frp")) + "".join(proxies)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What these programs have to know beyond the settings."""

    cert: str | None = None
    """The file of its certificate, PEM; for ``turns:``."""
    pkey: str | None = None
    """The file of its private key, PEM."""
    min_port: int = 49152
    """The first UDP port of its relays."""
    max_port: int = 65535
    """The last one."""
    realm: str = "gpuview"
    lan_ip: str | None = None
    """The address of the machine with the GPU in its own network."""


def coturn_config(settings: Settings, site: Site) -> str:
    """Return ``turnserver.conf``, complete, for coturn 4.6; the credential is in it.

    Raises:
        SettingsError: ``turn_url`` or its login is not set, or cannot be written there; or a
            certificate is needed and not given.
    """
    urls = _turn_urls(settings)
    if not urls:
        raise _missing("coturn", "turn_url", "turn:turn.example.org:3478?transport=udp")
    host = urls[0].host
    sections = [
        _coturn_head(host),
        _listening(urls, site),
        _login(settings, site.realm),
        _relays(urls[0], settings, site),
        _peers(settings, site, urls[0]),
    ]
    return "\n".join("".join(f"{line}\n" for line in section) for section in sections)


def _coturn_head(host: str) -> list[str]:
    return [
        f"# /etc/turnserver.conf, for coturn 4.6 on the machine that {host} leads to.",
        "# A credential is in it: chmod 600. It is read at the start: systemctl restart coturn",
    ]


def _listening(urls: Collection[IceUrl], site: Site) -> list[str]:
    plain = _one_port("turn:", [url.port for url in urls if not url.is_secure], _PORT)
    lines = [f"listening-port={plain}", "fingerprint", "no-cli"]
    secure = [url.port for url in urls if url.is_secure]
    if not secure and site.cert is None:
        return [*lines, "no-tls", "no-dtls"]
    if site.cert is None or site.pkey is None:
        raise SettingsError(
            "cannot configure a turns: server without its certificate",
            expected="the files of a certificate and of its key, PEM",
            fix="gpuview config coturn --cert FILE --pkey FILE",
        )
    port = _one_port("turns:", secure, _TLS_PORT)
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
        raise _unwritable(
            name,
            "it may hold no space, quote or letter beyond ASCII"
            + (f", and no {forbidden!r}" if forbidden else ""),
        )
    return value


def _unwritable(name: str, why: str) -> SettingsError:
    return SettingsError(
        f"cannot write {name} into turnserver.conf: {why}",
        expected="letters, digits and signs of ASCII",
        fix=f"choose another, such as the output of: openssl rand -hex 24; GPUVIEW_{name.upper()}",
    )


def _relays(url: IceUrl, settings: Settings, site: Site) -> list[str]:
    lines = [
        "# The relays' ports. Who sends to a relay has to reach them: the machine with the GPU,",
        "# and browsers where that machine uses a relay itself.",
        f"min-port={site.min_port}",
        f"max-port={site.max_port}",
        "no-tcp-relay",
    ]
    public = parse_address(url.host)
    if public is None or public.version == 6 or public.is_loopback or url.host == site.lan_ip:
        return lines
    if not _is_here(url, settings, site.lan_ip):
        return [*lines, "# Behind a NAT only:", f"# external-ip={url.host}"]
    if site.lan_ip is None:
        return [*lines, f"external-ip={url.host}"]
    # From FRP clients come by 127.0.0.1, and a relay with that address would lead nowhere.
    lines.append(f"relay-ip={site.lan_ip}")
    # With the inner address beside the outer one, what goes to the outer one stays on the machine;
    # which is right only if ports have the same numbers there.
    is_shifted = settings.public_port_min not in (None, settings.port_min)
    return [*lines, f"external-ip={url.host}" + ("" if is_shifted else f"/{site.lan_ip}")]


def _peers(settings: Settings, site: Site, url: IceUrl) -> list[str]:
    """Return to where relays may lead: not into private networks, but to the kernel."""
    own = [site.lan_ip] if site.lan_ip else []
    # With a relay on either side, one leads to the other: to the server's own address.
    reached = _addresses([*(settings.public_ips or own), url.host])
    denied = [
        network
        for network in map(ip_network, PRIVATE_RANGES)
        if not any(address in network for address in reached)
    ]
    lines = [
        "# No way into private networks, but into the one in which the kernel is to be reached."
    ]
    lines += ["no-multicast-peers"]
    lines += [f"denied-peer-ip={network[0]}-{network[-1]}" for network in denied]
    if _is_here(url, settings, site.lan_ip):
        lines += [f"allowed-peer-ip={text}" for text in own]
    if any(address.is_loopback for address in reached):
        lines.append("allow-loopback-peers")
    return lines


def _addresses(texts: Iterable[str]) -> list[IPAddress]:
    """Return those that are addresses and no names."""
    return [address for text in texts if (address := parse_address(text)) is not None]


# --- nftables -----------------------------------------------------------------------------------


def nftables_config(settings: Settings, site: Site) -> str:
    """Return the rules for the firewall of this machine, and for its router.

    Raises:
        SettingsError: The range is not set.
    """
    ports = _ports(settings, "nftables")
    inside = [f"udp dport {_span(ports[0], ports[-1])}", *_turn_matches(settings, site)]
    parts = [_NFT_MACHINE, *(f"insert rule inet filter input {each} accept\n" for each in inside)]
    if settings.public_ip is not None and site.lan_ip is not None:
        parts += [_NFT_ROUTER, *_forwards(settings, site.lan_ip, ports)]
    return "".join(parts)


_NFT_MACHINE = """\
# Part 1: the machine with the GPU. Into its /etc/nftables.conf, after what is there; or
# nft -f FILE.
# The table and the chain are Debian's. Where yours have other names, take those: what one table
# accepts, another may still drop.

add table inet filter
add chain inet filter input { type filter hook input priority filter; }
"""

_NFT_ROUTER = """
# Part 2: the router, where it is a Linux machine; others have a form for "port forwarding".

add table ip nat
add chain ip nat prerouting { type nat hook prerouting priority dstnat; }
add table inet filter
add chain inet filter forward { type filter hook forward priority filter; }
"""


def _turn_matches(settings: Settings, site: Site) -> Iterator[str]:
    here = [url for url in _turn_urls(settings) if _is_here(url, settings, site.lan_ip)]
    for url in _distinct(here):
        yield f"{url.transport} dport {url.port}"
    if here:
        yield f"udp dport {_span(site.min_port, site.max_port)}"


def _forwards(settings: Settings, lan_ip: str, ports: range) -> Iterator[str]:
    """Yield the router's rules: the destination is rewritten, and let through."""
    outside = [settings.public_port(port) for port in ports]
    to_router = "add rule ip nat prerouting fib daddr type local udp dport"
    if outside == list(ports):
        yield f"{to_router} {_span(ports[0], ports[-1])} dnat to {lan_ip}\n"
    else:
        for there, here in zip(outside, ports, strict=True):
            yield f"{to_router} {there} dnat to {lan_ip}:{here}\n"
    let_through = "insert rule inet filter forward"
    span = _span(ports[0], ports[-1])
    yield f"{let_through} ip daddr {lan_ip} udp dport {span} accept\n"
    # IPv6 needs no NAT.
    for address in _addresses(settings.public_ips):
        if address.version == 6:
            yield f"{let_through} ip6 daddr {address} udp dport {span} accept\n"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


# --- what they have in common -------------------------------------------------------------------


def _ports(settings: Settings, kind: str) -> range:
    if settings.port_min is None or settings.port_max is None:
        raise _missing(kind, "port_min", "10111, and GPUVIEW_PORT_MAX=10115")
    return range(settings.port_min, settings.port_max + 1)


def _public_ip(settings: Settings, kind: str) -> str:
    if not settings.public_ips:
        raise _missing(kind, "public_ip", "203.0.113.9")
    return settings.public_ips[0]


def _turn_urls(settings: Settings) -> list[IceUrl]:
    texts = (settings.turn_url or "").split(",")
    return [parse_ice_url(text.strip()) for text in texts if text.strip()]


def _distinct(urls: Iterable[IceUrl]) -> list[IceUrl]:
    """Return one URL for each transport and port."""
    return list({(url.transport, url.port): url for url in urls}.values())


def _is_here(url: IceUrl, settings: Settings, lan_ip: str | None) -> bool:
    """Tell whether the TURN server runs on the machine with the GPU, or is reached as it is."""
    return url.host in (*settings.public_ips, lan_ip)


def _missing(kind: str, name: str, example: str) -> SettingsError:
    return SettingsError(
        f"cannot print a configuration for {kind} without {name}",
        expected=f"GPUVIEW_{name.upper()} in the environment",
        fix=f"GPUVIEW_{name.upper()}={example}",
    )
