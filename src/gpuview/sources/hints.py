"""What a source says to its viewers although nothing has failed."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["SourceHints"]


class SourceHints:
    """A source's present hints, at most one for each topic. From any thread.

    Args:
        on_change: Called with all hints as one text, perhaps empty, when one of them changes.
    """

    def __init__(self, on_change: Callable[[str], None]) -> None:
        self._on_change = on_change
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}

    def set(self, topic: str, text: str) -> None:
        """Replace the hint about ``topic``; an empty text takes it back."""
        if self._texts.get(topic, "") == text:
            return
        with self._lock:
            self._texts[topic] = text
            joined = "; ".join(each for each in self._texts.values() if each)
        self._on_change(joined)
