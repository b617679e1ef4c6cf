"""The error tree: three sentences, that survive a trip through pickle."""

from __future__ import annotations

import copy
import errno
import pickle
import sys

import pytest

from gpuview import errors
from gpuview.errors import (
    ConnectTimeout,
    GpuviewError,
    MediaEndedError,
    MediaError,
    NetworkError,
    StreamClosedError,
    closest,
    shorten,
    system_refusal,
)

ALL = [getattr(errors, name) for name in errors.__all__ if isinstance(getattr(errors, name), type)]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_told_in_three_parts(kind: type[GpuviewError]) -> None:
    error = kind("the sky is green", expected="blue", fix="look again")
    assert str(error) == "the sky is green\n  expected: blue\n  try:      look again"
    assert (error.problem, error.expected, error.fix) == ("the sky is green", "blue", "look again")
    assert isinstance(error, GpuviewError)


@pytest.mark.parametrize("kind", ALL)
def test_every_error_survives_pickle_and_copy(kind: type[GpuviewError]) -> None:
    error = kind("the sky is green", expected="blue", fix="look again")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert str(twin) == str(error)


def test_a_connect_timeout_is_caught_as_a_network_error() -> None:
    assert issubclass(ConnectTimeout, NetworkError)


def test_a_closed_stream_is_told_from_a_media_process_that_failed_or_ended() -> None:
    assert issubclass(MediaEndedError, MediaError)
    assert not issubclass(StreamClosedError, MediaError)


def test_no_part_can_be_left_out() -> None:
    with pytest.raises(TypeError, match="fix"):
        GpuviewError("the sky is green", expected="blue")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "meant"), [("prot_min", "port_min"), ("public_ips", "public_ip"), ("zzz", None)]
)
def test_the_closest_name_is_found_or_none(name: str, meant: str | None) -> None:
    assert closest(name, ["port_max", "port_min", "public_ip"]) == meant


def test_half_a_surrogate_pair_is_written_out_because_no_page_could_be_told() -> None:
    error = GpuviewError("it said \ud800", expected="\udcff", fix="none \U0001f600")
    assert (error.problem, error.expected) == ("it said \\ud800", "\\udcff")
    assert str(error).encode().decode().endswith("\U0001f600")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two  \n words", "two words"),
        ("x" * 3000, "x" * 16 + " ..."),
        ("x" * 20, "x" * 20),
        ("many words of text here", "many words of te ..."),
        ("", ""),
    ],
)
def test_text_is_cut_to_one_line_and_never_dropped_whole(text: str, shown: str) -> None:
    assert shorten(text, 20) == shown


@pytest.mark.parametrize(
    ("exc", "expected", "fix"),
    [
        (OSError(errno.EMFILE, "Too many"), "a few free file descriptors", "raise ulimit -n"),
        (OSError(errno.EAGAIN, "again"), "room for one more process", "ulimit -u"),
        (OSError(errno.ENOMEM, "no memory"), "that much memory free", "smaller pictures"),
        (OSError(errno.ENOSPC, "no space"), "that much memory free", "smaller pictures"),
        (OSError(errno.EPERM, "no"), "a system that permits it", "gpuview doctor"),
        (OSError("no number"), "a system that permits it", "gpuview doctor"),
        (AttributeError("no 'eventfd'"), sys.executable, "another build of Python"),
    ],
)
def test_advice_fits_what_the_system_refuses(exc: OSError, expected: str, fix: str) -> None:
    error = system_refusal("start it", exc)
    assert error.problem == f"cannot start it: {exc}"
    assert expected in error.expected
    assert fix in error.fix
