"""Candidates: read, written again, and judged by whether we can send to them."""

from __future__ import annotations

import pytest
from hypothesis import given

from gpuview.webrtc.candidate import is_reachable, parse_candidate
from tests.webrtc.made_up import Made, candidates


@given(candidates())
def test_candidate_is_written_as_it_was_read(made: Made) -> None:
    assert parse_candidate(str(made.line)) == made.line


@pytest.mark.parametrize(
    "text",
    [
        "",
        "candidate:a 1 udp high 192.0.2.1 5000 typ host",
        "candidate:a 1 udp 9 192.0.2.1 65536 typ host",
        "candidate:a 1 udp 9 192.0.2.1 5000",
        "a=candidate:a 1 udp 9 192.0.2.1 5000 typ host",
        "candidate:a 1 udp 9 192.0.2.1 5000 typ host\n",
    ],
)
def test_malformed_candidate_is_none(text: str) -> None:
    assert parse_candidate(text) is None
    assert not is_reachable(text)


@pytest.mark.parametrize(
    "rest",
    [
        "1 udp 9 192.0.2.1 5000 typ host",
        "1 UDP 9 10.0.0.1 5000 typ srflx raddr 0.0.0.0 rport 9 generation 0",
        "1 udp 9 2001:db8::1 5000 typ relay",
    ],
)
def test_udp_candidate_with_an_address_is_reachable(rest: str) -> None:
    assert is_reachable(f"candidate:a {rest}")


@pytest.mark.parametrize(
    "rest",
    [
        "1 tcp 9 192.0.2.1 5000 typ host tcptype passive",
        "2 udp 9 192.0.2.1 5000 typ host",
        "1 udp 9 192.0.2.1 0 typ host",
        "1 udp 9 192.0.2.1 5000 typ other",
        "1 udp 9 a-name.local 5000 typ host",
        "1 udp 9 224.0.0.1 5000 typ host",
        "1 udp 9 255.255.255.255 5000 typ host",
        "1 udp 9 0.0.0.0 5000 typ host",
        "1 udp 9 :: 5000 typ host",
    ],
)
def test_candidate_to_which_we_cannot_send_is_not_reachable(rest: str) -> None:
    assert not is_reachable(f"candidate:a {rest}")
