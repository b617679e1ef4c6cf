"""Rewriting answers and judging offers: properties over made-up SDP, and real SDP of both ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import NetworkError, SettingsError, SignalError
from gpuview.webrtc.sdp import (
    CandidateLine,
    check_offer,
    describe,
    has_private_address,
    rewrite_answer,
    strip_candidates,
)

OFFERS = sorted((Path(__file__).parent.parent / "data" / "sdp").glob("*.sdp"))

PUBLIC_4, PUBLIC_6 = "203.0.113.9", "2001:db8::9"

ANSWER = """\
v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0 1
m=video 40000 UDP/TLS/RTP/SAVPF 96
c=IN IP4 10.20.30.40
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:aaaa 1 udp 2130706431 10.20.30.40 40000 typ host
a=candidate:bbbb 1 udp 2130706431 fd00::1 40001 typ host
a=candidate:cccc 1 udp 1694498815 198.51.100.7 40002 typ srflx raddr 10.20.30.40 rport 40000
a=end-of-candidates
m=application 0 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 10.20.30.40
a=candidate:aaaa 1 udp 2130706431 10.20.30.40 40000 typ host
""".replace("\n", "\r\n")


def answer_with(*candidates: str, media: str = "m=video 40000 X 96", c: str = "c=IN IP4 0.0.0.0"):
    """Return an answer of one section with these candidates, each without its ``a=candidate:``."""
    lines = ["v=0", "s=-", media, c, *(f"a=candidate:{each}" for each in candidates), "a=mid:0"]
    return "\n".join(lines) + "\n"


def routes(sdp: str) -> list[tuple[str, int]]:
    return [(candidate.address, candidate.port) for candidate in describe(sdp)]


def read(path: Path) -> str:
    return path.read_bytes().decode()


# --- what is made up: every kind of candidate, and every kind of line around it -----------------


@dataclass(frozen=True)
class Made:
    """A candidate, and what its maker knows about it."""

    line: CandidateLine
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
    line = CandidateLine(
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
        body = [*(str(each.line) for each in made)]
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


PORT_MAPS = st.dictionaries(PORTS, PORTS, max_size=4)
PUBLIC_IPS = st.sampled_from([(PUBLIC_4,), (PUBLIC_6,), (PUBLIC_4, PUBLIC_6), (PUBLIC_6, PUBLIC_4)])


def rewritten_or_none(document: Document, **options: object) -> str | None:
    """Return the rewritten answer; None where rightly nothing was left to offer."""
    try:
        return rewrite_answer(document.text, **options)  # type: ignore[arg-type]
    except NetworkError:
        return None


def expected_routes(
    section: tuple[Made, ...], public_ips: tuple[str, ...], port_map: dict[int, int]
) -> list[tuple[str, int, str]]:
    """Say again, naively, which routes a section offers; each once, in order."""
    by_version = {ip_address(text).version: text for text in public_ips}
    found: dict[tuple[str, int, str], None] = {}
    for made in section:
        line, protocol = made.line, made.line.protocol.lower()
        if not made.is_private:
            found[line.address, line.port, protocol] = None
        elif line.type == "host" and made.version in by_version:
            port = port_map.get(line.port, line.port) if protocol == "udp" else line.port
            found[by_version[made.version], port, protocol] = None
    return list(found)


class TestAnyAnswer:
    @given(documents(), PUBLIC_IPS, PORT_MAPS)
    def test_holds_exactly_the_public_routes_in_their_order(
        self, document: Document, public_ips: tuple[str, ...], port_map: dict[int, int]
    ) -> None:
        rewritten = rewritten_or_none(document, public_ips=public_ips, port_map=port_map)
        routes = [expected_routes(each, public_ips, port_map) for each in document.sections]
        flat = [route for section in routes for route in section]
        if rewritten is None:
            assert not flat
        else:
            shown = [(c.address, c.port, c.protocol.lower()) for c in describe(rewritten)]
            assert shown == flat

    @given(documents(), PUBLIC_IPS, PORT_MAPS)
    def test_holds_no_private_address(
        self, document: Document, public_ips: tuple[str, ...], port_map: dict[int, int]
    ) -> None:
        rewritten = rewritten_or_none(document, public_ips=public_ips, port_map=port_map)
        if rewritten is not None:
            assert not has_private_address(rewritten)
            assert {c.raddr for c in describe(rewritten)} <= {None, "0.0.0.0", "::"}
            assert {c.rport for c in describe(rewritten)} <= {None, 9}

    @given(documents(), PUBLIC_IPS, st.booleans())
    def test_holds_valid_addresses_only(
        self, document: Document, public_ips: tuple[str, ...], keep_private: bool
    ) -> None:
        rewritten = rewritten_or_none(document, public_ips=public_ips, keep_private=keep_private)
        for candidate in describe(rewritten or ""):
            assert candidate.address.endswith(".local") or ip_address(candidate.address)

    @given(documents(), st.one_of(st.just(()), PUBLIC_IPS), PORT_MAPS, st.booleans())
    def test_rewritten_twice_is_as_rewritten_once(
        self,
        document: Document,
        public_ips: tuple[str, ...],
        port_map: dict[int, int],
        keep_private: bool,
    ) -> None:
        options = {"public_ips": public_ips, "port_map": port_map, "keep_private": keep_private}
        once = rewritten_or_none(document, **options)
        if once is not None:
            assert rewrite_answer(once, **options) == once  # type: ignore[arg-type]

    @given(documents(), st.one_of(st.just(()), PUBLIC_IPS), st.booleans())
    def test_keeps_every_other_line_and_all_line_endings(
        self, document: Document, public_ips: tuple[str, ...], keep_private: bool
    ) -> None:
        rewritten = rewritten_or_none(document, public_ips=public_ips, keep_private=keep_private)
        if rewritten is not None:
            newline = "\r\n" if "\r\n" in document.text else "\n"
            assert rewritten.count(newline) == rewritten.count("\n")
            bodies = rewritten.split(newline)
            if bodies[-1] == "":
                bodies.pop()
            assert [body for body in bodies if not is_about_addresses(body)] == [*document.others]

    @given(documents(), PUBLIC_IPS)
    def test_has_the_first_candidate_in_the_lines_above_it(
        self, document: Document, public_ips: tuple[str, ...]
    ) -> None:
        rewritten = rewritten_or_none(document, public_ips=public_ips)
        for section in (rewritten or "").replace("\r\n", "\n").split("\nm=")[1:]:
            first = next((c for c in describe(section) if not c.address.endswith("local")), None)
            if first is not None:
                assert section.split(" ")[1] == str(first.port)
                kind = f"IP{ip_address(first.address).version}"
                connections = [line for line in section.split("\n") if line.startswith("c=")]
                assert set(connections) <= {f"c=IN {kind} {first.address}"}

    @given(documents())
    def test_keeps_its_addresses_when_none_is_public(self, document: Document) -> None:
        rewritten = rewrite_answer(document.text, public_ips=())
        flat = [made.line for section in document.sections for made in section]
        assert {(c.address, c.port) for c in describe(rewritten)} == {
            (line.address, line.port) for line in flat
        }
        assert {c.raddr for c in describe(rewritten)} <= {None, "0.0.0.0", "::"}

    @given(documents(), PUBLIC_IPS)
    def test_keeps_private_candidates_last_and_ranked_lower_where_asked(
        self, document: Document, public_ips: tuple[str, ...]
    ) -> None:
        kept = rewrite_answer(document.text, public_ips=public_ips, keep_private=True)
        without = rewritten_or_none(document, public_ips=public_ips)
        private = {
            made.line.address for each in document.sections for made in each if made.is_private
        }
        originals = {c.foundation for c in describe(document.text)}
        inside = [c for c in describe(kept) if c.address in private]
        assert {c.address for c in inside} == private
        assert not originals & {c.foundation for c in inside}
        assert [c for c in describe(kept) if c.address not in private] == describe(without or "")
        for section in kept.split("m=")[1:]:
            order = [c.address in private for c in describe(section)]
            assert order == sorted(order)

    @given(candidates())
    def test_writes_a_candidate_as_it_read_it(self, made: Made) -> None:
        assert describe(f"{made.line}\r\n") == [made.line]


class TestRewriteAnswer:
    def test_a_10_x_address_becomes_the_public_one_and_not_five_octets(self) -> None:
        rewritten = rewrite_answer(ANSWER, public_ips=[PUBLIC_4])
        assert "a=candidate:aaaa 1 udp 2130706431 203.0.113.9 40000 typ host\r\n" in rewritten
        assert "203.0.113.9.40" not in rewritten

    def test_an_address_of_a_family_without_a_public_one_is_dropped(self) -> None:
        assert "fd00::1" not in rewrite_answer(ANSWER, public_ips=[PUBLIC_4])

    def test_each_family_gets_its_own_public_address(self) -> None:
        rewritten = rewrite_answer(ANSWER, public_ips=[PUBLIC_6, PUBLIC_4])
        assert routes(rewritten)[:2] == [(PUBLIC_4, 40000), (PUBLIC_6, 40001)]

    def test_the_public_port_of_a_proxy_goes_to_candidate_and_media_line(self) -> None:
        rewritten = rewrite_answer(ANSWER, public_ips=[PUBLIC_4], port_map={40000: 20111})
        assert (PUBLIC_4, 20111) in routes(rewritten)
        assert "m=video 20111 UDP" in rewritten

    def test_a_rejected_section_keeps_port_zero(self) -> None:
        assert "m=application 0 UDP" in rewrite_answer(ANSWER, public_ips=[PUBLIC_4])

    def test_two_interfaces_on_one_port_become_one_candidate(self) -> None:
        sdp = answer_with("a 1 udp 9 10.0.0.1 5000 typ host", "b 1 udp 8 172.17.0.1 5000 typ host")
        assert routes(rewrite_answer(sdp, public_ips=[PUBLIC_4])) == [(PUBLIC_4, 5000)]

    def test_what_a_stun_server_said_is_not_said_twice(self) -> None:
        sdp = answer_with(
            "a 1 udp 9 10.0.0.1 5000 typ host",
            f"b 1 udp 8 {PUBLIC_4} 5000 typ srflx raddr 10.0.0.1 rport 5000",
        )
        assert routes(rewrite_answer(sdp, public_ips=[PUBLIC_4])) == [(PUBLIC_4, 5000)]

    def test_a_private_relay_is_dropped_as_its_port_is_not_of_this_host(self) -> None:
        sdp = answer_with(
            "a 1 udp 9 10.0.0.1 5000 typ host",
            "b 1 udp 8 10.0.0.2 6000 typ relay raddr 10.0.0.1 rport 5000",
        )
        assert routes(rewrite_answer(sdp, public_ips=[PUBLIC_4])) == [(PUBLIC_4, 5000)]

    def test_the_related_address_is_blanked_in_its_own_family(self) -> None:
        sdp = answer_with(
            "a 1 udp 9 192.0.2.1 5000 typ relay raddr fd00::1 rport 5000 generation 0"
        )
        assert "typ relay raddr :: rport 9 generation 0\n" in rewrite_answer(sdp, public_ips=())

    def test_a_private_origin_and_rtcp_line_is_blanked(self) -> None:
        sdp = ANSWER.replace("o=- 1 1 IN IP4 0.0.0.0", "o=- 1 1 IN IP4 10.20.30.40")
        sdp = sdp.replace("a=rtcp:9 IN IP4 0.0.0.0", "a=rtcp:9 IN IP6 fd00::1")
        rewritten = rewrite_answer(sdp, public_ips=[PUBLIC_4])
        assert "o=- 1 1 IN IP4 0.0.0.0\r\n" in rewritten
        assert "a=rtcp:9 IN IP6 ::\r\n" in rewritten

    def test_a_loopback_address_can_be_the_public_one(self) -> None:
        options = {"public_ips": ["127.0.0.1"], "port_map": {40000: 40001, 40001: 40002}}
        rewritten = rewrite_answer(ANSWER, **options)  # type: ignore[arg-type]
        assert routes(rewritten)[0] == ("127.0.0.1", 40001)
        assert rewrite_answer(rewritten, **options) == rewritten  # type: ignore[arg-type]

    def test_a_kept_private_candidate_ranks_between_server_reflexive_and_relay(self) -> None:
        kept = describe(rewrite_answer(ANSWER, public_ips=[PUBLIC_4], keep_private=True))
        lan = next(candidate for candidate in kept if candidate.address == "10.20.30.40")
        assert 0 << 24 < lan.priority < 100 << 24
        assert len(lan.foundation) <= 32

    def test_a_malformed_candidate_is_left_out(self) -> None:
        sdp = answer_with("a 1 udp 9 192.0.2.1 5000 typ host", "b 1 udp high 10.0.0.1 x typ host")
        assert "10.0.0.1" not in rewrite_answer(sdp, public_ips=())

    @pytest.mark.parametrize("public_ips", [(), (PUBLIC_4,)])
    def test_an_answer_without_candidates_is_an_error(self, public_ips: tuple[str, ...]) -> None:
        with pytest.raises(NetworkError, match="no UDP port could be bound"):
            rewrite_answer(answer_with(), public_ips=public_ips)

    def test_an_answer_with_only_the_wrong_family_is_an_error(self) -> None:
        sdp = answer_with("a 1 udp 9 fd00::1 5000 typ host")
        with pytest.raises(NetworkError, match="no candidate is left"):
            rewrite_answer(sdp, public_ips=[PUBLIC_4])

    @pytest.mark.parametrize("text", ["203.0.113", "example.org", "0.0.0.0", "224.0.0.1", ""])
    def test_what_is_no_address_of_a_host_is_no_public_ip(self, text: str) -> None:
        with pytest.raises(SettingsError, match="cannot use public_ip = "):
            rewrite_answer(ANSWER, public_ips=[text])

    def test_two_public_addresses_of_one_family_contradict_each_other(self) -> None:
        with pytest.raises(SettingsError, match=r"both 203\.0\.113\.9 and 198\.51\.100\.1"):
            rewrite_answer(ANSWER, public_ips=[PUBLIC_4, "198.51.100.1"])


class TestHasPrivateAddress:
    @pytest.mark.parametrize(
        "sdp",
        [
            answer_with("a 1 udp 9 100.64.0.1 5000 typ host"),
            answer_with("a 1 udp 9 0.0.0.0 5000 typ host"),
            answer_with("a 1 udp 9 192.0.2.1 5000 typ srflx raddr 192.168.0.1 rport 1"),
            answer_with(c="c=IN IP6 fe80::1"),
            "v=0\no=- 1 1 IN IP4 127.0.0.1\n",
            "a=rtcp:9 IN IP4 10.0.0.1",
        ],
    )
    def test_finds_it_wherever_it_stands(self, sdp: str) -> None:
        assert has_private_address(sdp)

    def test_takes_blanks_and_documentation_addresses_for_public(self) -> None:
        assert not has_private_address(
            answer_with("a 1 udp 9 192.0.2.1 5000 typ srflx raddr 0.0.0.0 rport 9")
        )


class TestRealAnswers:
    """Answers that aiortc gave to a real browser's offer, on loopback so that all hosts agree."""

    @pytest.fixture
    def host_addresses(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        addresses = ["127.0.0.1"]
        monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_: addresses)
        return addresses

    @pytest.fixture(params=OFFERS, ids=lambda path: path.stem)
    def answer(self, request: pytest.FixtureRequest, host_addresses: list[str]) -> str:
        return asyncio.run(answer_of_aiortc(strip_candidates(read(request.param))))

    def test_an_answer_keeps_all_but_its_addresses(self, answer: str) -> None:
        rewritten = rewrite_answer(answer, public_ips=[PUBLIC_4], port_map={})
        assert has_private_address(answer)
        assert not has_private_address(rewritten)
        assert rewritten == answer.replace("127.0.0.1", PUBLIC_4)

    def test_an_answer_gets_the_public_port_in_every_section(self, answer: str) -> None:
        port = describe(answer)[0].port
        rewritten = rewrite_answer(answer, public_ips=[PUBLIC_4], port_map={port: 20111})
        assert set(routes(rewritten)) == {(PUBLIC_4, 20111)}
        assert rewritten.count("20111") == 2 * answer.count("\nm=")

    def test_an_answer_with_nothing_to_rewrite_is_left_byte_for_byte(self, answer: str) -> None:
        assert rewrite_answer(answer, public_ips=()) == answer

    def test_an_answer_is_read_by_aiortc_after_the_rewriting(self, answer: str) -> None:
        from aiortc.sdp import SessionDescription

        rewritten = rewrite_answer(answer, public_ips=[PUBLIC_4], keep_private=True)
        for media in SessionDescription.parse(rewritten).media:
            assert [candidate.ip for candidate in media.ice_candidates] == [PUBLIC_4, "127.0.0.1"]
            assert media.host == PUBLIC_4

    def test_used_up_ports_are_an_error(self, host_addresses: list[str]) -> None:
        host_addresses.clear()
        answer = asyncio.run(answer_of_aiortc(strip_candidates(read(OFFERS[0]))))
        with pytest.raises(NetworkError, match="no UDP port could be bound"):
            rewrite_answer(answer, public_ips=[PUBLIC_4])


