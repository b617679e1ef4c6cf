"""Rewriting: properties over made-up answers, and real answers of aiortc to real offers."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import NetworkError, SettingsError
from gpuview.webrtc.address_rewrite import PublicHost, rewrite_answer
from gpuview.webrtc.sdp import candidates_of, strip_candidates
from tests.sdp import OFFERS, private_addresses, read
from tests.webrtc.made_up import (
    PORTS,
    PUBLIC_4,
    PUBLIC_6,
    Document,
    Made,
    documents,
    is_about_addresses,
)

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
    return [(candidate.address, candidate.port) for candidate in candidates_of(sdp)]


PORT_MAPS = st.dictionaries(PORTS, PORTS, max_size=4)
PUBLIC_IPS = st.sampled_from([(PUBLIC_4,), (PUBLIC_6,), (PUBLIC_4, PUBLIC_6), (PUBLIC_6, PUBLIC_4)])


def rewritten_or_none(document: Document, **options: object) -> str | None:
    """Return the rewritten answer; None if no candidate is left, which the tests allow for."""
    try:
        return rewrite_answer(document.text, PublicHost(**options))  # type: ignore[arg-type]
    except NetworkError:
        return None


def about_addresses(sdp: str) -> str:
    """Return the lines that say where somebody is; other made-up lines hold any text."""
    return "\n".join(line for line in sdp.split("\n") if is_about_addresses(line))


def expected_routes(
    section: tuple[Made, ...], public_ips: tuple[str, ...], port_map: dict[int, int]
) -> list[tuple[str, int, str]]:
    """Say again, naively, which routes a section offers: each once, in order."""
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
            shown = [(c.address, c.port, c.protocol.lower()) for c in candidates_of(rewritten)]
            assert shown == flat

    @given(documents(), PUBLIC_IPS, PORT_MAPS)
    def test_holds_no_private_address(
        self, document: Document, public_ips: tuple[str, ...], port_map: dict[int, int]
    ) -> None:
        rewritten = rewritten_or_none(document, public_ips=public_ips, port_map=port_map)
        if rewritten is not None:
            assert not private_addresses(about_addresses(rewritten))
            assert {c.raddr for c in candidates_of(rewritten)} <= {None, "0.0.0.0", "::"}
            assert {c.rport for c in candidates_of(rewritten)} <= {None, 9}

    @given(documents(), PUBLIC_IPS, st.booleans())
    def test_holds_valid_addresses_only(
        self, document: Document, public_ips: tuple[str, ...], keep_private: bool
    ) -> None:
        rewritten = rewritten_or_none(document, public_ips=public_ips, keep_private=keep_private)
        for candidate in candidates_of(rewritten or ""):
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
            assert rewrite_answer(once, PublicHost(**options)) == once  # type: ignore[arg-type]

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
            first = next(
                (c for c in candidates_of(section) if not c.address.endswith("local")), None
            )
            if first is not None:
                assert section.split(" ")[1] == str(first.port)
                kind = f"IP{ip_address(first.address).version}"
                connections = [line for line in section.split("\n") if line.startswith("c=")]
                assert set(connections) <= {f"c=IN {kind} {first.address}"}

    @given(documents())
    def test_keeps_its_addresses_when_none_is_public(self, document: Document) -> None:
        rewritten = rewrite_answer(document.text, PublicHost(()))
        flat = [made.line for section in document.sections for made in section]
        assert {(c.address, c.port) for c in candidates_of(rewritten)} == {
            (line.address, line.port) for line in flat
        }
        assert {c.raddr for c in candidates_of(rewritten)} <= {None, "0.0.0.0", "::"}

    @given(documents(), PUBLIC_IPS)
    def test_keeps_private_candidates_last_and_ranked_lower_where_asked(
        self, document: Document, public_ips: tuple[str, ...]
    ) -> None:
        kept = rewrite_answer(document.text, PublicHost(public_ips, keep_private=True))
        without = rewritten_or_none(document, public_ips=public_ips)
        private = {
            made.line.address for each in document.sections for made in each if made.is_private
        }
        originals = {c.foundation for c in candidates_of(document.text)}
        inside = [c for c in candidates_of(kept) if c.address in private]
        assert {c.address for c in inside} == private
        assert not originals & {c.foundation for c in inside}
        assert [c for c in candidates_of(kept) if c.address not in private] == candidates_of(
            without or ""
        )
        for section in kept.split("m=")[1:]:
            order = [c.address in private for c in candidates_of(section)]
            assert order == sorted(order)


class TestRewriteAnswer:
    def test_a_10_x_address_becomes_the_public_one_and_not_five_octets(self) -> None:
        rewritten = rewrite_answer(ANSWER, PublicHost([PUBLIC_4]))
        assert "a=candidate:aaaa 1 udp 2130706431 203.0.113.9 40000 typ host\r\n" in rewritten
        assert "203.0.113.9.40" not in rewritten

    def test_an_address_of_a_family_without_a_public_one_is_dropped(self) -> None:
        assert "fd00::1" not in rewrite_answer(ANSWER, PublicHost([PUBLIC_4]))

    def test_each_family_gets_its_own_public_address(self) -> None:
        rewritten = rewrite_answer(ANSWER, PublicHost([PUBLIC_6, PUBLIC_4]))
        assert routes(rewritten)[:2] == [(PUBLIC_4, 40000), (PUBLIC_6, 40001)]

    def test_the_public_port_of_a_proxy_goes_to_candidate_and_media_line(self) -> None:
        rewritten = rewrite_answer(ANSWER, PublicHost([PUBLIC_4], port_map={40000: 20111}))
        assert (PUBLIC_4, 20111) in routes(rewritten)
        assert "m=video 20111 UDP" in rewritten

    def test_a_rejected_section_keeps_port_zero(self) -> None:
        assert "m=application 0 UDP" in rewrite_answer(ANSWER, PublicHost([PUBLIC_4]))

    def test_two_interfaces_on_one_port_become_one_candidate(self) -> None:
        sdp = answer_with("a 1 udp 9 10.0.0.1 5000 typ host", "b 1 udp 8 172.17.0.1 5000 typ host")
        assert routes(rewrite_answer(sdp, PublicHost([PUBLIC_4]))) == [(PUBLIC_4, 5000)]

    def test_what_a_stun_server_said_is_not_said_twice(self) -> None:
        sdp = answer_with(
            "a 1 udp 9 10.0.0.1 5000 typ host",
            f"b 1 udp 8 {PUBLIC_4} 5000 typ srflx raddr 10.0.0.1 rport 5000",
        )
        assert routes(rewrite_answer(sdp, PublicHost([PUBLIC_4]))) == [(PUBLIC_4, 5000)]

    def test_a_private_relay_is_dropped_as_its_port_is_not_of_this_host(self) -> None:
        sdp = answer_with(
            "a 1 udp 9 10.0.0.1 5000 typ host",
            "b 1 udp 8 10.0.0.2 6000 typ relay raddr 10.0.0.1 rport 5000",
        )
        assert routes(rewrite_answer(sdp, PublicHost([PUBLIC_4]))) == [(PUBLIC_4, 5000)]

    def test_the_related_address_is_blanked_in_its_own_family(self) -> None:
        sdp = answer_with(
            "a 1 udp 9 192.0.2.1 5000 typ relay raddr fd00::1 rport 5000 generation 0"
        )
        assert "typ relay raddr :: rport 9 generation 0\n" in rewrite_answer(sdp, PublicHost(()))

    def test_a_private_origin_and_rtcp_line_is_blanked(self) -> None:
        sdp = ANSWER.replace("o=- 1 1 IN IP4 0.0.0.0", "o=- 1 1 IN IP4 10.20.30.40")
        sdp = sdp.replace("a=rtcp:9 IN IP4 0.0.0.0", "a=rtcp:9 IN IP6 fd00::1")
        rewritten = rewrite_answer(sdp, PublicHost([PUBLIC_4]))
        assert "o=- 1 1 IN IP4 0.0.0.0\r\n" in rewritten
        assert "a=rtcp:9 IN IP6 ::\r\n" in rewritten

    def test_a_loopback_address_can_be_the_public_one(self) -> None:
        options = {"public_ips": ["127.0.0.1"], "port_map": {40000: 40001, 40001: 40002}}
        rewritten = rewrite_answer(ANSWER, PublicHost(**options))  # type: ignore[arg-type]
        assert routes(rewritten)[0] == ("127.0.0.1", 40001)
        assert rewrite_answer(rewritten, PublicHost(**options)) == rewritten  # type: ignore[arg-type]

    def test_a_kept_private_candidate_ranks_between_server_reflexive_and_relay(self) -> None:
        kept = candidates_of(rewrite_answer(ANSWER, PublicHost([PUBLIC_4], keep_private=True)))
        lan = next(candidate for candidate in kept if candidate.address == "10.20.30.40")
        assert 0 << 24 < lan.priority < 100 << 24
        assert len(lan.foundation) <= 32

    def test_a_malformed_candidate_is_left_out(self) -> None:
        sdp = answer_with("a 1 udp 9 192.0.2.1 5000 typ host", "b 1 udp high 10.0.0.1 x typ host")
        assert "10.0.0.1" not in rewrite_answer(sdp, PublicHost(()))

    @pytest.mark.parametrize("public_ips", [(), (PUBLIC_4,)])
    def test_an_answer_without_candidates_is_an_error(self, public_ips: tuple[str, ...]) -> None:
        with pytest.raises(NetworkError, match="no UDP port could be bound"):
            rewrite_answer(answer_with(), PublicHost(public_ips))

    def test_an_answer_with_only_the_wrong_family_is_an_error(self) -> None:
        sdp = answer_with("a 1 udp 9 fd00::1 5000 typ host")
        with pytest.raises(NetworkError, match="no candidate is left"):
            rewrite_answer(sdp, PublicHost([PUBLIC_4]))

    @pytest.mark.parametrize("text", ["203.0.113", "example.org", "0.0.0.0", "224.0.0.1", ""])
    def test_what_is_no_address_of_a_host_is_no_public_ip(self, text: str) -> None:
        with pytest.raises(SettingsError, match="cannot use public_ip = "):
            rewrite_answer(ANSWER, PublicHost([text]))

    def test_two_public_addresses_of_one_family_contradict_each_other(self) -> None:
        with pytest.raises(SettingsError, match=r"both 203\.0\.113\.9 and 198\.51\.100\.1"):
            rewrite_answer(ANSWER, PublicHost([PUBLIC_4, "198.51.100.1"]))


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
        rewritten = rewrite_answer(answer, PublicHost([PUBLIC_4], port_map={}))
        assert private_addresses(answer) == {"127.0.0.1"}
        assert not private_addresses(rewritten)
        assert rewritten == answer.replace("127.0.0.1", PUBLIC_4)

    def test_an_answer_gets_the_public_port_in_every_section(self, answer: str) -> None:
        port = candidates_of(answer)[0].port
        rewritten = rewrite_answer(answer, PublicHost([PUBLIC_4], port_map={port: 20111}))
        assert set(routes(rewritten)) == {(PUBLIC_4, 20111)}
        assert rewritten.count("20111") == 2 * answer.count("\nm=")

    def test_an_answer_with_nothing_to_rewrite_is_left_byte_for_byte(self, answer: str) -> None:
        assert rewrite_answer(answer, PublicHost(())) == answer

    def test_an_answer_is_read_by_aiortc_after_the_rewriting(self, answer: str) -> None:
        from aiortc.sdp import SessionDescription

        rewritten = rewrite_answer(answer, PublicHost([PUBLIC_4], keep_private=True))
        sections = SessionDescription.parse(rewritten).media
        assert len(sections) == answer.count("\nm=")
        for media in sections:
            assert [candidate.ip for candidate in media.ice_candidates] == [PUBLIC_4, "127.0.0.1"]
            assert media.host == PUBLIC_4

    def test_used_up_ports_are_an_error(self, host_addresses: list[str]) -> None:
        host_addresses.clear()
        answer = asyncio.run(answer_of_aiortc(strip_candidates(read(OFFERS[0]))))
        with pytest.raises(NetworkError, match="no UDP port could be bound"):
            rewrite_answer(answer, PublicHost([PUBLIC_4]))


async def answer_of_aiortc(offer: str) -> str:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        connection.addTrack(VideoStreamTrack())
        await connection.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        return connection.localDescription.sdp
    finally:
        await connection.close()
