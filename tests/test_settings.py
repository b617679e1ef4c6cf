"""Settings: from code and environment, and every contradiction named when they are made."""

from __future__ import annotations

import json
import os
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import SettingsError
from gpuview.protocol.page_messages import IceServer
from gpuview.settings import Settings

TURN = {"turn_url": "turn:turn.example.org", "turn_username": "ann", "turn_credential": "s3cret"}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("GPUVIEW_"):
            monkeypatch.delenv(name)


class TestSources:
    def test_without_any_nothing_is_set(self) -> None:
        settings = Settings()
        assert settings.public_ips == ()
        assert not settings.has_ice_servers
        assert (settings.port_min, settings.port_max) == (None, None)

    def test_the_environment_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GPUVIEW_PUBLIC_IP", "203.0.113.9")
        monkeypatch.setenv("GPUVIEW_PORT_MIN", "10111")
        monkeypatch.setenv("GPUVIEW_PORT_MAX", "10115")
        settings = Settings()
        assert settings.public_ips == ("203.0.113.9",)
        assert (settings.port_min, settings.port_max) == (10111, 10115)

    def test_code_wins_over_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GPUVIEW_PUBLIC_IP", "203.0.113.9")
        assert Settings(public_ip="198.51.100.1").public_ips == ("198.51.100.1",)

    def test_an_empty_variable_counts_as_unset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GPUVIEW_PORT_MIN", "")
        monkeypatch.setenv("GPUVIEW_ICE_SERVERS", "")
        assert Settings() == Settings(port_min=None)

    def test_a_bad_variable_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GPUVIEW_PORT_MIN", "many")
        with pytest.raises(SettingsError, match="cannot use port_min = 'many'"):
            Settings()

    def test_an_unknown_variable_is_a_warning_that_points_at_the_caller(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GPUVIEW_PUBLC_IP", "203.0.113.9")
        with pytest.warns(UserWarning, match="did you mean GPUVIEW_PUBLIC_IP") as caught:
            Settings()
        assert [warning.filename for warning in caught] == [__file__]

    def test_other_variables_and_the_tests_own_are_let_be(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GPUVIEW_REQUIRE_CUDA", "1")
        monkeypatch.setenv("OTHER_PUBLIC_IP", "203.0.113.9")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Settings()

    def test_an_unknown_keyword_is_an_error_with_the_closest_match(self) -> None:
        with pytest.raises(SettingsError, match="there is no setting 'publik_ip'") as caught:
            Settings(publik_ip="203.0.113.9")  # type: ignore[call-arg]
        assert caught.value.fix == "write public_ip="


class TestCarriers:
    def test_all_are_allowed(self) -> None:
        assert Settings().carriers == ("webrtc", "socket", "comm")

    @pytest.mark.parametrize("value", ["comm, webrtc", ("comm", "webrtc"), ["webrtc", "comm"] * 2])
    def test_their_order_and_number_do_not_matter(self, value: Any) -> None:
        assert Settings(carriers=value).carriers == ("webrtc", "comm")

    @pytest.mark.parametrize("value", ["udp", (), ("comm", 1), 7])
    def test_others_are_refused(self, value: Any) -> None:
        with pytest.raises(SettingsError, match="cannot use carriers = "):
            Settings(carriers=value)

    def test_the_environment_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GPUVIEW_CARRIERS", "socket")
        assert Settings().carriers == ("socket",)


class TestReplay:
    def test_it_is_some_seconds_or_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert Settings().replay_s == 10
        assert Settings(replay_s=0).replay_s == 0
        monkeypatch.setenv("GPUVIEW_REPLAY_S", "2.5")
        assert Settings().replay_s == 2.5

    @pytest.mark.parametrize("replay_s", [-1, 3601, float("nan"), "long"])
    def test_what_is_no_such_time_is_an_error(self, replay_s: Any) -> None:
        with pytest.raises(SettingsError, match="cannot use replay_s = ") as caught:
            Settings(replay_s=replay_s)
        assert caught.value.expected == "a number of seconds from 0 to 600"


class TestPublicIp:
    def test_one_address_of_each_family_can_be_given(self) -> None:
        settings = Settings(public_ip="203.0.113.9, 2001:db8::9")
        assert settings.public_ips == ("203.0.113.9", "2001:db8::9")

    @pytest.mark.parametrize(
        "text",
        [
            "203.0.113",
            "203.0.113.9:80",
            "0.0.0.0",
            "http://example.org",
            "-a.example.org",
            "[2001:db8::9]",
            "fe80::1%eth0",
            "::ffff:203.0.113.9",
            "224.0.0.1",
        ],
    )
    def test_what_is_no_address_is_an_error(self, text: str) -> None:
        with pytest.raises(SettingsError, match="cannot use public_ip = "):
            Settings(public_ip=text)

    def test_two_of_one_family_are_an_error(self) -> None:
        with pytest.raises(SettingsError, match=r"both 2001:db8::1 and 2001:db8::2"):
            Settings(public_ip="2001:db8::1,2001:db8::2")

    @pytest.mark.parametrize("text", ["10.1.2.3", "192.168.77.2", "127.0.0.1", "fd00::1"])
    def test_a_private_address_is_taken(self, text: str) -> None:
        assert Settings(public_ip=text).public_ips == (text,)

    def test_a_host_name_is_taken_and_not_looked_up(self) -> None:
        assert Settings(public_ip="gpu.invalid").public_ips == ("gpu.invalid",)

    def test_auto_is_what_stun_servers_see(self) -> None:
        settings = Settings(public_ip="auto", stun_url="stun:a")
        assert settings.learns_public_ip
        assert settings.public_ips == ()

    @pytest.mark.parametrize("servers", [{}, {"stun_url": "stun:a", "kernel_ice_servers": ()}])
    def test_auto_without_a_server_for_the_kernel_is_an_error(
        self, servers: dict[str, Any]
    ) -> None:
        with pytest.raises(SettingsError, match="'auto' without a STUN server"):
            Settings(public_ip="auto", **servers)

    def test_auto_with_an_address_beside_it_is_an_error(self) -> None:
        with pytest.raises(SettingsError, match=r"public_ip = 'auto,203.0.113.9'"):
            Settings(public_ip="auto,203.0.113.9", stun_url="stun:a")

    def test_what_is_no_string_is_an_error(self) -> None:
        with pytest.raises(SettingsError, match="cannot use public_ip = 7") as caught:
            Settings(public_ip=7)  # type: ignore[arg-type]
        assert caught.value.expected == "a string"


class TestPorts:
    def test_the_first_port_alone_is_the_only_one(self) -> None:
        settings = Settings(port_min=10111)
        assert (settings.port_min, settings.port_max) == (10111, 10111)

    @pytest.mark.parametrize("port", [0, -1, 65536, 1.5, "http"])
    def test_what_is_no_port_is_an_error(self, port: object) -> None:
        with pytest.raises(SettingsError, match="cannot use port_min = ") as caught:
            Settings(port_min=port)  # type: ignore[arg-type]
        assert caught.value.expected == "a whole number from 1 to 65535"

    def test_a_range_upside_down_is_an_error(self) -> None:
        with pytest.raises(SettingsError, match="port_min = 10115 with port_max = 10111"):
            Settings(port_min=10115, port_max=10111)

    def test_a_last_port_without_a_first_is_an_error(self) -> None:
        with pytest.raises(SettingsError, match="port_min = None with port_max = 10111"):
            Settings(port_max=10111)

    def test_ports_may_have_other_numbers_outside(self) -> None:
        settings = Settings(
            public_ip="203.0.113.9", port_min=10111, port_max=10115, public_port_min=20111
        )
        assert settings.public_port_min == 20111

    def test_ports_outside_must_be_ports_to_the_last(self) -> None:
        with pytest.raises(SettingsError, match="the last would be 65537") as caught:
            Settings(public_ip="203.0.113.9", port_min=10111, port_max=10115, public_port_min=65533)
        assert caught.value.expected == "at most 65531"

    @pytest.mark.parametrize("others", [{"public_ip": "203.0.113.9"}, {"port_min": 10111}])
    def test_ports_outside_need_the_inner_ones_and_an_address(self, others: dict[str, Any]) -> None:
        with pytest.raises(SettingsError, match="20111 without port_min and public_ip"):
            Settings(public_port_min=20111, **others)

    @given(*[st.sampled_from([None, 1, 10111, 10115, 65535]) | st.integers(-1, 65537)] * 3)
    def test_whatever_is_accepted_is_a_range_of_ports_on_both_sides(
        self, port_min: int | None, port_max: int | None, public_port_min: int | None
    ) -> None:
        try:
            settings = Settings(
                public_ip="203.0.113.9",
                port_min=port_min,
                port_max=port_max,
                public_port_min=public_port_min,
            )
        except SettingsError:
            return
        if settings.port_min is None or settings.port_max is None:
            assert settings.port_min is settings.port_max is settings.public_port_min is None
            return
        assert 1 <= settings.port_min <= settings.port_max <= 65535
        if settings.public_port_min is not None:
            last = settings.public_port_min + settings.port_max - settings.port_min
            assert 1 <= settings.public_port_min <= last <= 65535


class TestIceServers:
    def test_the_w3c_form_is_read_from_code(self) -> None:
        settings = Settings(ice_servers=[{"urls": "stun:a.example.org"}])  # type: ignore[arg-type]
        assert settings.ice_servers == (IceServer(urls=["stun:a.example.org"]),)

    def test_the_w3c_form_is_read_from_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        servers = [{"urls": ["turn:a"], "username": "ann", "credential": "s3cret"}]
        monkeypatch.setenv("GPUVIEW_ICE_SERVERS", json.dumps(servers))
        expected = IceServer(urls=["turn:a"], username="ann", credential="s3cret")
        assert Settings().ice_servers == (expected,)

    def test_text_that_is_no_json_is_an_error_that_does_not_repeat_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GPUVIEW_ICE_SERVERS", "[{'credential': 's3cret'}]")
        with pytest.raises(SettingsError, match="cannot read ice_servers as JSON") as caught:
            Settings()
        assert "s3cret" not in str(caught.value)

    def test_a_short_form_is_checked_when_the_settings_are_made(self) -> None:
        with pytest.raises(SettingsError, match="these URLs have no //"):
            Settings(stun_url="stun://stun.example.org")

    @pytest.mark.parametrize(("name", "url"), [("stun_url", "turn:a"), ("turn_url", "stun:a")])
    def test_a_url_of_the_other_kind_is_an_error(self, name: str, url: str) -> None:
        with pytest.raises(SettingsError, match=f"cannot use {name} = '{url}'"):
            Settings(**{name: url})  # type: ignore[arg-type]

    def test_a_url_of_no_kind_is_an_error(self) -> None:
        with pytest.raises(SettingsError, match="scheme = 'trun'") as caught:
            Settings(turn_url="turn:a,trun:b")
        assert caught.value.fix == "write 'turn:b'"

    @pytest.mark.parametrize("login", [{}, {"turn_username": "ann"}, {"turn_credential": "s3cret"}])
    def test_turn_without_its_login_is_an_error(self, login: dict[str, str]) -> None:
        with pytest.raises(SettingsError, match="without a username and a credential") as caught:
            Settings(turn_url="turn:turn.example.org", **login)  # type: ignore[arg-type]
        assert "turn_secret" in caught.value.expected

    @pytest.mark.parametrize(
        "login", [{"turn_username": "ann", "turn_credential": "s3cret"}, {"turn_secret": "s3cret"}]
    )
    def test_a_login_without_its_server_is_an_error(self, login: dict[str, str]) -> None:
        with pytest.raises(SettingsError, match="without turn_url") as caught:
            Settings(**login)  # type: ignore[arg-type]
        assert "s3cret" not in str(caught.value)

    def test_two_ways_to_log_in_are_an_error(self) -> None:
        with pytest.raises(SettingsError, match="turn_secret with turn_username") as caught:
            Settings(**TURN, turn_secret="t0p")  # type: ignore[arg-type]
        assert "t0p" not in str(caught.value)

    @pytest.mark.parametrize("ttl_s", [0, -1, "soon", 10**9])
    def test_a_time_to_live_is_some_seconds(self, ttl_s: object) -> None:
        with pytest.raises(SettingsError, match="cannot use turn_ttl_s = "):
            Settings(turn_url="turn:a", turn_secret="t0p", turn_ttl_s=ttl_s)  # type: ignore[arg-type]


class TestKernelServers:
    def test_cannot_be_a_function(self) -> None:
        with pytest.raises(SettingsError, match="from a value of type function"):
            Settings(kernel_ice_servers=_no_servers)  # type: ignore[arg-type]


class TestPolicies:
    @pytest.mark.parametrize("name", ["ice_transport_policy", "kernel_ice_transport_policy"])
    def test_relay_needs_a_relay(self, name: str) -> None:
        relay: dict[str, Any] = {name: "relay"}
        with pytest.raises(SettingsError, match=f"cannot use {name} = 'relay' without a TURN"):
            Settings(stun_url="stun:a", **relay)
        Settings(**TURN, **relay)
        Settings(ice_servers=_no_servers, **relay)
        Settings(ice_servers=(IceServer(urls=["turns:a"], username="a", credential="b"),), **relay)

    def test_relay_on_the_kernels_side_needs_one_there(self) -> None:
        with pytest.raises(SettingsError, match="kernel_ice_transport_policy = 'relay' without"):
            Settings(**TURN, kernel_ice_transport_policy="relay", kernel_ice_servers=())

    def test_what_is_no_policy_is_an_error(self) -> None:
        with pytest.raises(
            SettingsError, match="cannot use ice_transport_policy = 'turn'"
        ) as caught:
            Settings(**TURN, ice_transport_policy="turn")  # type: ignore[arg-type]
        assert caught.value.expected == "'all' or 'relay'"


class TestLog:
    @pytest.mark.parametrize("text", ["debug", "DEBUG"])
    def test_level_is_read_in_either_case(self, text: str) -> None:
        assert Settings(log=text).log == "debug"  # type: ignore[arg-type]

    @pytest.mark.parametrize("value", ["verbose", 10])
    def test_what_is_no_level_is_an_error(self, value: object) -> None:
        with pytest.raises(SettingsError, match="cannot use log = "):
            Settings(log=value)  # type: ignore[arg-type]


class TestSettings:
    def test_do_not_change(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            Settings().port_min = 1  # type: ignore[misc]

    def test_never_show_a_credential(self) -> None:
        server = IceServer(urls=["turn:a"], username="ann", credential="s3cret")
        settings = Settings(ice_servers=(server,), **TURN)
        assert "s3cret" not in repr(settings)
        assert "s3cret" not in str(settings)

    @pytest.mark.parametrize("name", ["turn_credential", "turn_secret"])
    def test_never_show_a_secret_of_a_wrong_type(self, name: str) -> None:
        with pytest.raises(SettingsError, match="a value of type list") as caught:
            Settings(**{name: ["s3cret"]})  # type: ignore[arg-type]
        assert "s3cret" not in str(caught.value)

    def test_keep_private_is_yes_or_no(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GPUVIEW_KEEP_PRIVATE", "1")
        assert Settings().keep_private
        monkeypatch.setenv("GPUVIEW_KEEP_PRIVATE", "perhaps")
        with pytest.raises(SettingsError, match="cannot use keep_private = 'perhaps'"):
            Settings()


def _no_servers() -> list[dict[str, str]]:
    return []


class TestEndpointForLogins:
    URL = "http://127.0.0.1:8000/services/gpuview/"

    def test_it_counts_as_a_turn_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GPUVIEW_TURN_CREDENTIALS_URL", self.URL)
        settings = Settings(ice_transport_policy="relay", kernel_ice_transport_policy="relay")
        assert settings.turn_credentials_url == self.URL
        assert settings.has_ice_servers
        assert settings.has_kernel_ice_servers

    @pytest.mark.parametrize(
        "url",
        [
            "hub",
            "ftp://hub/",
            "http://",
            "http://hub:x/",
            "http://[::1/",
            "http://hub/\r\n",
            "http://hub/ a",
        ],
    )
    def test_what_is_no_such_url_is_an_error(self, url: str) -> None:
        with pytest.raises(SettingsError, match="cannot use turn_credentials_url = "):
            Settings(turn_credentials_url=url)

    @pytest.mark.parametrize("name", ["turn_credentials_token", "turn_credentials_key"])
    def test_secrets_are_not_shown(self, name: str) -> None:
        with pytest.raises(SettingsError, match="without its endpoint"):
            Settings(**{name: "s3cret"})  # type: ignore[arg-type]
        for value in ("s3cret\n", 53, "s3crét"):
            with pytest.raises(SettingsError, match=f"cannot use {name}") as caught:
                Settings(turn_credentials_url=self.URL, **{name: value})  # type: ignore[arg-type]
            assert "cr" not in str(caught.value).replace(name, "").replace(name.upper(), "")
        with pytest.raises(SettingsError) as caught:
            Settings(turn_credentials_url="http://ann:s3cret@hub/")
        assert "s3cret" not in str(caught.value)
