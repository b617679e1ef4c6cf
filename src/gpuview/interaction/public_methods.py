"""The part of a stream's public API that is about people: events and knobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

from gpuview.interaction.handlers import Handler
from gpuview.interaction.knobs import Button, Choice, Slider, Toggle
from gpuview.interaction.stream_interaction import StreamInteraction

__all__ = ["INTERACTION", "LiveInteraction"]

INTERACTION = (
    "add_event_handler",
    "remove_event_handler",
    "slider",
    "toggle",
    "choice",
    "button",
)
"""Its public methods."""


class LiveInteraction:
    """The methods; see `GPUStream`."""

    _interaction: StreamInteraction

    @overload
    def add_event_handler(self, handler: Handler, /, *types: str) -> Handler: ...

    @overload
    def add_event_handler(self, *types: str) -> Callable[[Handler], Handler]: ...

    def add_event_handler(self, *args: Any) -> Any:
        """Call a function when somebody points, clicks, scrolls or types on the picture.

            stream.add_event_handler(print, "pointer_down", "wheel")

            @stream.add_event_handler("key_down")
            def pressed(event):
                print(event["key"])

        The events are those of jupyter_rfb and rendercanvas (the renderview specification):
        pointer_down, pointer_up, pointer_move, pointer_enter, pointer_leave, double_click, wheel,
        key_down, key_up, char, resize, close, and also focus and blur; ``"*"`` is all of them. An
        event is a dict with that specification's keys, and with ``view``, ``pixel``, ``panel`` and
        ``tile``: row and column of the element under the pointer, its panel's name, and its tile in
        a grid, or None; and with ``u`` and ``v``, where it is in shares of the picture's sides.

        Handlers run one at a time: between two frames on the thread that polls the source, or on a
        thread of gpuview's where nothing is polled. Clicks and keys come in order, and none is lost
        while no more than 1000 wait; moves and the wheel are merged. An error is shown in the cell.

        Args:
            args: The handler, then types of events; or types only, as a decorator.

        Raises:
            SettingsError: There is no such type of event, or the handler is none.
        """
        if args and isinstance(args[0], str):

            def add(handler: Handler) -> Handler:
                self._interaction.handlers.add(handler, args)
                return handler

            return add
        handler, *types = args or (None,)
        self._interaction.handlers.add(handler, tuple(types))
        return handler

    def remove_event_handler(self, handler: Handler, *types: str) -> None:
        """Call a handler no more for events of these types; for none, if no type is given."""
        self._interaction.handlers.remove(handler, types)

    def slider(
        self,
        name: str,
        low: float,
        high: float,
        *,
        value: float | Sequence[float] | None = None,
        step: float | None = None,
        log: bool = False,
    ) -> Slider:
        """Draw a slider below the picture, whose ``value`` a loop may read at no cost.

            lr = stream.slider("lr", 1e-5, 1e-1, value=1e-3, log=True)
            for batch in data:
                optimizer.param_groups[0]["lr"] = lr.value

        It moves while a cell runs. ``lr.value = 1e-4`` moves it on every page, and
        ``lr.on_change(function)`` calls a function with each new value.

        Args:
            name: A name of its own.
            low: The least value.
            high: The greatest value. If all numbers are whole, so is ``value``.
            value: At first; None is ``low``. A list makes a vector, and ``value`` a tuple.
            step: The least difference; None is 1 for whole numbers, else as fine as can be.
            log: Whether equal ways are equal ratios; then ``low`` is above 0.

        Raises:
            SettingsError: A number does not fit, or there is a knob of this name.
        """
        return self._interaction.knobs.add(Slider(name, low, high, value=value, step=step, log=log))

    def toggle(self, name: str, value: bool = False) -> Toggle:
        """Draw a switch below the picture; its ``value`` is a bool. See `slider`.

        Raises:
            SettingsError: ``value`` is no bool, or there is a knob of this name.
        """
        return self._interaction.knobs.add(Toggle(name, value))

    def choice(self, name: str, options: Sequence[str], value: str | None = None) -> Choice:
        """Draw a list to choose from; its ``value`` is one of ``options``. See `slider`.

        Raises:
            SettingsError: ``options`` are not different texts, ``value`` is none of them, or there
                is a knob of this name.
        """
        return self._interaction.knobs.add(Choice(name, options, value))

    def button(self, name: str) -> Button:
        """Draw a button; its ``value`` counts how often it was pressed. See `slider`.

            @stream.button("reset").on_change
            def reset(presses):
                model.reset_parameters()

        Raises:
            SettingsError: There is a knob of this name.
        """
        return self._interaction.knobs.add(Button(name))
