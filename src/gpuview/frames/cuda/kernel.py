"""The Triton kernel: a tensor of any strides and dtype -> its part of a picture, in one pass.

A program draws two rows of a panel, up to ``block`` pixels of each, and the row of chroma that they
share. It does the same as `gpuview.frames.cpu.paint`, in the same order.

    1. `_place`     the tile of each pixel, and the position inside the tile
    2. `_values`    the value there; `resample.means` if the tile is resized and has no classes
    3. `_inspect`   colours and counts NaN and Inf; only runs in blocks that have any
    4. `_coloured`  the value's colour, or the background
    5. `_luma`      and chroma: limited-range BT.601; see Note [one colour matrix] in
                    ``gpuview.media.encode.codec``. `_store_rgb`: the same without loss

Note [rare non-finite values]: a NaN or Inf makes a sum NaN or Inf. So each block checks one sum per
pixel, and inspects every value only if one of these sums is not finite.

Note [two rows]: both rows are computed side by side. Each thread holds the same pixels of both
rows, in pairs of neighbours. So threads exchange nothing for the chroma, and each row is read and
written in the widest vectors that its memory allows.
"""

from __future__ import annotations

import triton
import triton.language as tl

from gpuview.frames.cuda.pixel_value import (
    as_float,
    scaled,
    to_level_or_row,
    wheel,
    with_nonfinite_colour,
)
from gpuview.frames.cuda.resample import means
from gpuview.frames.picture.geometry import BACKGROUND
from gpuview.protocol.ring import CAPTURE_WORD, SEQ_WORD

__all__ = ["draw_panel"]

# Triton checks each of these globals at every launch, for half a microsecond, so there are few.
_SEQ_WORD = tl.constexpr(SEQ_WORD)
_CAPTURE_WORD = tl.constexpr(CAPTURE_WORD)
_INF = tl.constexpr(float("inf"))
_BACKGROUND = tl.constexpr(BACKGROUND[0] / 255)  # a grey


@triton.jit
def _place(
    y,
    x,
    panel_width,
    n_tiles,
    columns,
    cell_height,
    cell_width,
    inner_height,
    inner_width,
    is_grid: tl.constexpr,
    is_padded: tl.constexpr,
):
    """Return each pixel's tile, its position in the tile, and whether it is inside a tile."""
    is_inside = x < panel_width
    tile = 0
    if is_grid:
        row = y // cell_height
        column = x // cell_width
        y = y - row * cell_height
        x = x - column * cell_width
        tile = row * columns + column
        is_inside = is_inside & (column < columns) & (tile < n_tiles)
        is_inside = is_inside & (y < inner_height) & (x < inner_width)
    if is_padded:
        y = tl.minimum(y, inner_height - 1)
        x = tl.minimum(x, inner_width - 1)
    return tile, y, x, is_inside


@triton.jit
def _middle(i, tile, inner, is_direct: tl.constexpr):
    """Return the tile's pixel in the middle of pixel ``i``."""
    if is_direct:
        return i
    return (2 * i + 1) * tile // (2 * inner)


@triton.jit
def _range(ranges, tile, is_inside, range_step, is_grid: tl.constexpr, needs_float64: tl.constexpr):
    """Return each pixel's half low bound and its gain, 1 / (half the range)."""
    if is_grid:
        at = ranges + tile * range_step
        half_low = tl.load(at, mask=is_inside, other=0.0)
        gain = tl.load(at + 1, mask=is_inside, other=0.0)
    else:
        half_low = tl.load(ranges)
        gain = tl.load(ranges + 1)
    if not needs_float64:
        half_low = half_low.to(tl.float32)
        gain = tl.minimum(gain, 3e38).to(tl.float32)
    return half_low, gain


@triton.jit
def _values(
    start,
    y,
    x,
    is_inside,
    channel_step,
    row_step,
    column_step,
    channels: tl.constexpr,
    needs_float64: tl.constexpr,
):
    """Return three channels of some pixels of a row; a single channel is repeated."""
    at = start + y * row_step + x * column_step
    red = as_float(tl.load(at, mask=is_inside, other=0), needs_float64)
    green = red
    blue = red
    if channels > 1:
        green = as_float(tl.load(at + channel_step, mask=is_inside, other=0), needs_float64)
    if channels == 3:
        blue = as_float(tl.load(at + 2 * channel_step, mask=is_inside, other=0), needs_float64)
    return red, green, blue


