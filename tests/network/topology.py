"""A small internet of network namespaces: hosts, NATs, port forwards, loss, and cut cables.

    k 192.168.77.2 ── kr 203.0.113.10 ──┐           ┌── br 198.51.100.36 ── b 10.0.0.20
                                        i (internet)
    k 203.0.113.20 ─────────────────────┤           ├────────────────────── b 198.51.100.20
                                        │
                                        t 198.18.0.10 (coturn)

k is a kernel's machine, b a browser's, kr and br their routers, t a server's. An `Internet` is the
node in the middle. `Internet.host` adds a machine with a public address, and `Internet.lan` a
machine behind a router. Closing the `Internet` removes all of it, with every process in it:

    with Internet() as internet:
        office = internet.lan("k", wan="203.0.113.10/28", host="192.168.77.2/24")
        office.router.forward("udp", 10111, 10115)
        home = internet.lan("b", wan="198.51.100.36/28", host="10.0.0.20/24", nat="symmetric")
        process = office.host.start(["python3", "-m", "http.server"])
        home.host.run("ping -c 1 203.0.113.10")

A router drops packets that no machine behind it asked for, as a real router does. Linux routes
everything that is not dropped, so without those rules, private addresses could be reached across
the router, and connections would succeed that fail in reality. Only root can build this; `missing`
says what else is needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

__all__ = ["DEAD", "Internet", "Lan", "Nat", "Node", "Router", "enter", "missing", "namespaces"]

Nat = Literal["cone", "symmetric"]
"""cone: a machine behind it keeps its port. symmetric: each destination sees another port."""

Cable = Callable[["Node", str, "Node", str], None]
"""Connects two machines: makes a device of the given name on each."""

DEAD = "198.18.0.77"
"""An address where packets are dropped silently, like a server behind a firewall."""

_TOOLS = ("ip", "ss", "iptables", "ip6tables", "conntrack", "sysctl")
_TOOLS += ("turnserver", "openssl", "chromium", "firefox-esr", "ssh", "dropbear")
_NETNS = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_KILL_S = 5.0
_COMMAND_S = 30.0
_counter = itertools.count()


def missing() -> str:
    """Return why this machine cannot build an `Internet`; an empty string if it can."""
    if os.geteuid() != 0:
        return "no root user"
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if absent:
        return (
            f"no {', '.join(absent)}; on Debian: apt-get install iproute2 iptables conntrack procps"
        )
    return _cannot_nat()


def _cannot_nat() -> str:
    """Try out the kernel's part: a namespace, and address translation in it."""
    try:
        with Node(f"gpuview-{os.getpid()}-try") as node:
            node.run("iptables -t nat -A POSTROUTING -j MASQUERADE --random-fully")
    except OSError as error:
        return f"no way to make network namespaces with NAT: {error}"
    return ""


def namespaces() -> set[str]:
    """Return the names of all network namespaces of this machine."""
    return {path.name for path in _NETNS.iterdir()} if _NETNS.exists() else set()


