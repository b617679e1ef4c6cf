"""The command line: ``gpuview doctor``, ``gpuview probe`` and ``gpuview config``.

Every command reads the settings from the environment, as a kernel does.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Sequence

from gpuview.doctor import config_files
from gpuview.errors import GpuviewError
from gpuview.media.ice.sockets import own_ipv4
from gpuview.settings import Settings
from gpuview.webrtc.addresses import parse_address

__all__ = ["main"]

_PROBE_PORT = 10200
_SITE_OPTIONS = ("cert", "pkey", "min_port", "max_port", "realm")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit status: 0, or 1 after a problem.

    Args:
        argv: The arguments; None reads this process's.
    """
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except GpuviewError as exc:
        sys.stderr.write(f"gpuview: {exc}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gpuview", description="Live tensors in a notebook.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_doctor(commands.add_parser("doctor", help="find problems and say how to fix them"))
    _add_probe(commands.add_parser("probe", help="on a machine outside: answer gpuview doctor"))
    _add_config(
        commands.add_parser("config", help="print a configuration that matches the settings")
    )
    return parser


# --- doctor -------------------------------------------------------------------------------------


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.description = "Examine the settings in the environment, the network and this machine."
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--via",
        type=_host_and_port,
        metavar="HOST[:PORT]",
        help=f"a machine outside that runs gpuview probe (port {_PROBE_PORT})",
    )
    parser.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    # av, aiortc and aioice take half a second to import.
    from gpuview.doctor.examination import examine

    report = examine(arguments.via)
    width = shutil.get_terminal_size((100, 24)).columns
    text = report.to_json() if arguments.json else report.to_text(width)
    sys.stdout.write(text + "\n")
    return 0 if report.ok else 1


def _host_and_port(text: str) -> tuple[str, int]:
    """Read a host with or without a port; an IPv6 address with a port stands in brackets."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = text.partition(":") if text.count(":") == 1 else (text, "", "")
    return host, _port(port) if port else _PROBE_PORT


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


# --- probe --------------------------------------------------------------------------------------


def _add_probe(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Send a datagram to the port that gpuview doctor requests. Run this on a machine "
        "outside, and gpuview doctor --via THAT_MACHINE on the machine with the GPU."
    )
    parser.add_argument("--port", type=_port, default=_PROBE_PORT, help="UDP (%(default)s)")
    parser.add_argument(
        "--allow",
        type=_address,
        action="append",
        default=[],
        metavar="ADDRESS",
        help="also send to this address when another address requests it (FRP)",
    )
    parser.set_defaults(run=_probe)


def _probe(arguments: argparse.Namespace) -> int:
    # A shell starts background jobs with SIGINT ignored, and Python keeps it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from gpuview.doctor.responder import serve_probes

    serve_probes(arguments.port, arguments.allow, _print)
    return 0


def _address(text: str) -> str:
    if parse_address(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address")
    return text


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


# --- config -------------------------------------------------------------------------------------


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print a configuration for another program that matches the settings."
    programs = parser.add_subparsers(required=True, metavar="frp|coturn|nftables")
    frp = programs.add_parser("frp", help="frpc.toml, for the machine with the GPU")
    frp.set_defaults(run=_frp)
    coturn = programs.add_parser("coturn", help="turnserver.conf, for a TURN server")
    coturn.add_argument("--cert", metavar="FILE", help="certificate of a turns: server, PEM")
    coturn.add_argument("--pkey", metavar="FILE", help="its private key, PEM")
    coturn.add_argument("--realm", default="gpuview", help="(%(default)s)")
    coturn.set_defaults(run=_coturn)
    nftables = programs.add_parser("nftables", help="rules for the firewall and for the router")
    nftables.set_defaults(run=_nftables)
    for each in (coturn, nftables):
        each.add_argument("--min-port", type=_port, default=49152, help="relays (%(default)s)")
        each.add_argument("--max-port", type=_port, default=65535, help="relays (%(default)s)")
        each.add_argument(
            "--lan-ip",
            type=_address,
            metavar="ADDRESS",
            help="of the machine with the GPU, in its own network (default: this machine's)",
        )


def _frp(_: argparse.Namespace) -> int:
    sys.stdout.write(config_files.frp_config(Settings()))
    return 0


def _coturn(arguments: argparse.Namespace) -> int:
    text = config_files.coturn_config(Settings(), _site(arguments))
    sys.stderr.write("gpuview: this text contains a credential; keep it private: chmod 600\n")
    sys.stdout.write(text)
    return 0


def _nftables(arguments: argparse.Namespace) -> int:
    sys.stdout.write(config_files.nftables_config(Settings(), _site(arguments)))
    return 0


def _site(arguments: argparse.Namespace) -> config_files.Site:
    return config_files.Site(
        lan_ip=arguments.lan_ip or own_ipv4(),
        **{name: value for name, value in vars(arguments).items() if name in _SITE_OPTIONS},
    )