@triton.jit
def _inspect(
    red,
    green,
    blue,
    palette,
    nonfinite,
    is_own,
    half_low,
    gain,
    channels: tl.constexpr,
    colouring: tl.constexpr,
    scale: tl.constexpr,
):
    """Do the same as `_finished`, but colour NaN and Inf, and count those where ``is_own``."""
    n_nan = (red != red).to(tl.int32)
    n_inf = (tl.abs(red) == _INF).to(tl.int32)
    if channels > 1:
        n_nan += (green != green).to(tl.int32)
        n_inf += (tl.abs(green) == _INF).to(tl.int32)
    if channels == 3:
        n_nan += (blue != blue).to(tl.int32)
        n_inf += (tl.abs(blue) == _INF).to(tl.int32)
    tl.atomic_add(nonfinite, tl.sum(tl.where(is_own, n_nan, 0)).to(tl.int64))
    tl.atomic_add(nonfinite + 1, tl.sum(tl.where(is_own, n_inf, 0)).to(tl.int64))
    red, green, blue = _finished(red, green, blue, half_low, gain, palette, colouring, scale)
    return _marked(red, green, blue, n_nan > 0, n_inf > 0, palette, colouring)


@triton.jit
def _marked(red, green, blue, is_nan, is_inf, palette, colouring: tl.constexpr):
    """Return the results of `_finished`, but NaN and Inf in their colours."""
    red = with_nonfinite_colour(red, is_nan, is_inf, palette, 0, colouring)
    green = with_nonfinite_colour(green, is_nan, is_inf, palette, 1, colouring)
    blue = with_nonfinite_colour(blue, is_nan, is_inf, palette, 2, colouring)
    return red, green, blue


@triton.jit
def _finished(
    red, green, blue, half_low, gain, palette, colouring: tl.constexpr, scale: tl.constexpr
):
    """Return brightness in [0, 1], or the rows of a colour map."""
    if colouring == "flow":
        right = scaled(red, half_low, gain, scale)
        down = scaled(green, half_low, gain, scale)
        return wheel(right, down, palette)
    red = to_level_or_row(scaled(red, half_low, gain, scale), colouring)
    green = to_level_or_row(scaled(green, half_low, gain, scale), colouring)
    blue = to_level_or_row(scaled(blue, half_low, gain, scale), colouring)
    return red, green, blue


@triton.jit
def _coloured(red, green, blue, is_inside, palette, colouring: tl.constexpr, is_grid: tl.constexpr):
    """Return red, green and blue in [0, 1]; the background outside of all tiles."""
    if colouring == "map" or colouring == "classes":
        at = palette + red.to(tl.int32) * 3
        red = tl.load(at).to(tl.float32) / 255.0
        green = tl.load(at + 1).to(tl.float32) / 255.0
        blue = tl.load(at + 2).to(tl.float32) / 255.0
    if is_grid:
        red = tl.where(is_inside, red, _BACKGROUND)
        green = tl.where(is_inside, green, _BACKGROUND)
        blue = tl.where(is_inside, blue, _BACKGROUND)
    return red, green, blue


@triton.jit
def _luma(red, green, blue):
    # Half a level is added because the cast truncates: this rounds half up.
    return (red * 65.481 + green * 128.553 + blue * 24.966 + 16.5).to(tl.uint8)


@triton.jit
def _store_rgb(at, plane_step, red, green, blue, is_shown):
    """Write one row of three planes, rounded half up."""
    tl.store(at, (red * 255.0 + 0.5).to(tl.uint8), mask=is_shown)
    tl.store(at + plane_step, (green * 255.0 + 0.5).to(tl.uint8), mask=is_shown)
    tl.store(at + 2 * plane_step, (blue * 255.0 + 0.5).to(tl.uint8), mask=is_shown)


