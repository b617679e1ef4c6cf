"""Offers are judged and stripped, and candidates are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from gpuview.errors import SignalError
from gpuview.webrtc.sdp import candidates_of, check_offer, redact, strip_candidates
from tests.sdp import OFFERS, read
from tests.webrtc.made_up import Document, documents


def test_log_shows_no_secret_of_a_connection() -> None:
    sdp = "v=0\r\na=ice-ufrag:abc\r\na=ice-pwd:s3cret\r\na=fingerprint:sha-256 AA:BB\r\na=mid:0\r\n"
    assert redact(sdp) == ("v=0\na=ice-ufrag:...\na=ice-pwd:...\na=fingerprint:...\na=mid:0\n")


def test_malformed_candidate_is_left_out() -> None:
    sdp = "v=0\na=candidate:a 1 udp 9 192.0.2.1 5000 typ host\na=candidate:b 1 udp x\na=mid:0\n"
    assert [each.foundation for each in candidates_of(sdp)] == ["a"]


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
        assert candidates_of(stripped) == []
        assert "\na=end-of-candidates" not in stripped

    @pytest.mark.parametrize("text", ["", "hello", "{}", "o=- 1 1 IN IP4 0.0.0.0", "\nv=0"])
    def test_text_that_is_not_sdp_is_refused(self, text: str) -> None:
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
    def test_an_offer_that_does_not_receive_video_is_refused(self, section: list[str]) -> None:
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
    def test_an_offer_that_receives_video_in_some_section_is_answered(
        self, section: list[str]
    ) -> None:
        check_offer("\r\n".join(["v=0", "s=-", *section, ""]))

    def test_the_sessions_direction_holds_for_sections_without_one(self) -> None:
        with pytest.raises(SignalError, match="inactive"):
            check_offer("v=0\na=inactive\nm=video 9 X 96\n")
