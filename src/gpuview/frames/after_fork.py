"""Locks that a forked child finds free, whichever thread of the parent held them."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["renew_locks_after_fork"]


class LockOwner(Protocol):
    def renew_locks(self) -> None:
        """Replace all locks: nobody is left in this process to release the old ones."""


_owners: WeakSet[LockOwner] = WeakSet()


def renew_locks_after_fork(owner: LockOwner) -> None:
    """Call ``owner.renew_locks()`` in each child that this process forks, while it lives."""
    _owners.add(owner)


def _renew_all() -> None:
    for owner in list(_owners):
        owner.renew_locks()


os.register_at_fork(after_in_child=_renew_all)
