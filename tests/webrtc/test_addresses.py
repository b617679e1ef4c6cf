"""Which addresses are private, for the kernel and for the page, and which texts are host names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpuview.webrtc.addresses import is_host_name, is_private, parse_address

# js/tests/addresses.test.ts reads the same table.
TABLE = json.loads((Path(__file__).parents[1] / "data" / "private_addresses.json").read_text())


@pytest.mark.parametrize(("text", "expected"), TABLE.items())
def test_an_address_is_private_where_the_internet_does_not_route_it(
    text: str, expected: bool
) -> None:
    address = parse_address(text)
    assert address is not None
    assert is_private(address) is expected


def test_a_host_name_is_not_private() -> None:
    assert not is_private(parse_address("localhost"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", True),
        ("gpu-1.example.org.", True),
        ("host_1", True),
        ("", False),
        ("-a", False),
        ("a b", False),
        ("203.0.113", False),
        ("a" * 254, False),
    ],
)
def test_a_host_name_is_told_from_an_address(text: str, expected: bool) -> None:
    assert is_host_name(text) is expected
