"""What ``help(GPUStream)`` lists.

A widget inherits some 150 names of ipywidgets and traitlets, and the engine's callbacks are methods
without an underscore. None of them is for users. ``help`` asks ``dir(cls)`` for the names and a
class's ``_fields`` for their order, as it does for a named tuple; `PublicFace` answers with the
names in ``_fields`` and with whatever a user's subclass adds.
"""

from __future__ import annotations

from typing import Any

from traitlets import MetaHasTraits

__all__ = ["PublicFace"]


class PublicFace(MetaHasTraits):
    """The metaclass of a widget that lists its public names only, in ``_fields``."""

    _fields: tuple[str, ...]

    def __init__(
        cls,  # noqa: N805
        name: str,
        bases: tuple[type, ...],
        body: dict[str, Any],
    ) -> None:
        super().__init__(name, bases, body)  # finds the traits by their names, and needs them all
        cls._is_made = True

    def __dir__(cls) -> list[str]:  # noqa: N805
        names = list(super().__dir__())
        if "_is_made" not in cls.__dict__:
            return names
        widget = next(each for each in reversed(cls.__mro__) if isinstance(each, PublicFace))
        own = {name for each in widget.__mro__ for name in each.__dict__}
        return [name for name in names if name in cls._fields or name not in own]
