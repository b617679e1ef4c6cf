"""Values that a person turns below the picture, and that a loop reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

from gpuview.errors import SettingsError, shorten
from gpuview.protocol import interaction_messages as messages

__all__ = ["Button", "Choice", "Knob", "Slider", "Toggle"]

MAX_NAME_CHARS = 100
MAX_NUMBERS = 16
_MAX_INTEGER = 2**53  # as far as a page's numbers are exact

OnChange = Callable[[Any], object]
Function = TypeVar("Function", bound=OnChange)


class Knob:
    """One knob of a stream. Its ``value`` may be read and set at any time, from any thread.

    To read ``value`` is to read a plain attribute, without a lock. To set it checks it, moves the
    knob on every page, and calls what `on_change` has added.
    """

    # In slots: to read one takes as long as to read any attribute.
    __slots__ = ("_functions", "_on_added", "_on_moved", "name", "value")

    value: Any
    """The present value."""
    name: str
    _functions: tuple[Any, ...]
    _on_moved: Callable[[Knob], None]
    _on_added: Callable[[OnChange], Any]

    def __init__(self, name: str, value: object) -> None:
        self._set(
            name=_checked_name(name),
            _functions=(),
            _on_moved=lambda knob: None,
            _on_added=lambda function: function,
        )
        self._set(value=self._checked(value))

    def join(self, on_moved: Callable[[Knob], None], on_added: Callable[[OnChange], Any]) -> None:
        """Become part of a stream.

        Args:
            on_moved: Called after each change, on the thread that made it.
            on_added: Returns what is kept for a function that was given to `on_change`.
        """
        self._set(_on_moved=on_moved, _on_added=on_added)

    @property
    def functions(self) -> tuple[Any, ...]:
        """What is kept of the functions that were given to `on_change`."""
        return self._functions

    def on_change(self, function: Function) -> Function:
        """Call ``function`` with the new value after each change; also as a decorator.

        It is called where event handlers are, one at a time; while it waits, further changes become
        one, with the newest value. An error is shown in the cell.
        """
        self._set(_functions=(*self._functions, self._on_added(function)))
        return function

    def __setattr__(self, name: str, value: object) -> None:
        """Set the value.

        Raises:
            SettingsError: It is out of the knob's range, or of another type.
            AttributeError: Something else was to be set.
        """
        if name != "value":
            raise AttributeError(f"cannot set {name} of a knob: only its value changes")
        self._move(self._checked(value))

    def take(self, value: object) -> None:
        """Take a page's value.

        Raises:
            SettingsError: It is out of the knob's range, or of another type.
        """
        self._move(self._checked(value))

    def describe(self) -> messages.Knob:
        """Return what pages draw."""
        raise NotImplementedError

    def _checked(self, value: Any) -> Any:
        """Return a value in the knob's own type.

        Raises:
            SettingsError: It cannot be set.
        """
        raise NotImplementedError

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _move(self, value: Any) -> None:
        if value != self.value:
            self._set(value=value)
            self._on_moved(self)

    def _refuse(self, value: object, expected: str) -> SettingsError:
        return SettingsError(
            f"cannot set the knob {self.name!r} to {shorten(repr(value), 80)}",
            expected=expected,
            fix="set a value that it can have, or make another knob",
        )

    @property
    def text(self) -> str:
        """As in ``lr = 0.001``, for a saved notebook; empty if it has no value to speak of."""
        return f"{self.name} = {_text(self.value)}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.text}>"


class Slider(Knob):
    """A number, or a few of them, in a range. See `GPUStream.slider`."""

    __slots__ = ("_is_integer", "_n", "high", "log", "low", "step")

    low: float
    high: float
    step: float
    """0: as fine as a page can."""
    log: bool
    _n: int | None  # the numbers of a vector
    _is_integer: bool

    def __init__(
        self, name: str, low: float, high: float, *, value: Any, step: float | None, log: bool
    ) -> None:
        is_vector = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        numbers = list(value) if is_vector else [low if value is None else value]
        all_numbers = (low, high, *numbers, *(() if step is None else (step,)))
        if not all(_is_number(each) for each in all_numbers) or not low < high:
            raise _bad_slider(name, f"{low = }, {high = }, {value = } and {step = }")
        is_integer = all(isinstance(each, Integral) for each in all_numbers) and not log
        if (log and low <= 0) or (step is not None and not 0 < step <= high - low):
            raise _bad_slider(name, f"{low = }, {high = }, {step = } and {log = }")
        if is_vector and not 1 <= len(numbers) <= MAX_NUMBERS:
            raise _bad_slider(name, f"{len(numbers)} numbers")
        self._set(
            low=int(low) if is_integer else float(low),
            high=int(high) if is_integer else float(high),
            step=(1 if is_integer else 0) if step is None else step,
            log=log,
            _n=len(numbers) if is_vector else None,
            _is_integer=is_integer,
        )
        super().__init__(name, tuple(numbers) if is_vector else numbers[0])

    def describe(self) -> messages.Knob:
        value = list(self.value) if self._n is not None else self.value
        return messages.Knob(
            kind="slider",
            name=self.name,
            value=value,
            low=self.low,
            high=self.high,
            step=self.step,
            is_log=self.log,
        )

    def _checked(self, value: Any) -> Any:
        if self._n is None:
            return self._number(value)
        is_fitting = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        if not is_fitting or len(value) != self._n:
            raise self._refuse(value, f"{self._n} numbers from {self.low:g} to {self.high:g}")
        return tuple(self._number(each) for each in value)

    def _number(self, value: Any) -> float:
        is_whole = _is_number(value) and float(value).is_integer()
        if not _is_number(value) or (self._is_integer and not is_whole):
            kind = "a whole number" if self._is_integer else "a number"
            raise self._refuse(value, f"{kind} from {self.low:g} to {self.high:g}")
        # What a page has rounded may be a last digit outside.
        slack = 0 if self._is_integer else 1e-9 * (self.high - self.low)
        if not self.low - slack <= float(value) <= self.high + slack:
            raise self._refuse(value, f"{self.low:g} to {self.high:g}")
        inside = min(max(value, self.low), self.high)
        return int(inside) if self._is_integer else float(inside)


class Toggle(Knob):
    """On or off. See `GPUStream.toggle`."""

    __slots__ = ()

    def describe(self) -> messages.Knob:
        return messages.Knob(kind="toggle", name=self.name, value=self.value)

    def _checked(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self._refuse(value, "True or False")
        return value

    @property
    def text(self) -> str:
        return f"{self.name} = {'on' if self.value else 'off'}"


class Choice(Knob):
    """One of several texts. See `GPUStream.choice`."""

    __slots__ = ("options",)

    options: tuple[str, ...]

    def __init__(self, name: str, options: Sequence[str], value: str | None) -> None:
        texts = [] if isinstance(options, str) else list(options)
        is_good = all(isinstance(each, str) and len(each) <= 256 for each in texts)
        if not texts or not is_good or len(set(texts)) < len(texts):
            raise SettingsError(
                f"cannot choose {shorten(repr(name), 80)} from {shorten(repr(options), 80)}",
                expected="one or more different texts of at most 256 characters",
                fix='stream.choice("optimizer", ["SGD", "Adam"])',
            )
        self._set(options=tuple(texts))
        super().__init__(name, texts[0] if value is None else value)

    def describe(self) -> messages.Knob:
        return messages.Knob(
            kind="choice", name=self.name, value=self.value, options=list(self.options)
        )

    def _checked(self, value: Any) -> str:
        if value not in self.options:
            raise self._refuse(value, f"one of {shorten(repr(list(self.options)), 80)}")
        return str(value)


class Button(Knob):
    """Counts how often it was pressed. See `GPUStream.button`."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        super().__init__(name, 0)

    def take(self, value: object) -> None:
        self._move(self.value + 1)

    def describe(self) -> messages.Knob:
        return messages.Knob(kind="button", name=self.name, value=self.value)

    def _checked(self, value: Any) -> int:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or not 0 <= value <= _MAX_INTEGER:
            raise self._refuse(value, "how often it was pressed: 0 or more")
        return int(value)

    @property
    def text(self) -> str:
        return ""


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    if isinstance(value, int):
        return abs(value) <= _MAX_INTEGER
    return math.isfinite(value)


def _checked_name(name: object) -> str:
    is_text = isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARS and name.isprintable()
    if not is_text:
        raise SettingsError(
            f"cannot name a knob {shorten(repr(name), 80)}",
            expected=f"a text of 1 to {MAX_NAME_CHARS} printable characters",
            fix='stream.slider("lr", 1e-5, 1e-1, log=True)',
        )
    return str(name)


def _bad_slider(name: object, given: str) -> SettingsError:
    return SettingsError(
        f"cannot make a slider {shorten(repr(name), 80)} with {given}",
        expected="finite numbers, low < high, 0 < step <= high - low; with log=True also 0 < low; "
        f"and a value, or a list of up to {MAX_NUMBERS}, from low to high",
        fix='stream.slider("lr", 1e-5, 1e-1, value=1e-3, log=True)',
    )


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
