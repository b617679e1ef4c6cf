"""The service's pure parts: its configuration, its limits, and the names in its logins."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.errors import SettingsError
from gpuview.hub.configuration import parse_turn_urls, place, read_secret
from gpuview.hub.handlers import login_name
from gpuview.hub.user_limits import UserLimits

SECRET = "0123456789abcdef0123"
URL = "turn:turn.example.org:3478?transport=udp"
ENVIRON = {
    "JUPYTERHUB_SERVICE_PREFIX": "/jupyter/services/gpuview/",
    "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:10105",
    "JUPYTERHUB_API_TOKEN": "t0ken",
}


class TestSecret:
    def test_it_comes_from_a_file_or_else_from_the_environment(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text(f"{SECRET}\n")
        file.chmod(0o600)
        environ = {"TURN_SECRET": f"{SECRET}-of-the-environment"}
        assert read_secret(str(file), environ) == SECRET
        assert read_secret("", environ) == environ["TURN_SECRET"]

    @pytest.mark.parametrize(
        ("secret", "problem"),
        [
            ("", "without the secret"),
            (" \n", "without the secret"),
            ("short-secret", "a secret of 12 characters from TURN_SECRET"),
            ("0123456789\0abcdef", "a secret of 17 characters"),
        ],
    )
    def test_none_or_a_short_one_is_refused_without_showing_it(
        self, secret: str, problem: str
    ) -> None:
        with pytest.raises(SettingsError, match=problem) as caught:
            read_secret("", {"TURN_SECRET": secret})
        assert "openssl rand -hex 32" in caught.value.fix
        assert caught.value.expected
        assert "short-secret" not in str(caught.value)

    @pytest.mark.parametrize("content", [None, b"", b"\xff" * 32])
    def test_a_file_that_has_none_is_refused(self, tmp_path: Path, content: bytes | None) -> None:
        file = tmp_path / "secret"
        if content is not None:
            file.write_bytes(content)
            file.chmod(0o600)
        with pytest.raises(SettingsError, match=r"cannot read the secret's file|without the secre"):
            read_secret(str(file), {"TURN_SECRET": SECRET})

    def test_a_file_that_everybody_can_read_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text(SECRET)
        file.chmod(0o644)
        with pytest.raises(SettingsError, match="every user of this machine can read") as caught:
            read_secret(str(file), {})
        assert caught.value.fix.startswith(f"chmod 600 {file}")


class TestUrls:
    def test_they_have_commas_between_them(self) -> None:
        assert parse_turn_urls(f"{URL}, turns:turn.example.org,") == [
            URL,
            "turns:turn.example.org",
        ]

    @pytest.mark.parametrize("text", ["", ",", "stun:turn.example.org", f"{URL},http://a"])
    def test_none_or_others_are_refused(self, text: str) -> None:
        with pytest.raises(SettingsError) as caught:
            parse_turn_urls(text)
        assert caught.value.fix


class TestPlace:
    def test_the_hub_says_where(self) -> None:
        assert place(ENVIRON) == ("/jupyter/services/gpuview/", "127.0.0.1", 10105)

    @pytest.mark.parametrize("name", ENVIRON)
    def test_without_a_hub_there_is_none(self, name: str) -> None:
        with pytest.raises(SettingsError, match="cannot run without a JupyterHub"):
            place({**ENVIRON, name: ""})


class TestLimits:
    def test_each_user_has_a_minutes_worth_at_once_and_then_so_many_a_minute(self) -> None:
        limits = UserLimits(3)
        assert [limits.stops("ann", 100.0) for _ in range(4)] == [False, False, False, True]
        assert not limits.stops("bob", 100.0)
        assert limits.stops("ann", 119.0)
        assert not limits.stops("ann", 121.0)

    def test_who_has_not_asked_for_a_minute_is_forgotten(self) -> None:
        limits = UserLimits(3)
        for n in range(1000):
            limits.stops(f"user{n}", 100.0 + n)
        assert len(limits) == 60
        assert [limits.stops("user0", 1100.0) for _ in range(4)] == [False, False, False, True]

    def test_a_user_who_goes_on_asking_is_not_forgotten(self) -> None:
        limits = UserLimits(3)
        stopped = [limits.stops("ann", float(second)) for second in range(200)]
        assert 0.9 < sum(stopped) / len(stopped) < 0.97


@given(st.text(max_size=300))
def test_any_name_is_one_word_of_ascii_in_a_login(name: str) -> None:
    made = login_name(name.encode(errors="ignore").decode())
    assert made.isascii()
    assert made.isprintable()
    assert len(made) <= 256
    assert ":" not in made


def test_usual_names_are_kept() -> None:
    assert login_name("ann.lee-1@example.org") == "ann.lee-1@example.org"
