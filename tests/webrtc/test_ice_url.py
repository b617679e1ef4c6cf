"""ICE servers: the W3C form is parsed, and every mistake in it is named."""

from __future__ import annotations

import pytest
from aiortc.rtcicetransport import parse_stun_turn_uri
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import SettingsError
from gpuview.protocol.page_messages import IceServer
from gpuview.webrtc.ice_server_list import parse_ice_servers
from gpuview.webrtc.ice_url import (
    IceUrl,
    parse_ice_url,
    server_urls,
)

LOGIN = {"username": "ann", "credential": "s3cret"}

GOOD_URLS = [
    "stun:stun.example.org",
    "stun:stun.example.org:19302",
    "stuns:192.0.2.1:5349",
    "turn:turn.example.org:3478?transport=udp",
    "turn:host_1?transport=tcp",
    "turns:turn.example.org.:443?transport=tcp",
]
BRACKETED_URLS = ["stun:[2001:db8::1]", "turn:[2001:db8::1]:3478?transport=udp"]


@pytest.mark.parametrize("url", GOOD_URLS + BRACKETED_URLS)
def test_a_good_url_is_kept_as_it_is(url: str) -> None:
    assert parse_ice_servers([{"urls": url, **LOGIN}]) == (IceServer(urls=[url], **LOGIN),)


@pytest.mark.parametrize("url", GOOD_URLS)
def test_aiortc_reads_every_url_that_is_accepted(url: str) -> None:
    assert parse_stun_turn_uri(url)["host"] in url


def test_several_urls_share_one_login() -> None:
    urls = ["turn:a.example.org", "turns:a.example.org"]
    assert parse_ice_servers([{"urls": urls, **LOGIN}]) == (IceServer(urls=urls, **LOGIN),)


def test_parsed_servers_can_be_parsed_again() -> None:
    servers = parse_ice_servers([{"urls": "stun:a"}, {"urls": ["turn:b"], **LOGIN}])
    assert parse_ice_servers(servers) == servers


def test_an_empty_list_is_accepted() -> None:
    assert parse_ice_servers([]) == ()


@pytest.mark.parametrize(
    ("url", "problem", "fix"),
    [
        ("stun://stun.example.org", "these URLs have no //", "write 'stun:stun.example.org'"),
        ("STUN:stun.example.org", "scheme = 'STUN'", "write 'stun:stun.example.org'"),
        ("trun:a.example.org", "scheme = 'trun'", "write 'turn:a.example.org'"),
        ("http://example.org", "scheme = 'http'", "put stun: or turn: before it"),
        ("stun.example.org:19302", "scheme = 'stun.example.org'", "put stun: or turn: before it"),
        ("stun.example.org", "scheme = ''", "put stun: or turn: before it"),
        ("", "scheme = ''", "put stun: or turn: before it"),
        ("stun:", "host = ''", "host name or address"),
        ("stun:a b", "host = 'a b'", "host name or address"),
        ("stun:-a", "host = '-a'", "host name or address"),
        ("stun:300.1.2.3", "host = '300.1.2.3'", "host name or address"),
        ("stun:[203.0.113.9]", "host = '[203.0.113.9]'", "host name or address"),
        ("stun:[2001:db8::1", "host = '[2001'", "IPv6 in [ ]"),
        ("stun:2001:db8::1", "host = '2001'", "IPv6 in [ ]"),
        ("stun:fd00::1", "port = ':1'", "IPv6 addresses in [ ]"),
        ("stun:a:0", "port = '0'", "from 1 to 65535"),
        ("stun:a:65536", "port = '65536'", "from 1 to 65535"),
        ("stun:a:", "port = ''", "from 1 to 65535"),
        ("stun:a:٣", "port = '٣'", "from 1 to 65535"),
        ("stun:a?transport=udp", "query = 'transport=udp'", "leave out the ?"),
        ("turn:a?transport=tls", "query = 'transport=tls'", "transport=udp or ?transport=tcp"),
        ("turn:a?", "query = ''", "transport=udp or ?transport=tcp"),
    ],
)
def test_a_bad_url_is_refused_with_its_fix(url: str, problem: str, fix: str) -> None:
    with pytest.raises(SettingsError, match="cannot use the ICE server") as caught:
        parse_ice_servers([{"urls": url, **LOGIN}])
    assert problem in caught.value.problem
    assert fix in caught.value.fix


