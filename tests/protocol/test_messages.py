"""Messages: what is written can be read, and nothing else can."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import types
import typing
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import SignalError
from gpuview.protocol import messages
from gpuview.protocol.codec import decode_line, encode, from_wire, to_wire
from gpuview.protocol.messages import (
    MAX_SDP_CHARS,
    Bye,
    GetPeerConfig,
    IceServer,
    Log,
    Message,
    Offer,
    OpenStream,
    PeerConfig,
    Stats,
    Status,
)
from gpuview.protocol.stats import NetworkStats, ViewerStats

KINDS: list[type[Message]] = [
    each
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
    if origin is types.UnionType:
        return st.one_of(*(field_values(name, each) for each in arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is list:
        return st.lists(field_values("", arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(st.text(), JSON, max_size=3)
    if dataclasses.is_dataclass(hint):
        return made(hint)
    plain = {
        str: st.text(max_size=200),
        int: st.integers(),
        float: st.floats(allow_nan=False),
        bool: st.booleans(),
        type(None): st.none(),
    }
    return plain[hint]


def made(kind: Any) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind)
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

    def test_an_ice_server_shows_no_credential(self) -> None:
        server = IceServer(urls=["turn:a"], username="ann", credential="s3cret")
        assert "s3cret" not in repr(PeerConfig(view="a", ice_servers=[server]))


OFFER = {"type": "Offer", "view": "a", "seq": 1, "sdp": "v=0"}
WELCOME = {"type": "PeerConfig", "view": "a"}


class TestRefusal:
    @pytest.mark.parametrize(
        ("data", "problem"),
        [
            (None, "a message of type NoneType"),
            ([OFFER], "a message of type list"),
            ("Offer", "a message of type str"),
            ({}, "with type = None"),
            ({"type": 7}, "with type = 7"),
            ({"type": []}, r"with type = \[\]"),
            ({"type": "Message"}, "with type = 'Message'"),
            ({"type": "IceServer", "urls": []}, "with type = 'IceServer'"),
            ({"type": "Answer", "view": "a"}, "with type = 'Answer'"),
            ({**OFFER, "extra": 1}, "field 'extra' of Offer: no such field"),
            ({"type": "Offer", "view": "a", "sdp": "v=0"}, "field 'seq' of Offer: missing"),
            ({**OFFER, "seq": "1"}, "field 'seq' of Offer: '1' is of type str"),
            ({**OFFER, "seq": 1.0}, "field 'seq' of Offer: 1.0 is of type float"),
            ({**OFFER, "seq": True}, "field 'seq' of Offer: True is of type bool"),
            ({**OFFER, "seq": None}, "field 'seq' of Offer: None is of type NoneType"),
            ({**OFFER, "sdp": {}}, "field 'sdp' of Offer: {} is of type dict"),
            ({**OFFER, "view": 7}, "field 'view' of Offer: 7 is of type int"),
            ({**OFFER, "view": ""}, "field 'view' of Offer: '' is not a view id"),
            ({**OFFER, "view": "a b"}, "'a b' is not a view id"),
            ({**OFFER, "view": "a\n"}, "is not a view id"),
            ({**OFFER, "view": "é"}, "is not a view id"),
            ({**OFFER, "view": "a" * 65}, "is not a view id"),
            (
                {**WELCOME, "ice_servers": {}},
                "field 'ice_servers' of PeerConfig: {} is of type dict",
            ),
            ({**WELCOME, "ice_servers": ["stun:a"]}, "'stun:a' is of type str"),
            ({**WELCOME, "ice_servers": [{}]}, "field 'urls' of IceServer: missing"),
            ({**WELCOME, "ice_servers": [{"urls": [7]}]}, "field 'urls' of IceServer: 7 is of"),
            ({**WELCOME, "ice_servers": [{"url": "a"}]}, "field 'url' of IceServer: no such field"),
            ({"type": "Status", "state": "odd"}, "field 'state' of Status: 'odd' is not one of"),
            ({"type": "Status", "state": []}, "field 'state' of Status"),
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
        with pytest.raises(SignalError, match="with type = 'Bye'") as caught:
            from_wire({"type": "Bye", "view": "a"}, Offer, GetPeerConfig)
        assert caught.value.expected == "one of Offer, GetPeerConfig"

    def test_the_longest_sdp_is_read_and_a_longer_one_is_not(self) -> None:
        longest = "v" * MAX_SDP_CHARS
        assert from_wire({**OFFER, "sdp": longest}, Offer) == Offer(view="a", seq=1, sdp=longest)
        with pytest.raises(SignalError, match="65537 characters, more than 65536"):
            from_wire({**OFFER, "sdp": longest + "v"}, Offer)

    def test_a_long_value_is_shortened_in_the_sentence(self) -> None:
        with pytest.raises(SignalError) as caught:
            from_wire({**OFFER, "seq": "9" * 1000}, Offer)
        assert len(caught.value.problem) < 200

    @pytest.mark.parametrize(
        "line", [b"", b"{", b"\xff", b"7", b"null", b"[]", b"{}", b'{"stream": "a"}']
    )
    def test_a_line_that_encode_did_not_write_is_refused(self, line: bytes) -> None:
        with pytest.raises(SignalError, match="cannot read a line of"):
            decode_line(line, Log)

    def test_a_line_is_refused_for_its_message_too(self) -> None:
        with pytest.raises(SignalError, match="with type = 'Bye'"):
            decode_line(encode("a", Bye(view="a")), Log)
