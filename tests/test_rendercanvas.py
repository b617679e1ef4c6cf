"""What `gpuview.rendercanvas` needs, and how events become a canvas's own."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest

from gpuview.interaction.events import Place, as_event
from gpuview.protocol.interaction_messages import RenderEvent, Touch


def import_with(monkeypatch: pytest.MonkeyPatch, rendercanvas: ModuleType | None) -> None:
    monkeypatch.delitem(sys.modules, "gpuview.rendercanvas", raising=False)
    monkeypatch.setitem(sys.modules, "rendercanvas", rendercanvas)
    importlib.import_module("gpuview.rendercanvas")


def test_without_rendercanvas_the_import_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ImportError, match=r'pip install "gpuview\[rendercanvas\]"'):
        import_with(monkeypatch, None)


def test_a_major_version_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rendercanvas = pytest.importorskip("rendercanvas")
    monkeypatch.setattr(rendercanvas, "version_info", (3, 0))
    monkeypatch.setattr(rendercanvas, "__version__", "3.0.1")
    with pytest.raises(ImportError, match=r"does not know rendercanvas 3\.0\.1"):
        import_with(monkeypatch, rendercanvas)


class TestInCanvas:
    """A view shows a canvas of 400 x 200 logical pixels at half its size."""

    def in_canvas(self, given: RenderEvent) -> dict[str, object]:
        pytest.importorskip("rendercanvas")
        from gpuview.rendercanvas import in_canvas

        return in_canvas(as_event(given, "v1", lambda x, y: Place((0, 0), None, 0)), (400, 200))

    def test_places_and_fingers_are_in_the_canvas_and_no_key_is_unknown_to_pygfx(self) -> None:
        finger = Touch(id=7, x=10, y=5, pressure=0.5)
        given = RenderEvent(
            type="pointer_move", timestamp=2, x=50, y=25, u=0.25, v=0.25, touches=[finger]
        )
        assert self.in_canvas(given) == {
            "event_type": "pointer_move",
            "time_stamp": 2,
            "x": 100,
            "y": 50,
            "button": 0,
            "buttons": (),
            "modifiers": (),
            "ntouches": 1,
            "touches": {7: {"x": 20, "y": 10, "pressure": 0.5}},
        }

    def test_a_drag_may_leave_the_picture(self) -> None:
        given = RenderEvent(type="pointer_move", timestamp=2, x=-50, y=25, u=-0.25, v=0.25)
        assert (self.in_canvas(given)["x"], self.in_canvas(given)["y"]) == (-100, 50)

    def test_keys_stay_as_they_are(self) -> None:
        given = RenderEvent(type="char", timestamp=2, data="é")
        assert self.in_canvas(given) == {
            "event_type": "char",
            "time_stamp": 2,
            "data": "é",
            "char_str": "é",
            "modifiers": (),
        }
