"""Imports aioice without its mDNS client.

The client takes dnspython, a tenth of what this process imports before it can answer. It would
resolve ``.local`` candidates, which never reach aioice: a page's address is learned from its
connectivity checks.
"""

from __future__ import annotations

import sys
from types import ModuleType

__all__ = ["leave_out_mdns"]

_NAME = "aioice.mdns"


def leave_out_mdns() -> None:
    """Put an empty client in the place of aioice's. Call it before aioice is imported."""
    if _NAME in sys.modules:
        return
    stand_in = ModuleType(_NAME)
    vars(stand_in).update(MDnsProtocol=object, is_mdns_hostname=lambda _name: False)
    sys.modules[_NAME] = stand_in
