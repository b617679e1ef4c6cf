"""The interpreter's switch interval while a source makes a frame."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuview.sources.switch_interval import short_switch_interval


@pytest.fixture(autouse=True)
def switch_interval():
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before)


def test_the_switch_interval_is_short_only_inside():
    with short_switch_interval():
        assert sys.getswitchinterval() == pytest.approx(0.0002)

    assert sys.getswitchinterval() == pytest.approx(0.005)


def test_the_last_of_several_threads_restores_the_switch_interval():
    outer, inner = short_switch_interval(), short_switch_interval()
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(0.0002)

    inner.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(0.005)


def test_a_switch_interval_that_the_user_sets_meanwhile_stays():
    with short_switch_interval():
        sys.setswitchinterval(0.02)

    assert sys.getswitchinterval() == pytest.approx(0.02)


def test_a_shorter_switch_interval_is_not_lengthened():
    sys.setswitchinterval(0.0001)
    before = sys.getswitchinterval()

    with short_switch_interval():
        assert sys.getswitchinterval() == before


@given(microseconds=st.integers(1, 100_000))
def test_the_switch_interval_is_restored_to_the_microsecond(microseconds):
    sys.setswitchinterval(microseconds * 1e-6)
    before = sys.getswitchinterval()

    with short_switch_interval():
        pass

    assert sys.getswitchinterval() == before
