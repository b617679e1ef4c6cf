"""Which rank a worker is, by what has started it."""

from __future__ import annotations

import pytest

from gpuview.cluster.identity import Identity, identity_in
from gpuview.errors import SettingsError


@pytest.mark.parametrize(
    ("environment", "identity"),
    [
        ({}, Identity(0, 1)),
        ({"RANK": "2", "LOCAL_RANK": "0", "WORLD_SIZE": "4"}, Identity(2, 4)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "8"}, Identity(3, 8)),
        # torchrun in a Slurm job: one task a node, several ranks in it.
        (
            {"RANK": "5", "WORLD_SIZE": "8", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"},
            Identity(5, 8),
        ),
        ({"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}, Identity(1, 2)),
        ({"RANK": "1"}, Identity(1, 2)),
        ({"RANK": "4", "WORLD_SIZE": "2"}, Identity(4, 5)),
        ({"RANK": "first", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, Identity(1, 2)),
        ({"RANK": "-1"}, Identity(0, 1)),
        ({"RANK": "9" * 30}, Identity(0, 1)),
        ({"RANK": "²"}, Identity(0, 1)),
    ],
)
def test_the_environment_says_which_rank_it_is(
    environment: dict[str, str], identity: Identity
) -> None:
    assert identity_in(environment) == identity


def test_the_user_has_the_last_word() -> None:
    assert identity_in({"RANK": "2", "WORLD_SIZE": "4"}, rank=1) == Identity(1, 4)
    assert identity_in({}, rank=6) == Identity(6, 7)


@pytest.mark.parametrize("rank", [-1, 1.0, "1", True, 2**31])
def test_what_is_no_rank_is_refused(rank: object) -> None:
    with pytest.raises(SettingsError, match="cannot use rank = "):
        identity_in({}, rank=rank)  # type: ignore[arg-type]
