"""Answers made up by hypothesis: every kind of candidate, and every kind of line around it."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from gpuview.webrtc.candidate import Candidate

PUBLIC_4, PUBLIC_6 = "203.0.113.9", "2001:db8::9"


@dataclass(frozen=True)
class Made:
    """A candidate, and what its maker knows about it."""

    line: Candidate
    is_private: bool
    version: int | None  # None: a name


def octets(prefix: str, count: int) -> st.SearchStrategy[str]:
    rest = st.lists(st.integers(0, 255), min_size=count, max_size=count)
    return rest.map(lambda parts: ".".join([prefix, *map(str, parts)]))


def groups(prefix: str, count: int) -> st.SearchStrategy[str]:
    rest = st.lists(st.integers(1, 0xFFFF), min_size=count, max_size=count)
    return rest.map(lambda parts: ":".join([prefix, *(f"{part:x}" for part in parts)]))


PRIVATE_4 = st.one_of(
    octets("10", 3),
    st.integers(16, 31).flatmap(lambda second: octets(f"172.{second}", 2)),
    octets("192.168", 2),
    st.integers(64, 127).flatmap(lambda second: octets(f"100.{second}", 2)),
    octets("169.254", 2),
    octets("127", 3),
    st.just("0.0.0.0"),
)
OPEN_4 = st.one_of(
    octets("11.10", 2),
    octets("110.20", 2),
    octets("172.15", 2),
    octets("172.32", 2),
    octets("192.0.2", 1),
    octets("100.128", 2),
    st.just(PUBLIC_4),
)
PRIVATE_6 = st.one_of(
    groups("fd00", 7), groups("fe80", 7), st.just("::1"), st.just("::"), st.just("::ffff:10.0.0.1")
)
OPEN_6 = st.one_of(groups("2001:db8", 6), groups("2a00", 7), st.just(PUBLIC_6))
NAMES = st.uuids().map(lambda uuid: f"{uuid}.local")

ADDRESSES = st.one_of(
    st.tuples(PRIVATE_4, st.just(True), st.just(4)),
    st.tuples(OPEN_4, st.just(False), st.just(4)),
    st.tuples(PRIVATE_6, st.just(True), st.just(6)),
    st.tuples(OPEN_6, st.just(False), st.just(6)),
    st.tuples(NAMES, st.just(False), st.none()),
)
PORTS = st.sampled_from([40000, 40001, 40002]) | st.integers(1, 65535)
EXTENSIONS = st.sampled_from(
    ["", " generation 0", " generation 0 ufrag AbC+ network-id 1 network-cost 999", " x  y"]
)


@st.composite
def candidates(draw: st.DrawFn) -> Made:
    address, is_private, version = draw(ADDRESSES)
    protocol = draw(st.sampled_from(["udp", "UDP", "tcp"]))
    kind = draw(st.sampled_from(["host", "srflx", "prflx", "relay"]))
    related = None if kind == "host" else draw(st.one_of(PRIVATE_4, OPEN_4, PRIVATE_6))
    tcptype = " tcptype passive" if protocol == "tcp" else ""
    line = Candidate(
        foundation=draw(st.text("0123456789abcdef", min_size=1, max_size=32)),
        component=draw(st.integers(1, 2)),
        protocol=protocol,
        priority=draw(st.integers(1, 2**31 - 1)),
        address=address,
        port=draw(PORTS),
        type=kind,
        raddr=related,
        rport=None if related is None else draw(PORTS),
        extensions=tcptype + draw(EXTENSIONS),
    )
    return Made(line, is_private, version)


OTHER_LINES = st.one_of(
    st.sampled_from(["a=mid:0", "a=end-of-candidates", "b=AS:8000", "z=", "a=x\u2028a=candidate:"]),
    st.text(st.characters(exclude_characters="\n\r")).map("a=x-".__add__),
)


@dataclass(frozen=True)
class Document:
    """An answer, and what went into it."""

    text: str
    sections: tuple[tuple[Made, ...], ...]
    others: tuple[str, ...]  # lines without address or candidate, in their order


@st.composite
def documents(draw: st.DrawFn) -> Document:
    address_lines = [
        "c=IN IP4 10.1.2.3",
        "c=IN IP6 fd00::5",
        "c=IN IP4 0.0.0.0",
        "a=rtcp:7 IN IP4 172.16.9.9",
    ]
    lines = ["v=0", f"o=- 1 1 IN IP4 {draw(PRIVATE_4)}", "s=-"]
    others = ["v=0", "s=-"]
    sections = []
    for kind in draw(st.sampled_from([("video",), ("video", "application")])):
        made = draw(st.lists(candidates(), min_size=1, max_size=6))
        lines.append(f"m={kind} {draw(PORTS)} UDP/X 96")
        body = [f"a={each.line}" for each in made]
        for extra in draw(st.lists(OTHER_LINES, max_size=4)):
            body.insert(draw(st.integers(0, len(body))), extra)
        body[:0] = draw(st.lists(st.sampled_from(address_lines), max_size=2))
        others += [line for line in body if not is_about_addresses(line)]
        lines += body
        sections.append(tuple(made))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    ending = draw(st.sampled_from(["", newline]))
    return Document(newline.join(lines) + ending, tuple(sections), tuple(others))


def is_about_addresses(line: str) -> bool:
    return line.startswith(("a=candidate:", "c=", "m=", "o=", "a=rtcp:"))