async def answer_of_aiortc(offer: str) -> str:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        connection.addTrack(VideoStreamTrack())
        await connection.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        return connection.localDescription.sdp
    finally:
        await connection.close()


class TestOffers:
    @pytest.mark.parametrize("path", OFFERS, ids=lambda path: path.stem)
    def test_a_browsers_offer_is_answered(self, path: Path) -> None:
        check_offer(read(path))
        check_offer(strip_candidates(read(path)))

    @pytest.mark.parametrize("path", OFFERS, ids=lambda path: path.stem)
    def test_stripping_takes_the_candidates_and_nothing_else(self, path: Path) -> None:
        lines = read(path).splitlines(keepends=True)
        kept = [line for line in lines if "candidate" not in line]
        assert strip_candidates(read(path)) == "".join(kept)

    @given(documents())
    def test_stripping_leaves_no_candidate(self, document: Document) -> None:
        stripped = strip_candidates(document.text)
        assert describe(stripped) == []
        assert "\na=end-of-candidates" not in stripped

    @pytest.mark.parametrize("text", ["", "hello", "{}", "o=- 1 1 IN IP4 0.0.0.0", "\nv=0"])
    def test_what_is_no_sdp_is_refused(self, text: str) -> None:
        with pytest.raises(SignalError, match="cannot read an offer that begins with"):
            check_offer(text)

    @pytest.mark.parametrize(
        "media", [[], ["m=audio 9 X 0"], ["m=application 9 X y"], ["m=videos"]]
    )
    def test_an_offer_without_video_is_refused(self, media: list[str]) -> None:
        with pytest.raises(SignalError, match="an offer without a video section"):
            check_offer("\n".join(["v=0", "s=-", *media]))

    @pytest.mark.parametrize(
        "section",
        [
            ["m=video 9 X 96", "a=inactive"],
            ["m=video 9 X 96", "a=sendonly"],
            ["m=video 0 X 96", "a=recvonly"],
            ["m=video", "a=recvonly"],
            ["m=video x y"],
        ],
    )
    def test_an_offer_whose_video_takes_nothing_is_refused(self, section: list[str]) -> None:
        with pytest.raises(SignalError, match="cannot send video to an offer"):
            check_offer("\r\n".join(["v=0", "s=-", *section, ""]))

    @pytest.mark.parametrize(
        "section",
        [
            ["m=video 9 X 96"],
            ["m=video 9 X 96", "a=sendrecv"],
            ["m=video 0 X 96", "a=recvonly", "a=bundle-only"],
            ["m=video 9 X 96", "a=inactive", "m=video 9 X 96", "a=recvonly"],
        ],
    )
    def test_an_offer_that_takes_video_in_some_section_is_answered(
        self, section: list[str]
    ) -> None:
        check_offer("\r\n".join(["v=0", "s=-", *section, ""]))

    def test_the_sessions_direction_holds_for_sections_without_one(self) -> None:
        with pytest.raises(SignalError, match="inactive"):
            check_offer("v=0\na=inactive\nm=video 9 X 96\n")
