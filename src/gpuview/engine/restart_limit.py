"""Whether a media process that died is started again. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gpuview.errors import MediaEndedError

__all__ = ["died_too_often", "may_restart"]

_MAX_DEATHS = 5
_DEATHS_WITHIN_S = 60.0


def may_restart(deaths_s: Sequence[float], now_s: float) -> bool:
    """Tell whether a media process that died may be started again.

    Args:
        deaths_s: When media processes of this kernel died, this time included.
        now_s: This moment, on the same clock, in seconds.
    """
    return sum(now_s - death_s < _DEATHS_WITHIN_S for death_s in deaths_s) <= _MAX_DEATHS


def died_too_often(stderr_tail: str) -> MediaEndedError:
    """Return the error of an engine whose media process may not be restarted."""
    return MediaEndedError(
        f"the media process died {_MAX_DEATHS + 1} times within {_DEATHS_WITHIN_S:.0f} s, "
        f"the last time with {stderr_tail}",
        expected="a media process that keeps running",
        fix='check that its imports work: python -c "import gpuview.media.worker"',
    )
