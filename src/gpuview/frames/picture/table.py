"""Labelled panels in rows and columns: how many of each, and where each panel goes.

Pure; even integers, in pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, product

from gpuview.errors import FrameError
from gpuview.frames.picture.geometry import MAX_COLUMNS, MIN_CELL, Sides, even_down
from gpuview.frames.picture.grid import waste
from gpuview.frames.picture.page_width import USUAL_ROOM

__all__ = ["Table"]

_LABEL_HEIGHT = 24  # the minimum height of the line above each panel
_LABEL_ASPECT = 8  # room for some 20 letters
_GAP = 8


@dataclass(frozen=True, slots=True)
class Table:
    """Panels row by row, each at the top left of its cell."""

    panels: tuple[Sides, ...]
    """Without their labels."""
    columns: int
    room: int = USUAL_ROOM
    """The width in which it is seen."""

    @classmethod
    def arranged(
        cls,
        panels: Iterable[Sides],
        *,
        aspect: float,
        columns: int | None,
        room: int = USUAL_ROOM,
    ) -> Table:
        """Choose the number of columns that wastes least, unless the user has; see `grid.waste`.

        A narrow cell never has more of them than a usual one.

        Args:
            panels: Their sides.
            aspect: The width of a picture that fits ``room``, divided by its height.
            columns: The user's.
            room: The width of the cell.
        """
        panels = tuple(panels)
        if columns is not None:
            return cls(panels, min(columns, len(panels)), room)
        area = sum(height * width for height, width in panels)

        def cost(table: Table) -> float:
            height, width = table.sides
            cells = sum(table.row_heights) * sum(table.column_widths)
            return waste(width / height, aspect, 1 - area / cells)

        most = min(len(panels), MAX_COLUMNS)
        if room < USUAL_ROOM:
            usual_aspect = aspect * USUAL_ROOM / room
            most = cls.arranged(panels, aspect=usual_aspect, columns=None).columns
        return min((cls(panels, columns, room) for columns in range(1, most + 1)), key=cost)

    @property
    def row_heights(self) -> list[int]:
        """The height of the tallest panel of each row, without its label."""
        rows = range(0, len(self.panels), self.columns)
        return [max(high for high, _ in self.panels[row : row + self.columns]) for row in rows]

    @property
    def column_widths(self) -> list[int]:
        """The width of the widest panel of each column."""
        columns = range(self.columns)
        return [max(wide for _, wide in self.panels[column :: self.columns]) for column in columns]

    @property
    def label_height(self) -> int:
        """The height of the line above each panel; even."""
        return self._label_height_at(1)

    @property
    def sides(self) -> Sides:
        """The sides of the whole table, with labels and gaps."""
        height, width = self._between(self.label_height)
        return sum(self.row_heights) + height, sum(self.column_widths) + width

    def positions(self) -> list[Sides]:
        """Return ``(y, x)`` of each panel. Its label is directly above, as wide as the column."""
        tops = _starts(self.row_heights, before=self.label_height)
        lefts = _starts(self.column_widths, before=0)
        return list(product(tops, lefts))[: len(self.panels)]

    def scaled(self, box: Sides) -> list[Sides]:
        """Return the sides of each panel when the table is scaled to fit into ``box``.

        All panels are scaled by the same factor.

        Raises:
            FrameError: There is no room for so many panels.
        """
        panels_width = sum(self.column_widths)
        # No column grows by more than this factor, so the labels are at most this high.
        label_height = self._label_height_at(Fraction(box[1], panels_width))
        height, width = self._between(label_height)
        scale = min(
            Fraction(box[0] - height, sum(self.row_heights)),
            Fraction(box[1] - width, panels_width),
        )
        boxes = [(even_down(int(h * scale)), even_down(int(w * scale))) for h, w in self.panels]
        if min(min(sides) for sides in boxes) < MIN_CELL:
            raise FrameError(
                f"cannot show {len(self.panels)} labelled panels in {box[1]} x {box[0]} pixels",
                expected=f"at least {MIN_CELL} x {MIN_CELL} pixels for each, and a line of "
                f"{_LABEL_HEIGHT} above it",
                fix="show fewer of them",
            )
        return boxes

    def _between(self, label_height: int) -> Sides:
        """Return the height and width of all labels and gaps."""
        rows = len(self.row_heights)
        return rows * label_height + (rows - 1) * _GAP, (self.columns - 1) * _GAP

    def _label_height_at(self, scale: int | Fraction) -> int:
        """Return a height that is readable in a notebook cell and leaves room for names."""
        widths = self.column_widths
        width = sum(widths) + (self.columns - 1) * _GAP
        readable = min(
            Fraction(width * _LABEL_HEIGHT, self.room), Fraction(min(widths), _LABEL_ASPECT)
        )
        return max(_LABEL_HEIGHT, even_down(int(readable * scale)))


def _starts(sides: Sequence[int], *, before: int) -> Iterable[int]:
    """Return where the panels begin, each after ``before`` pixels for its label."""
    return accumulate((side + _GAP + before for side in sides[:-1]), initial=before)
