"""Which worker of its run this process is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gpuview.errors import SettingsError

__all__ = ["Identity", "checked_rank", "identity_in"]

_MAX_RANK = 2**31 - 1

# By what starts the workers. Within a Slurm job, torchrun sets its own ones as well, which count.
_VARIABLES = (
    ("RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("LOCAL_RANK", "LOCAL_WORLD_SIZE"),
)


@dataclass(frozen=True)
class Identity:
    """A rank of a job; the only one if nothing says otherwise."""

    rank: int = 0
    world_size: int = 1


def identity_in(environment: Mapping[str, str], rank: int | None = None) -> Identity:
    """Return who this process is by the environment that torchrun, Ray Train or srun has set.

    Args:
        environment: Its variables; one that is no number is passed over.
        rank: What the user says instead; None: nothing.
    """
    found = Identity()
    for rank_name, size_name in _VARIABLES:
        given = _number(environment.get(rank_name))
        if given is not None:
            size = _number(environment.get(size_name))
            found = Identity(given, max(size or 1, given + 1))
            break
    if rank is None:
        return found
    return Identity(checked_rank(rank), max(found.world_size, rank + 1))


def checked_rank(rank: object) -> int:
    """Return ``rank``.

    Raises:
        SettingsError: It is not an integer from 0 on, or too large.
    """
    is_rank = isinstance(rank, int) and not isinstance(rank, bool) and 0 <= rank < _MAX_RANK
    if not is_rank:
        raise SettingsError(
            f"cannot use {rank = }",
            expected="a whole number from 0 on",
            fix="leave rank out: 0 is shown, and a worker reads its own from RANK or SLURM_PROCID",
        )
    assert isinstance(rank, int)
    return rank


def _number(text: str | None) -> int | None:
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if is_number and text is not None else None