@pytest.mark.parametrize("login", [{}, {"username": "ann"}, {"credential": "s3cret"}])
def test_turn_without_a_full_login_is_refused(login: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="without a username and a credential"):
        parse_ice_servers([{"urls": ["stun:a", "turns:a"], **login}])


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"urls": "stun:a"}, "from a value of type dict"),
        ("stun:a", "from a value of type str"),
        (None, "from a value of type NoneType"),
        (["stun:a"], "an ICE server from a value of type str"),
        ([{}], "with urls = None"),
        ([{"urls": []}], r"with urls = \[\]"),
        ([{"urls": 7}], "with urls = 7"),
        ([{"urls": [7]}], "it is not a string"),
        ([{"url": "stun:a"}], "with the key 'url'"),
        ([{"urls": "stun:a", "username": 7}], "whose username is of type int"),
    ],
)
def test_anything_but_the_w3c_form_is_refused(value: object, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        parse_ice_servers(value)


def test_a_mistyped_key_is_named_with_the_closest_one() -> None:
    with pytest.raises(SettingsError, match="write 'credential'"):
        parse_ice_servers([{"urls": "turn:a", "credentials": "s3cret"}])


@pytest.mark.parametrize(
    "server",
    [
        {"urls": "turn:ann:s3cret@turn.example.org"},
        {"urls": "turn:a", "credential": ["s3cret"]},
        {"urls": "turn:a", "credential": "s3cret"},
        {"urls": "turn:a", "credentials": "s3cret"},
    ],
)
def test_no_error_repeats_a_credential(server: dict[str, object]) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_ice_servers([server])
    assert "s3cret" not in str(caught.value)


def test_a_servers_repr_hides_its_credential() -> None:
    assert "s3cret" not in repr(parse_ice_servers([{"urls": "turn:a", **LOGIN}]))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("stun:a.example.org", IceUrl("stun", "a.example.org", 3478, "udp")),
        ("stuns:a", IceUrl("stuns", "a", 5349, "tcp")),
        ("turn:a:3479", IceUrl("turn", "a", 3479, "udp")),
        ("turn:a?transport=tcp", IceUrl("turn", "a", 3478, "tcp")),
        ("turns:192.0.2.1:443", IceUrl("turns", "192.0.2.1", 443, "tcp")),
        ("turns:a?transport=udp", IceUrl("turns", "a", 5349, "udp")),
        ("turn:[2001:db8::1]:80?transport=udp", IceUrl("turn", "2001:db8::1", 80, "udp")),
    ],
)
def test_parts_that_a_url_leaves_out_get_defaults(url: str, expected: IceUrl) -> None:
    assert parse_ice_url(url) == expected


@pytest.mark.parametrize("url", GOOD_URLS)
def test_a_url_is_read_as_aiortc_reads_it(url: str) -> None:
    ours, theirs = parse_ice_url(url), parse_stun_turn_uri(url)
    assert (ours.scheme, ours.host) == (theirs["scheme"], theirs["host"])
    assert (ours.port, ours.transport) == (theirs["port"], theirs.get("transport", ours.transport))


def test_a_url_says_whether_it_is_for_turn_and_whether_it_uses_tls() -> None:
    urls = [parse_ice_url(f"{scheme}:a") for scheme in ("stun", "stuns", "turn", "turns")]
    assert [url.is_turn for url in urls] == [False, False, True, True]
    assert [url.is_secure for url in urls] == [False, True, False, True]


@given(st.text(max_size=40) | st.from_regex(r"(stun|turns?):[a-z0-9.:\[\]?=]*", fullmatch=True))
def test_any_text_is_parsed_or_refused(url: str) -> None:
    try:
        parsed = parse_ice_url(url)
    except SettingsError:
        return
    assert parsed.host
    assert 1 <= parsed.port <= 65535


def test_each_url_has_its_servers_login_once_and_does_not_show_it() -> None:
    turn = IceServer(urls=["turn:a.example", "turn:b.example"], username="me", credential="s3cret")
    found = server_urls([turn, IceServer(urls=["stun:a.example"]), turn])
    assert [each.text for each in found] == ["turn:a.example", "turn:b.example", "stun:a.example"]
    assert [each.login for each in found] == [("me", "s3cret")] * 2 + [("", "")]
    assert "s3cret" not in repr(found)


def test_urls_that_differ_in_spelling_only_are_one_server() -> None:
    urls = ["turn:a.example", "turn:a.example:3478", "turn:a.example?transport=udp"]
    others = ["turn:a.example?transport=tcp", "turn:b.example"]
    found = server_urls([IceServer(urls=urls + others, username="u", credential="c")])
    assert [each.text for each in found] == [urls[0], *others]
    two_logins = [IceServer(urls=urls, username=name, credential="c") for name in "uv"]
    assert [each.login[0] for each in server_urls(two_logins)] == ["u", "v"]
