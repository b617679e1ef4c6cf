"""Which outputs of several modules make one frame."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gpuview.sources.assembler import FrameAssembler


def play(calls, names="abc", period=10.0):
    """Return the frames that ``calls`` make; each call is ``name@time``."""
    assembler = FrameAssembler(names, period)
    frames = []
    for call in calls.split():
        name, now = call.split("@")
        if assembler.wants(name, float(now)):
            frames.append(assembler.add(name, call, float(now)))
    return ["+".join(outputs.values()) for outputs in frames if outputs is not None]


def test_a_frame_takes_each_name_once():
    assert play("a@0 b@1 a@2 c@3") == ["a@0+b@1+c@3"]


def test_the_next_frame_begins_a_period_after_the_last_one():
    assert play("a@0 b@1 c@2 a@9 b@9 c@9 a@11 b@12 c@13") == ["a@0+b@1+c@2", "a@11+b@12+c@13"]


def test_due_times_stay_multiples_of_the_period():
    assert play("a@0 a@14 a@21 a@29 a@30", "a") == ["a@0", "a@14", "a@21", "a@30"]


def test_a_frame_is_one_pass_even_if_it_is_due_in_the_middle_of_one():
    assert play("a@0 b@1 c@2 a@9 b@11 c@12 a@13 b@14 c@15")[1:] == ["a@13+b@14+c@15"]


def test_an_incomplete_frame_is_shown_when_a_name_comes_again_after_a_period():
    assert play("a@0 b@1 a@9 a@10 b@11 a@20") == ["a@0+b@1", "a@10+b@11"]


def test_another_name_begins_a_frame_when_the_first_no_longer_comes():
    assert play("a@0 b@1 c@2 b@11 c@12 b@13 c@14 b@23 c@24 b@25 c@26") == [
        "a@0+b@1+c@2",
        "b@13+c@14",
    ]


def test_a_restarted_assembler_is_due_at_once_and_holds_no_output():
    first: FrameAssembler[int] = FrameAssembler("ab", 10)
    first.add("a", 1, now=0)
    again = first.restarted()

    assert first.due == again.due == float("-inf")
    assert not again.wants("b", now=1)
    assert again.wants("a", now=1)
    again.add("a", 2, now=1)
    assert again.add("b", 3, now=2) == {"a": 2, "b": 3}
    assert again.due == 11


@given(calls=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=60))
def test_no_frame_begins_early_or_has_a_name_twice(calls):
    seen: list[list[int]] = []
    assembler: FrameAssembler[int] = FrameAssembler("abc", 10)
    now = 0
    # Long after these calls, each name comes once more and completes a frame.
    for name, wait in [*calls, ("a", 1000), ("b", 0), ("c", 0)]:
        now += wait
        if assembler.wants(name, now):
            outputs = assembler.add(name, now, now)
            if outputs is not None:
                seen.append(list(outputs.values()))
    assert seen
    begins = [min(times) for times in seen]
    # At most one late frame is made up for.
    assert all(later - before >= 10 for before, later in zip(begins, begins[2:], strict=False))
    assert all(max(before) <= min(after) for before, after in pairwise(seen))
