"""The only file with IPython's private names, and what happens without them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import ref

__all__ = ["without_results"]

_RESULT = re.compile(r"_\d+")
_LAST_RESULTS = ("_", "__", "___")


@contextmanager
def without_results(shell: Any, objects: Collection[ref[Any]]) -> Iterator[None]:
    """Take objects out of the history of results for a while: ``Out``, ``_``, ``_3`` and the like.

    Those that are alive at the end are put back. Variables of the user's own are left alone. If
    IPython keeps results elsewhere too, objects that were results stay alive.
    """
    restores = _take_out(shell, objects)
    try:
        yield
    finally:
        for restore in restores:
            restore()


def _take_out(shell: Any, objects: Collection[ref[Any]]) -> list[Callable[[], None]]:
    wanted = {id(each()): each for each in objects}
    wanted.pop(id(None), None)
    restores: list[Callable[[], None]] = []
    for mapping, names in _histories(shell):
        for name in names:
            found = wanted.get(id(mapping[name]))
            if found is None:
                continue
            if name in _LAST_RESULTS:
                mapping[name] = ""  # as after %reset out
            else:
                del mapping[name]
            restores.append(partial(_put_back, mapping, name, found))
    return restores


def _histories(shell: Any) -> Iterator[tuple[dict[Any, Any], list[Any]]]:
    """Iterate over the dicts that have results, each with the keys that are results' names."""
    results = shell.user_ns.get("_oh", {})
    yield results, list(results)
    for namespace in (shell.user_ns, shell.user_ns_hidden):
        yield namespace, [name for name in list(namespace) if _is_result(name)]
    attributes = vars(shell.displayhook)
    yield attributes, [name for name in _LAST_RESULTS if name in attributes]


def _is_result(name: object) -> bool:
    return isinstance(name, str) and (name in _LAST_RESULTS or bool(_RESULT.fullmatch(name)))


def _put_back(mapping: dict[Any, Any], name: Any, found: ref[Any]) -> None:
    there = found()
    if there is not None:
        mapping[name] = there
