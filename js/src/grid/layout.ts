// Where the ranks of a grid are, and how large. Pure.

import type { Tile, WantTier } from "../messages";
import type { Size } from "../picture_size";

/** What the sides of the pictures are divided by. */
export type Tier = WantTier["tier"];

export interface Rect extends Size {
  readonly x: number;
  readonly y: number;
}

/** A grid whose tiles all have the same size, that of the largest picture. */
export interface Layout extends Size {
  readonly columns: number;
  readonly rows: number;
  /** The place of each rank, in pixels of the whole grid. */
  readonly places: ReadonlyMap<number, Rect>;
}

const TIERS: readonly Tier[] = [4, 2];
/** A picture may be so much smaller than its tile: less than that is hardly seen. */
const ENLARGED = 1.1;
/** Of a picture whose size is not known yet. */
const USUAL: Size = { width: 320, height: 180 };
/** Of a canvas: on phones, Safari draws nothing on a larger one. Few screens have more pixels. */
const MAX_AREA = 4096 * 4096;
const MAX_SIDE = 16_384;
/** Arranges the tiles in the order in which they are given, in as many columns as rows or one more. */
export function layOut(tiles: readonly Tile[]): Layout {
  const columns = Math.max(Math.ceil(Math.sqrt(tiles.length)), 1);
  const rows = Math.max(Math.ceil(tiles.length / columns), 1);
  const cell = largest(tiles);
  const places = tiles.map(({ rank }, index): readonly [number, Rect] => {
    const [column, row] = [index % columns, Math.floor(index / columns)];
    return [rank, { x: column * cell.width, y: row * cell.height, ...cell }];
  });
  const size = { width: columns * cell.width, height: rows * cell.height };
  return { ...size, columns, rows, places: new Map(places) };
}

/** Whether two layouts have the same ranks in places of the same size. */
export function isSame(one: Layout, other: Layout): boolean {
  const ranks = ({ places }: Layout) => [...places.keys()].join();
  return one.width === other.width && one.height === other.height && ranks(one) === ranks(other);
}

/** Returns the tier whose pictures, full ones being `width` wide, fill so many of the screen's pixels. */
export function tierOf(width: number, shown_px: number): Tier {
  return TIERS.find((tier) => (width / tier) * ENLARGED >= shown_px) ?? 1;
}

/** Returns the tier of each rank; `shown_px` is the width of the whole grid on the screen. */
export function tiersOf(
  layout: Layout,
  tiles: readonly Tile[],
  shown_px: number,
): ReadonlyMap<number, Tier> {
  const scale = shown_px / layout.width;
  const tiers = tiles.map((tile): readonly [number, Tier] => {
    const place = layout.places.get(tile.rank);
    const size = hasSize(tile) ? tile : (place ?? USUAL); // As the others are, until it is known.
    const width = place === undefined ? size.width : fit(size, place).width;
    return [tile.rank, tierOf(size.width, width * scale)];
  });
  return new Map(tiers);
}

/** Returns a layout in pixels of a canvas for smaller pictures; no larger than browsers draw. */
export function shrink(layout: Layout, tier: Tier): Layout {
  const { width, height } = layout;
  const scale = Math.min(
    1 / tier,
    Math.sqrt(MAX_AREA / (width * height)),
    MAX_SIDE / Math.max(width, height),
  );
  const divide = (value: number) => Math.floor(value * scale);
  const places = [...layout.places].map(([rank, { x, y, width, height }]) => {
    const [left, top] = [divide(x), divide(y)];
    const size = { width: divide(x + width) - left, height: divide(y + height) - top };
    return [rank, { x: left, y: top, ...size }] as const;
  });
  const size = { width: Math.max(divide(width), 1), height: Math.max(divide(height), 1) };
  return { ...layout, ...size, places: new Map(places) };
}

/** Returns where a picture goes in its tile: whole, as large as possible, in the middle. */
export function fit({ width, height }: Size, tile: Rect): Rect {
  const scale = Math.min(tile.width / width, tile.height / height);
  const size = { width: Math.round(width * scale), height: Math.round(height * scale) };
  const x = tile.x + Math.floor((tile.width - size.width) / 2);
  const y = tile.y + Math.floor((tile.height - size.height) / 2);
  return { x, y, ...size };
}

function largest(tiles: readonly Tile[]): Size {
  const known = tiles.filter(hasSize);
  if (known.length === 0) return USUAL;
  return {
    width: Math.max(...known.map(({ width }) => width)),
    height: Math.max(...known.map(({ height }) => height)),
  };
}

function hasSize({ width, height }: Size): boolean {
  return width > 0 && height > 0;
}
