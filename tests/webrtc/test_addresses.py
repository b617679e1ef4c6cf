"""What an address is: private or not, as the page sees it, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpuview.webrtc.addresses import is_private, parse_address

# js/tests/addresses.test.ts reads the same table.
TABLE = json.loads((Path(__file__).parents[1] / "data" / "private_addresses.json").read_text())


@pytest.mark.parametrize(("text", "expected"), TABLE.items())
def test_an_address_is_private_where_the_internet_does_not_route_it(
    text: str, expected: bool
) -> None:
    address = parse_address(text)
    assert address is not None
    assert is_private(address) is expected