@triton.jit
def _pair_sum(row, block: tl.constexpr):
    """Return the sums of pairs of neighbours, each pair held by one thread."""
    even, odd = tl.split(tl.reshape(row, [block // 2, 2]))
    return even + odd


@triton.jit(
    do_not_specialize=[
        "seq",
        "capture_ns",
        "n_tiles",
        "columns",
        "cell_height",
        "cell_width",
        "inner_height",
        "inner_width",
        "tile_height",
        "tile_width",
        "taps_y",
        "taps_x",
        "range_step",
    ]
)
def draw_panel(
    pixels,
    record,
    ranges,
    palette,
    nonfinite,
    seq,
    capture_ns,
    width,
    luma_at,
    cb_at,
    cr_at,
    red_at,
    plane_step,
    panel_width,
    n_tiles,
    columns,
    cell_height,
    cell_width,
    inner_height,
    inner_width,
    tile_height,
    tile_width,
    taps_y,
    taps_x,
    tile_step,
    channel_step,
    row_step,
    column_step,
    range_step,
    channels: tl.constexpr,
    is_direct: tl.constexpr,
    is_grid: tl.constexpr,
    is_padded: tl.constexpr,
    colouring: tl.constexpr,
    scale: tl.constexpr,
    needs_float64: tl.constexpr,
    needs_int64: tl.constexpr,
    may_have_nonfinite: tl.constexpr,
    block: tl.constexpr,
):
    x = tl.program_id(0) * block + tl.arange(0, block)
    y = tl.program_id(1) * 2
    is_shown = x < panel_width
    # Triton inlines its functions and cannot bundle arguments.
    # fmt: off
    tile1, y1, x1, is_inside1 = _place(
        y, x, panel_width, n_tiles, columns, cell_height, cell_width, inner_height, inner_width,
        is_grid, is_padded,
    )
    tile2, y2, x2, is_inside2 = _place(
        y + 1, x, panel_width, n_tiles, columns, cell_height, cell_width, inner_height, inner_width,
        is_grid, is_padded,
    )
    low1, gain1 = _range(ranges, tile1, is_inside1, range_step, is_grid, needs_float64)
    low2, gain2 = _range(ranges, tile2, is_inside2, range_step, is_grid, needs_float64)
    is_own1 = is_inside1
    is_own2 = is_inside2
    if is_padded:
        is_own1 = is_inside1 & (y < inner_height) & (x < inner_width)
        is_own2 = is_inside2 & (y + 1 < inner_height) & (x < inner_width)
    start1 = pixels
    start2 = pixels
    if is_grid:
        start1 = pixels + tile1.to(tl.int64) * tile_step
        start2 = pixels + tile2.to(tl.int64) * tile_step
    if needs_int64:
        y1 = y1.to(tl.int64)
        x1 = x1.to(tl.int64)
        y2 = y2.to(tl.int64)
        x2 = x2.to(tl.int64)
    is_mean: tl.constexpr = not is_direct and colouring != "classes"  # classes have no mean
    if not is_mean:
        red1, green1, blue1 = _values(
            start1, _middle(y1, tile_height, inner_height, is_direct),
            _middle(x1, tile_width, inner_width, is_direct),
            is_inside1, channel_step, row_step, column_step, channels, needs_float64,
        )
        red2, green2, blue2 = _values(
            start2, _middle(y2, tile_height, inner_height, is_direct),
            _middle(x2, tile_width, inner_width, is_direct),
            is_inside2, channel_step, row_step, column_step, channels, needs_float64,
        )
    else:
        red1, green1, blue1, _, _ = means(
            start1, nonfinite, y1, x1, is_inside1, is_own1, low1, gain1, inner_height, inner_width,
            tile_height, tile_width, taps_y, taps_x, channel_step, row_step, column_step, channels,
            scale, needs_float64, False, block,
        )
        red2, green2, blue2, _, _ = means(
            start2, nonfinite, y2, x2, is_inside2, is_own2, low2, gain2, inner_height, inner_width,
            tile_height, tile_width, taps_y, taps_x, channel_step, row_step, column_step, channels,
            scale, needs_float64, False, block,
        )
    has_nonfinite = False
    if may_have_nonfinite:
        probe = red1 + red2
        if channels > 1:
            probe += green1 + green2
        if channels == 3:
            probe += blue1 + blue2
        # A pixel of classes that is not in the middle of one of ours may be NaN, too.
        is_probed: tl.constexpr = is_direct or is_mean
        has_nonfinite = (tl.sum((tl.abs(probe) < _INF).to(tl.int32)) < block) | (not is_probed)
    # New names, because a variable must keep its type in a branch that is taken at run time.
    if has_nonfinite:
        if is_direct:
            r1, g1, b1 = _inspect(
                red1, green1, blue1, palette, nonfinite, is_own1, low1, gain1, channels,
                colouring, scale,
            )
            r2, g2, b2 = _inspect(
                red2, green2, blue2, palette, nonfinite, is_own2, low2, gain2, channels,
                colouring, scale,
            )
        else:
            r1, g1, b1, is_nan1, is_inf1 = means(
                start1, nonfinite, y1, x1, is_inside1, is_own1, low1, gain1, inner_height,
                inner_width, tile_height, tile_width, taps_y, taps_x, channel_step, row_step,
                column_step, channels, scale, needs_float64, True, block,
            )
            if not is_mean:
                r1, g1, b1 = red1, green1, blue1
            r1, g1, b1 = _finished(r1, g1, b1, low1, gain1, palette, colouring, "as is")
            r1, g1, b1 = _marked(r1, g1, b1, is_nan1, is_inf1, palette, colouring)
            r2, g2, b2, is_nan2, is_inf2 = means(
                start2, nonfinite, y2, x2, is_inside2, is_own2, low2, gain2, inner_height,
                inner_width, tile_height, tile_width, taps_y, taps_x, channel_step, row_step,
                column_step, channels, scale, needs_float64, True, block,
            )
            if not is_mean:
                r2, g2, b2 = red2, green2, blue2
            r2, g2, b2 = _finished(r2, g2, b2, low2, gain2, palette, colouring, "as is")
            r2, g2, b2 = _marked(r2, g2, b2, is_nan2, is_inf2, palette, colouring)
    else:
        own_scale: tl.constexpr = scale if is_direct else "as is"  # means are scaled already
        r1, g1, b1 = _finished(red1, green1, blue1, low1, gain1, palette, colouring, own_scale)
        r2, g2, b2 = _finished(red2, green2, blue2, low2, gain2, palette, colouring, own_scale)
    # fmt: on
    r1, g1, b1 = _coloured(r1, g1, b1, is_inside1, palette, colouring, is_grid)
    r2, g2, b2 = _coloured(r2, g2, b2, is_inside2, palette, colouring, is_grid)

    at = record + luma_at + y * width + x
    tl.store(at, _luma(r1, g1, b1), mask=is_shown)
    tl.store(at + width, _luma(r2, g2, b2), mask=is_shown)
    at = record + red_at + y * width + x
    _store_rgb(at, plane_step, r1, g1, b1, is_shown)
    _store_rgb(at + width, plane_step, r2, g2, b2, is_shown)

    red = _pair_sum(r1 + r2, block)
    green = _pair_sum(g1 + g2, block)
    blue = _pair_sum(b1 + b2, block)
    half_x = tl.program_id(0) * (block // 2) + tl.arange(0, block // 2)
    at = record + tl.program_id(1) * (width // 2) + half_x
    # A quarter of chroma's 224 levels, because these are sums of four pixels: 56 / 2 = 28.
    cb = red * (-28 * 0.299 / 0.886) + green * (-28 * 0.587 / 0.886) + blue * 28.0 + 128.5
    cr = red * 28.0 + green * (-28 * 0.587 / 0.701) + blue * (-28 * 0.114 / 0.701) + 128.5
    tl.store(at + cb_at, cb.to(tl.uint8), mask=half_x < panel_width // 2)
    tl.store(at + cr_at, cr.to(tl.uint8), mask=half_x < panel_width // 2)

    if (tl.program_id(0) == 0) & (tl.program_id(1) == 0):
        words = record.to(tl.pointer_type(tl.int64))
        tl.store(words + _SEQ_WORD, seq.to(tl.int64))
        tl.store(words + _CAPTURE_WORD, capture_ns.to(tl.int64))