def enter(namespace: str) -> None:
    """Make this thread's new sockets in a namespace; those it already has stay where they are."""
    descriptor = os.open(_NETNS / namespace, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")
    finally:
        os.close(descriptor)


class Node:
    """One machine: a network namespace with loopback, without DNS.

    Args:
        name: Of the namespace; unique on this machine.
        has_ipv6: Without it, the machine has no IPv6 at all.
    """

    def __init__(self, name: str, *, has_ipv6: bool = False) -> None:
        self.name = name
        self._processes: list[subprocess.Popen[Any]] = []
        self._etc = Path("/etc/netns") / name
        _must(["ip", "netns", "add", name])
        try:
            self._etc.mkdir(parents=True)
            # Empty, so that look-ups fail at once; an unreachable server would cost seconds.
            (self._etc / "resolv.conf").touch()
            self.run(f"""
                sysctl -qw net.ipv6.conf.all.disable_ipv6={int(not has_ipv6)}
                sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
                sysctl -qw net.ipv6.conf.all.keep_addr_on_down=1
                ip link set lo up
            """)
        except BaseException:
            self.close()
            raise

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words to put before a command so that it runs on this machine."""
        return ("ip", "netns", "exec", self.name)

    def run(self, script: str) -> str:
        """Run shell commands on this machine and return what they print.

        Raises:
            OSError: A command failed; carries its error message.
        """
        return _must([*self.prefix, "sh", "-ec", script])

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a process on this machine; it is killed when the machine is closed."""
        # ip replaces itself by the command, so that this is the command's own process.
        process = subprocess.Popen([*self.prefix, *command], **options)
        self._processes.append(process)
        return process

    def connect(self, port: int) -> socket.socket:
        """Return a TCP connection to a port of this machine's loopback device."""

        def connect() -> socket.socket:
            enter(self.name)  # for the life of this thread
            return socket.create_connection(("127.0.0.1", port), timeout=_COMMAND_S)

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(connect).result()

    def pids(self) -> list[int]:
        """Return the ids of all processes that are on this machine."""
        return [int(word) for word in _must(["ip", "netns", "pids", self.name]).split()]

    def listens(self, port: int, *, protocol: Literal["tcp", "udp"] = "udp") -> bool:
        """Tell whether something on this machine has bound the port."""
        flag = "-Hlnu" if protocol == "udp" else "-Hlnt"
        return bool(self.run(f"ss {flag} 'sport = :{port}'").strip())

    @contextlib.contextmanager
    def readdressed(self, device: str, old: str, new: str) -> Iterator[None]:
        """Replace the address ``old`` by ``new`` for a while, as if the machine had moved."""
        self._change_address(device, old, new)
        try:
            yield
        finally:
            self._change_address(device, new, old)

    def _change_address(self, device: str, old: str, new: str) -> None:
        gateway = ipaddress.ip_interface(new).network[1]
        self.run(f"""
            ip addr del {old} dev {device}
            ip addr add {new} dev {device}
            ip route replace default via {gateway}
        """)

    def close(self) -> None:
        """Kill what runs here and remove the namespace. Closing again does nothing."""
        if self.name not in namespaces():
            return
        self._kill_all()
        _must(["ip", "netns", "delete", self.name])
        shutil.rmtree(self._etc, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._etc.parent.rmdir()  # the last one

    def _kill_all(self) -> None:
        for process in self._processes:
            process.kill()  # it may not be in the namespace yet
        deadline = time.monotonic() + _KILL_S
        while (pids := self.pids()) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for process in self._processes:
                process.poll()
            time.sleep(0.01)
        for process in self._processes:
            process.wait(_KILL_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Router(Node):
    """A node with a side called ``wan`` and a side called ``lan``, and NAT between them.

    Args:
        inside: The address of the machine behind it.
        nat: How it translates.
    """

    def __init__(self, name: str, inside: Sequence[str], nat: Nat, *, has_ipv6: bool) -> None:
        super().__init__(name, has_ipv6=has_ipv6)
        self._inside = tuple(inside)
        self._nat = nat
        self.reset()

    def reset(self) -> None:
        """Remove all forwards and flows; only the NAT stays."""
        how = "--random-fully" if self._nat == "symmetric" else ""
        for iptables in self._tables():
            self.run(f"""
                {iptables} -F; {iptables} -t nat -F
                {iptables} -t nat -A POSTROUTING -o wan -j MASQUERADE {how}
                for chain in INPUT FORWARD; do
                    {iptables} -A $chain -i wan -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
                done
                {iptables} -A FORWARD -i wan -j DROP
            """)
        # Neighbour discovery belongs to no connection, and IPv6 does not work without it.
        self.run("iptables -A INPUT -i wan -j DROP")
        if "ip6tables" in self._tables():
            self.run("ip6tables -A INPUT -i wan ! -p icmpv6 -j DROP")
        self.forget()

    def forward(self, protocol: str, port_min: int, port_max: int, *, to: int = 0) -> None:
        """Lead a range of public ports to the machine inside.

        Args:
            protocol: udp or tcp.
            port_min: The first public port.
            port_max: The last one.
            to: The port inside that ``port_min`` leads to; the others follow. 0 keeps the numbers.
        """
        shift = to - port_min if to else 0
        for port in range(port_min, port_max + 1):
            self._forward(protocol, port, port + shift)

    def _forward(self, protocol: str, public: int, port: int) -> None:
        for address in self._inside:
            is_v6 = ":" in address
            iptables = "ip6tables" if is_v6 else "iptables"
            target = f"[{address}]:{port}" if is_v6 else f"{address}:{port}"
            self.run(f"""
                {iptables} -t nat -A PREROUTING -i wan -p {protocol} --dport {public} \
                    -j DNAT --to-destination {target}
                {iptables} -I FORWARD -i wan -p {protocol} -d {address} --dport {port} -j ACCEPT
            """)

    def admit(self, protocol: str, port_min: int, port_max: int) -> None:
        """Open ports of the router itself, for a server that runs on it."""
        ports = f"{port_min}:{port_max}"
        for iptables in self._tables():
            self.run(f"{iptables} -I INPUT -i wan -p {protocol} --dport {ports} -j ACCEPT")

    def keep_in(self, protocol: str = "udp") -> None:
        """Let the machine inside send only answers to requests from outside."""
        for iptables in self._tables():
            self.run(f"""
                {iptables} -I FORWARD -i lan -p {protocol} -m conntrack --ctstate NEW -j DROP
            """)

    def forget(self) -> None:
        """Forget all flows: a router remembers them for minutes, and tests reuse ports."""
        self.run("conntrack -F >/dev/null 2>&1")

    def _tables(self) -> tuple[str, ...]:
        has_ipv6 = any(":" in address for address in self._inside)
        return ("iptables", "ip6tables") if has_ipv6 else ("iptables",)


@dataclass(frozen=True)
class Lan:
    """A machine behind its router."""

    host: Node
    router: Router


class Internet:
    """The node in the middle, and all machines that are connected to it.

    Args:
        has_ipv6: Whether machines can have IPv6 addresses as well.

    Raises:
        OSError: It cannot be built; see `missing`.
    """

    def __init__(self, *, has_ipv6: bool = False) -> None:
        self._tag = f"gpuview-{os.getpid()}-{next(_counter)}"
        self._has_ipv6 = has_ipv6
        self._stack = contextlib.ExitStack()
        self._middle = self._add(Node(f"{self._tag}-i", has_ipv6=has_ipv6))
        try:
            _let_route(self._middle)
            self._middle.run(f"iptables -A FORWARD -d {DEAD} -j DROP")
        except BaseException:
            self.close()
            raise

    def host(self, name: str, *wan: str, cable: Cable | None = None) -> Node:
        """Add a machine with public addresses.

        Args:
            name: At most 15 characters, unique in this internet.
            wan: Its addresses with the length of the prefix, such as ``198.51.100.20/28``; the
                first address of that network is the internet's.
            cable: What connects it to the internet; None is a perfect cable.
        """
        node = self._add(Node(f"{self._tag}-{name}", has_ipv6=self._has_ipv6))
        self._join(node, name, wan, cable or _veth)
        return node

    def lan(
        self, name: str, *, wan: str | Sequence[str], host: str | Sequence[str], nat: Nat = "cone"
    ) -> Lan:
        """Add a machine behind a router.

        Args:
            name: Of the machine; its router has an ``r`` after it.
            wan: The router's public addresses, as for `host`.
            host: The machine's private addresses; the first of their network is the router's.
            nat: How the router translates.
        """
        wan, host = _all(wan), _all(host)
        inside = [str(ipaddress.ip_interface(each).ip) for each in host]
        machine = self._add(Node(f"{self._tag}-{name}", has_ipv6=self._has_ipv6))
        router = self._add(Router(f"{self._tag}-{name}r", inside, nat, has_ipv6=self._has_ipv6))
        _let_route(router)
        self._join(router, name, wan, _veth)
        _link(machine, "eth0", host, router, "lan", _veth)
        return Lan(machine, router)

    def only_via(self, *addresses: str) -> None:
        """Drop all UDP except to and from these addresses, until `open_up`."""
        self.open_up()
        pass_ = "".join(
            f"iptables -A only -s {each} -j ACCEPT; iptables -A only -d {each} -j ACCEPT\n"
            for each in addresses
        )
        self._middle.run(f"""
            iptables -N only
            {pass_}
            iptables -A only -p udp -j DROP
            iptables -A FORWARD -j only
        """)

    def block(self, node: str, protocol: str = "udp") -> None:
        """Drop all packets of a protocol that one machine or its router sends, until `open_up`."""
        self._middle.run(f"""
            iptables -N no-{node}
            iptables -A no-{node} -p {protocol} -j DROP
            iptables -I FORWARD -i {node} -j no-{node}
        """)

    def open_up(self) -> None:
        """Undo `only_via` and `block`."""
        self._middle.run(f"""
            iptables -F FORWARD
            iptables -A FORWARD -d {DEAD} -j DROP
            for chain in $(iptables -S | sed -n 's/^-N //p'); do
                iptables -F $chain; iptables -X $chain
            done
        """)

    @contextlib.contextmanager
    def losing(self, name: str, share: float) -> Iterator[None]:
        """Lose a share of the packets to and from one machine: 0.05 is 5 % each way; 1 is all."""
        chance = "" if share >= 1 else f"-m statistic --mode random --probability {share}"
        with self._dropping(name, chance):
            yield

    def cut(self, name: str, seconds: float) -> float:
        """Lose all packets to and from one machine for a while.

        Returns:
            The longest that the outage can have been, in seconds: commands take time too.
        """
        began_s = time.monotonic()
        with self.losing(name, 1):
            time.sleep(seconds)
        return time.monotonic() - began_s

    @contextlib.contextmanager
    def narrow(self, name: str, nbytes: int) -> Iterator[None]:
        """Silently drop packets of more than ``nbytes`` bytes to and from one machine."""
        with self._dropping(name, f"-m length --length {nbytes + 1}:65535"):
            yield

    @contextlib.contextmanager
    def _dropping(self, name: str, which: str) -> Iterator[None]:
        rules = [f"FORWARD -{side} {name} {which} -j DROP" for side in "io"]
        for rule in rules:
            self._on_both(f"-I {rule}")
        try:
            yield
        finally:
            for rule in rules:
                self._on_both(f"-D {rule}")

    @contextlib.contextmanager
    def unplugged(self, name: str) -> Iterator[None]:
        """Pull the cable of one machine, or of its router, for a while."""
        self._middle.run(f"ip link set dev {name} down")
        try:
            yield
        finally:
            self._middle.run(f"ip link set dev {name} up")

    def close(self) -> None:
        """Remove everything. Closing again does nothing."""
        self._stack.close()

    def _add(self, node: Any) -> Any:
        return self._stack.enter_context(node)

    def _join(self, node: Node, name: str, wan: Sequence[str], cable: Cable) -> None:
        _link(node, "wan", wan, self._middle, name, cable)

    def _on_both(self, rule: str) -> None:
        self._middle.run(f"iptables {rule}")
        if self._has_ipv6:
            self._middle.run(f"ip6tables {rule}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Internet {self._tag}>"


def _veth(near: Node, near_name: str, far: Node, far_name: str) -> None:
    # Made in its namespace, so that names need not be unique on the whole machine.
    far_end = f"type veth peer name {far_name} netns {far.name}"
    _must(["ip", "link", "add", near_name, "netns", near.name, *far_end.split()])


def _link(
    near: Node, near_name: str, addresses: Sequence[str], far: Node, far_name: str, cable: Cable
) -> None:
    """Connect two nodes; the far end has the first address of each network and is the gateway."""
    cable(near, near_name, far, far_name)
    near.run(f"ip link set dev {near_name} up")
    far.run(f"ip link set dev {far_name} up")
    for each in addresses:
        interface = ipaddress.ip_interface(each)
        gateway = interface.network[1]
        near.run(f"ip addr add {interface} dev {near_name}")
        far.run(f"ip addr replace {gateway}/{interface.network.prefixlen} dev {far_name}")
        near.run(f"ip -{interface.version} route replace default via {gateway}")


def _let_route(node: Node) -> None:
    node.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")


def _all(addresses: str | Sequence[str]) -> Sequence[str]:
    return (addresses,) if isinstance(addresses, str) else addresses


def _must(command: Sequence[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_COMMAND_S)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
