"""How much is worked on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpuview.media.link.message_budget import Budget


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30)), max_size=200))
def test_no_second_has_more_than_twice_the_budget(steps: list[tuple[float, int]]) -> None:
    budget = Budget(0.0, 20.0)
    now_s = 0.0
    spent: list[tuple[float, int]] = []
    for wait_s, amount in steps:
        now_s += wait_s
        if budget.spend(now_s, amount):
            spent.append((now_s, amount))
    for start_s, _ in spent:
        assert sum(amount for at_s, amount in spent if start_s <= at_s < start_s + 0.99) <= 40


def test_what_is_not_spent_is_there_a_second_later() -> None:
    budget = Budget(0.0, 10.0)
    assert budget.spend(0.0, 10)
    assert not budget.spend(0.5, 6)
    assert budget.spend(0.5, 5)
    assert not budget.spend(100.0, 11)
    assert budget.spend(100.0, 10)
