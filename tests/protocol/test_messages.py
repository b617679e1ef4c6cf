"""Messages: what is written can be read, and nothing else can."""

from __future__ import annotations

import contextlib
import json
import types
import typing
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import SignalError
from gpuview.protocol import (
    carrier_messages,
    interaction_messages,
    media_messages,
    page_messages,
)
from gpuview.protocol.media_messages import Log, OpenStream, Stats
from gpuview.protocol.page_messages import (
    MAX_CANDIDATES,
    MAX_SDP_CHARS,
    MAX_TEXT_CHARS,
    Bye,
    Candidates,
    GetPeerConfig,
    IceServer,
    Message,
    Offer,
    PageLog,
    PeerConfig,
    Status,
)
from gpuview.protocol.stats import NetworkStats, ViewerStats
from gpuview.protocol.wire import decode_line, encode, from_wire, to_wire

KINDS: list[type[Message]] = [
    each
    for messages in (carrier_messages, interaction_messages, media_messages, page_messages)
    for each in (getattr(messages, name) for name in messages.__all__)
    if isinstance(each, type) and issubclass(each, Message) and each is not Message
]
VIEW_IDS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def field_values(name: str, hint: Any) -> st.SearchStrategy[Any]:
    """Return what a field of this name and annotation can hold."""
    if name == "view":
        return VIEW_IDS
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return within(name, *arguments)
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*(field_values(name, each) for each in arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is list:
        return st.lists(field_values(name, arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(st.text(), field_values("", arguments[1]), max_size=3)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return made(hint)
    plain = {
        str: st.text(max_size=200),
        int: st.integers(),
        float: st.floats(allow_nan=False),
        bool: st.booleans(),
        type(None): st.none(),
    }
    return plain[hint]


def within(name: str, hint: Any, limits: Any) -> st.SearchStrategy[Any]:
    """Return what a field can hold whose values have limits."""
    if hint is float:
        return st.floats(limits.ge, limits.le)
    if hint is int:
        return st.integers(limits.ge, limits.le)
    if hint is str:
        return st.text(max_size=min(limits.max_length, 200))
    item = field_values(name, typing.get_args(hint)[0])
    return st.lists(item, min_size=limits.min_length or 0, max_size=min(limits.max_length, 3))


def made(kind: Any) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: field_values(name, hint) for name, hint in hints.items()})


ANY_MESSAGE = st.sampled_from(KINDS).flatmap(made)


class TestRoundTrip:
    @given(ANY_MESSAGE)
    def test_every_message_is_read_as_it_was_written(self, message: Message) -> None:
        assert from_wire(json.loads(json.dumps(to_wire(message))), *KINDS) == message

    @given(st.text(), ANY_MESSAGE)
    def test_a_line_carries_the_stream_as_well(self, stream: str, message: Message) -> None:
        line = encode(stream, message)
        assert b"\n" not in line
        assert decode_line(line, type(message)) == (stream, message)

    def test_the_type_is_the_name_of_the_class(self) -> None:
        assert to_wire(Bye(view="a")) == {"type": "Bye", "view": "a"}

    @given(ANY_MESSAGE)
    def test_the_wire_has_no_null(self, message: Message) -> None:
        def check(fields: dict[str, object]) -> dict[str, object]:
            assert None not in fields.values()
            return fields

        json.loads(json.dumps(to_wire(message)), object_hook=check)

    def test_what_is_none_is_left_out_also_within_a_list(self) -> None:
        peer_config = PeerConfig(view="a", ice_servers=[IceServer(urls=["stun:a"])])
        assert to_wire(peer_config)["ice_servers"] == [{"urls": ["stun:a"]}]

    def test_objects_within_objects_come_back_as_they_were(self) -> None:
        viewer = ViewerStats(
            view="a", state="new", codec="", local="", remote="", frames_sent=1, frames_dropped=2
        )
        network = NetworkStats(public_ips=["192.0.2.1"], dropped_datagrams={"short": 3})
        stats = Stats(request=1, viewers=[viewer], network=network)
        assert decode_line(encode("s", stats), Stats) == ("s", stats)

    def test_what_is_left_out_gets_its_default(self) -> None:
        assert from_wire({"type": "Status", "state": "live"}, Status) == Status(state="live")

    def test_null_is_taken_where_a_field_may_be_none(self) -> None:
        server = {"urls": ["stun:a"], "username": None}
        read = from_wire({"type": "PeerConfig", "view": "a", "ice_servers": [server]}, PeerConfig)
        assert read == PeerConfig(view="a", ice_servers=[IceServer(urls=["stun:a"])])

    def test_a_whole_number_is_taken_where_a_float_is_meant(self) -> None:
        data = {"type": "OpenStream", "fps": 30, "max_bitrate_bps": 1}
        assert from_wire(data, OpenStream) == OpenStream(fps=30, max_bitrate_bps=1)

    def test_reading_leaves_its_input_alone(self) -> None:
        server = {"urls": ["stun:a"]}
        data = {"type": "PeerConfig", "view": "a", "ice_servers": [server]}
        from_wire(data, PeerConfig)
        assert data == {"type": "PeerConfig", "view": "a", "ice_servers": [{"urls": ["stun:a"]}]}

    def test_half_a_surrogate_pair_of_a_page_passes(self) -> None:
        log = from_wire({"type": "PageLog", "view": "a", "text": "\ud800"}, PageLog)
        assert decode_line(encode("s", log), PageLog) == ("s", log)

    def test_an_ice_server_shows_no_credential(self) -> None:
        server = IceServer(urls=["turn:a"], username="ann", credential="s3cret")
        assert "s3cret" not in repr(PeerConfig(view="a", ice_servers=[server]))


OFFER = {"type": "Offer", "view": "a", "seq": 1, "sdp": "v=0"}
CONFIG = {"type": "PeerConfig", "view": "a"}
CANDIDATES = {"type": "Candidates", "view": "a", "seq": 1}
PROBLEM = {"problem": "p", "expected": "e", "fix": "f"}


class TestRefusal:
    @pytest.mark.parametrize(
        ("data", "problem"),
        [
            (None, "type NoneType: Expected `object`, got `null`"),
            ([OFFER], "type list: Expected `object`, got `array`"),
            ("Offer", "type str: Expected `object`, got `str`"),
            ({}, "missing required field `type`"),
            ({"type": 7}, r"type 7: Expected `str`, got `int` - at `\$.type`"),
            ({"type": []}, r"Expected `str`, got `list` - at `\$.type`"),
            ({"type": "Message"}, "Invalid value 'Message'"),
            ({"type": "IceServer", "urls": []}, "Invalid value 'IceServer'"),
            ({"type": "Answer", "view": "a"}, "Invalid value 'Answer'"),
            ({**OFFER, "extra": 1}, "type Offer: Object contains unknown field `extra`"),
            ({"type": "Offer", "view": "a", "sdp": "v=0"}, "missing required field `seq`"),
            ({**OFFER, "seq": "1"}, r"Expected `int`, got `str` - at `\$.seq`"),
            ({**OFFER, "seq": 1.0}, r"Expected `int`, got `float` - at `\$.seq`"),
            ({**OFFER, "seq": True}, r"Expected `int`, got `bool` - at `\$.seq`"),
            ({**OFFER, "seq": None}, r"Expected `int`, got `null` - at `\$.seq`"),
            ({**OFFER, "sdp": {}}, r"Expected `str`, got `object` - at `\$.sdp`"),
            ({**OFFER, "view": 7}, r"Expected `str`, got `int` - at `\$.view`"),
            ({**OFFER, "view": ""}, r"matching regex .* at `\$.view`"),
            ({**OFFER, "view": "a b"}, r"matching regex .* at `\$.view`"),
            ({**OFFER, "view": "a\n"}, r"matching regex .* at `\$.view`"),
            ({**OFFER, "view": "é"}, r"matching regex .* at `\$.view`"),
            ({**OFFER, "view": "a" * 65}, r"matching regex .* at `\$.view`"),
            (
                {**CONFIG, "ice_servers": {}},
                r"Expected `array`, got `object` - at `\$.ice_servers`",
            ),
            ({**CONFIG, "ice_servers": ["stun:a"]}, r"got `str` - at `\$.ice_servers\[0\]`"),
            ({**CONFIG, "ice_servers": [{}]}, r"field `urls` - at `\$.ice_servers\[0\]`"),
            (
                {**CONFIG, "ice_servers": [{"urls": [7]}]},
                r"at `\$.ice_servers\[0\].urls\[0\]`",
            ),
            ({**CONFIG, "ice_servers": [{"url": "a"}]}, "unknown field `url`"),
            ({"type": "Status", "state": "odd"}, r"Invalid enum value 'odd' - at `\$.state`"),
            ({"type": "Status", "state": []}, r"Expected `str`, got `array` - at `\$.state`"),
            ({"type": "\ud800"}, r"type \?: "),
            ({**OFFER, "\ud800": 1}, "type Offer: "),
        ],
    )
    def test_a_malformed_message_is_named(self, data: object, problem: str) -> None:
        with pytest.raises(SignalError, match=problem):
            from_wire(data, Offer, PeerConfig, Status)

    @given(JSON)
    def test_no_json_brings_the_reader_down(self, data: object) -> None:
        with pytest.raises(SignalError):
            from_wire(data, *KINDS)

    @given(ANY_MESSAGE, st.data())
    def test_no_wrong_field_brings_the_reader_down(
        self, message: Message, data: st.DataObject
    ) -> None:
        wire = to_wire(message)
        wire[data.draw(st.sampled_from(sorted(wire)))] = data.draw(JSON)
        with contextlib.suppress(SignalError):  # and nothing else
            from_wire(wire, *KINDS)

    def test_only_what_is_expected_here_is_read(self) -> None:
        with pytest.raises(SignalError, match="Invalid value 'Bye'") as caught:
            from_wire({"type": "Bye", "view": "a"}, Offer, GetPeerConfig)
        assert caught.value.expected == "one of Offer, GetPeerConfig"

    def test_the_longest_sdp_is_read_and_a_longer_one_is_not(self) -> None:
        longest = "v" * MAX_SDP_CHARS
        assert from_wire({**OFFER, "sdp": longest}, Offer) == Offer(view="a", seq=1, sdp=longest)
        with pytest.raises(SignalError, match=r"length <= 65536 - at `\$.sdp`"):
            from_wire({**OFFER, "sdp": longest + "v"}, Offer)

    @pytest.mark.parametrize(
        ("data", "field"),
        [
            ({"type": "PageLog", "view": "a", "text": "x" * (MAX_TEXT_CHARS + 1)}, "text"),
            ({**CANDIDATES, "candidates": ["c"] * (MAX_CANDIDATES + 1)}, "candidates"),
            ({**CANDIDATES, "candidates": ["c" * (MAX_TEXT_CHARS + 1)]}, r"candidates\[0\]"),
            ({**CANDIDATES, "problems": [PROBLEM] * (MAX_CANDIDATES + 1)}, "problems"),
            (
                {**CANDIDATES, "problems": [{**PROBLEM, "fix": "x" * (MAX_TEXT_CHARS + 1)}]},
                r"problems\[0\].fix",
            ),
        ],
    )
    def test_what_a_page_sends_has_limits(self, data: object, field: str) -> None:
        with pytest.raises(SignalError, match=rf"of length <= \d+ - at `\$.{field}`"):
            from_wire(data, PageLog, Candidates)

    def test_a_credential_is_not_repeated_in_an_error(self) -> None:
        server = {"urls": ["turn:a"], "credential": ["s3cret"]}
        with pytest.raises(SignalError, match="credential") as caught:
            from_wire({**CONFIG, "ice_servers": [server]}, PeerConfig)
        assert "s3cret" not in str(caught.value)

    def test_a_long_name_is_shortened_in_the_sentence(self) -> None:
        with pytest.raises(SignalError) as caught:
            from_wire({**OFFER, "9" * 1000: 1}, Offer)
        assert len(caught.value.problem) < 200

    @pytest.mark.parametrize(
        "line", [b"", b"{", b"\xff", b"7", b"null", b"[]", b"{}", b'{"stream": "a"}']
    )
    def test_a_line_that_encode_did_not_write_is_refused(self, line: bytes) -> None:
        with pytest.raises(SignalError, match="cannot read a line of"):
            decode_line(line, Log)

    def test_a_line_is_refused_for_its_message_too(self) -> None:
        with pytest.raises(SignalError, match="Invalid value 'Bye'"):
            decode_line(encode("a", Bye(view="a")), Log)
