"""The knobs of one stream, together: on its pages, and in what is saved."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from gpuview.errors import GpuviewError, SettingsError
from gpuview.interaction.events import Work
from gpuview.interaction.handlers import UserCalls
from gpuview.interaction.interactions import Interactions, Reply
from gpuview.interaction.knobs import Button, Knob
from gpuview.protocol.interaction_messages import Interaction, KnobValue, SetKnob
from gpuview.protocol.wire import encode_text
from gpuview.signalling.throttle import Throttle

__all__ = ["KnobSet"]

logger = logging.getLogger("gpuview")

_PERIOD_S = 0.05
_MAX_CHARS = 64 * 1024  # of all knobs, as JSON
_MOST_LETTERS = 300

Made = TypeVar("Made", bound=Knob)


class KnobSet:
    """All knobs of one stream. Any thread.

    Args:
        calls: Calls what `Knob.on_change` has added.
        interactions: Tells the pages, and passes on what they set.
    """

    def __init__(self, calls: UserCalls, interactions: Interactions) -> None:
        self.n_refused = 0
        """Values of pages that a knob cannot have, or of a knob that there is not."""
        self._calls = calls
        self._interactions = interactions
        self._lock = threading.Lock()
        self._knobs: dict[str, Knob] = {}
        self._pages = Throttle(self._publish, _PERIOD_S)
        interactions.answer(SetKnob, self._take)

    def add(self, knob: Made) -> Made:
        """Draw a knob below the picture from now on.

        Raises:
            SettingsError: There is one of that name, or there are too many.
        """
        with self._lock:
            if knob.name in self._knobs:
                raise SettingsError(
                    f"this stream has a knob {knob.name!r} already",
                    expected="a name of its own for each knob",
                    fix="use the knob that was returned then, or another name",
                )
            knobs: list[Knob] = [*self._knobs.values(), knob]
            described = [each.describe() for each in knobs]
            if len(encode_text(Interaction(knobs=described))) > _MAX_CHARS:
                raise SettingsError(
                    f"there is no room for the knob {knob.name!r} beside {len(self._knobs)} others",
                    expected=f"{_MAX_CHARS} characters in all their names and options",
                    fix="make fewer knobs, or shorter options",
                )
            knob.join(self._moved, self._with_context)
            self._knobs[knob.name] = knob
        self._pages.ask()
        return knob

    @property
    def text(self) -> str:
        """All values in a line, for what is saved; empty without knobs."""
        line = ", ".join(filter(None, (each.text for each in list(self._knobs.values()))))
        return line if len(line) <= _MOST_LETTERS else line[: _MOST_LETTERS - 1] + "…"

    def close(self) -> None:
        """Tell the pages no more."""
        self._pages.close()

    def renew_locks(self) -> None:
        """Make new locks in a forked child, where the parent's threads are gone."""
        self._lock = threading.Lock()
        self._pages.renew_lock()

    def _publish(self) -> None:
        self._interactions.change(knobs=[each.describe() for each in list(self._knobs.values())])

    def _take(self, message: SetKnob, _reply: Reply) -> None:
        self.turn(message.name, message.value)

    def turn(self, name: str, value: KnobValue) -> None:
        """Take a page's value; one that the knob cannot have is counted and logged."""
        knob = self._knobs.get(name)
        try:
            if knob is None:
                raise SettingsError(
                    "there is no such knob", expected="a knob", fix="reload the page"
                )
            knob.take(value)
        except GpuviewError as exc:
            self.n_refused += 1
            if self.n_refused == 1:
                logger.warning("a page's value of a knob was refused: %s", exc.problem)

    def _moved(self, knob: Knob) -> None:
        self._pages.ask()
        if not knob.functions:
            return
        if isinstance(knob, Button):  # each press counts
            work = Work(lambda value: self._call(knob, value), knob.value)
        else:
            work = Work(lambda _: self._call(knob, knob.value), None, key=knob)
        self._calls.dispatcher.put(work)

    def _call(self, knob: Knob, value: Any) -> None:
        for function, context in knob.functions:
            self._calls.call(f"the function of the knob {knob.name!r}", function, value, context)

    def _with_context(self, function: Callable[[Any], object]) -> tuple[Any, Any]:
        return function, self._calls.in_this_cell()

    def __repr__(self) -> str:
        return f"<KnobSet {self.text or 'empty'}>"
