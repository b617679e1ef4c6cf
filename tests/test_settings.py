"""Settings: from code and environment, and every contradiction named when they are made."""

from __future__ import annotations

import json
import os
import warnings

import pytest

from gpuview.errors import SettingsError
from gpuview.settings import Settings
from gpuview.wire.messages import IceServer

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
        assert settings.all_ice_servers == ()
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
        assert caught.value.fix == "say public_ip="


class TestPublicIp:
    def test_one_address_of_each_family_can_be_given(self) -> None:
        settings = Settings(public_ip="203.0.113.9, 2001:db8::9")
        assert settings.public_ips == ("203.0.113.9", "2001:db8::9")

    @pytest.mark.parametrize("text", ["example.org", "203.0.113", "203.0.113.9:80", "0.0.0.0"])
    def test_what_is_no_address_is_an_error(self, text: str) -> None:
        with pytest.raises(SettingsError, match="cannot use public_ip = "):
            Settings(public_ip=text)

    def test_two_of_one_family_are_an_error(self) -> None:
        with pytest.raises(SettingsError, match=r"both 2001:db8::1 and 2001:db8::2"):
            Settings(public_ip="2001:db8::1,2001:db8::2")

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

    def test_the_short_forms_come_after_the_list(self) -> None:
        first = IceServer(urls=["stun:first.example.org"])
        settings = Settings(ice_servers=(first,), stun_url="stun:second.example.org", **TURN)
        assert settings.all_ice_servers == (
            first,
            IceServer(urls=["stun:second.example.org"]),
            IceServer(urls=["turn:turn.example.org"], username="ann", credential="s3cret"),
        )

    def test_text_that_is_no_json_is_an_error_that_does_not_repeat_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GPUVIEW_ICE_SERVERS", "[{'credential': 's3cret'}]")
        with pytest.raises(SettingsError, match="cannot read ice_servers as JSON") as caught:
            Settings()
        assert "s3cret" not in str(caught.value)

    def test_a_short_form_is_checked_when_the_settings_are_made(self) -> None:
        with pytest.raises(SettingsError, match="no // stands in these URLs"):
            Settings(stun_url="stun://stun.example.org")

    def test_turn_without_its_login_is_an_error(self) -> None:
        with pytest.raises(SettingsError, match="without a username and a credential"):
            Settings(turn_url="turn:turn.example.org")

    def test_a_login_without_its_server_is_an_error(self) -> None:
        with pytest.raises(SettingsError, match="without turn_url"):
            Settings(turn_username="ann", turn_credential="s3cret")


class TestSettings:
    def test_do_not_change(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            Settings().port_min = 1  # type: ignore[misc]

    def test_never_show_a_credential(self) -> None:
        server = IceServer(urls=["turn:a"], username="ann", credential="s3cret")
        settings = Settings(ice_servers=(server,), **TURN)
        assert "s3cret" not in repr(settings)
        assert "s3cret" not in str(settings)
        assert "s3cret" not in repr(settings.all_ice_servers)

    def test_never_show_a_credential_of_a_wrong_type(self) -> None:
        with pytest.raises(SettingsError, match="a value of type list") as caught:
            Settings(turn_credential=["s3cret"])  # type: ignore[arg-type]
        assert "s3cret" not in str(caught.value)
