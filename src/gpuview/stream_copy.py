"""What a copy of a model holds where the model holds a stream."""

from __future__ import annotations

__all__ = ["StreamCopy"]


class StreamCopy:
    """Stands in for a `GPUStream` in a copy or a pickle: it shows nothing, and nothing fails.

    So a model that pushes in its forward can be copied for an average of its weights, or sent to a
    process of its own, and only the original is shown.
    """

    viewers: tuple[str, ...] = ()

    def push(self, frame: object) -> None:
        """Drop ``frame``."""

    _show = push  # a copied ``stream.push`` is `GPUStream.push`, bound to this

    def close(self) -> None:
        """Do nothing."""

    def __repr__(self) -> str:
        return "<StreamCopy that shows nothing>"
